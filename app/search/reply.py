"""FT.SEARCH's reply (RESP3) to hits, and hits to the answer's bytes, without decoding an instrument."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hit:
    """One instrument's finished JSON, and its key in the order of the search where that is a number."""

    json: bytes
    sort_key: int | None


@dataclass(frozen=True, slots=True)
class TierReply:
    """What one tier answered; `total` is how many match it, `warnings` why there may be more."""

    hits: list[Hit]
    total: int
    warnings: tuple[str, ...]


def parse_reply(reply: dict[bytes, Any], sort_field: str | None) -> TierReply:
    """The hits of a reply; `sort_field` names the numeric field that was returned beside the JSON."""
    key = sort_field.encode() if sort_field else None
    hits = []
    for result in reply[b"results"]:
        fields = result[b"extra_attributes"]
        # A document that was removed between matching and loading comes without fields.
        if b"json" in fields:
            hits.append(Hit(fields[b"json"], int(float(fields[key])) if key else None))
    warnings = tuple(warning.decode() for warning in reply.get(b"warning", ()))
    return TierReply(hits, reply[b"total_results"], warnings)
