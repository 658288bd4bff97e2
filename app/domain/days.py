"""Days as callers write them."""

import re
from contextlib import suppress
from datetime import date
from typing import Final

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_day(text: str) -> date | None:
    """The day, in the form 2026-01-31; None for anything else: Python reads other forms of ISO 8601 too."""
    with suppress(ValueError):
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    return None
