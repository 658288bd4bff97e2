"""Why a hit stands where it does."""

from typing import Any

import orjson

from app.domain.ranking import points_of, prominence
from app.domain.text import words
from app.search.reply import Hit


def explanation(hit: Hit, json: bytes) -> dict[str, Any]:
    """How a hit matches, what that is worth, and what the instrument itself (`json`) has points for.

    A hit comes before another with a smaller sum of `lead`, `begins_lead` and `prominence`.
    """
    instrument = orjson.loads(json)
    facts = {
        **instrument,
        "size_class": instrument["attributes"].get("size_class"),
        "is_primary": instrument["primary"],
    }
    points = points_of(facts, words(instrument["name"]))
    return {
        "way": hit.way or None,
        "lead": hit.lead,
        "begins_lead": hit.begins_lead,
        "prominence": prominence(points),
        "points": {name: value for name, value in points.items() if value},
    }
