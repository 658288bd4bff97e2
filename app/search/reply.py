"""FT.SEARCH's reply (RESP3) to hits, without decoding an instrument."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.search.stored_json import finished

_NOTHING: Final[Mapping[bytes, bytes]] = {}


class Hit(NamedTuple):
    """One instrument: what was asked for of it, b"" the rest."""

    key: int
    """Its place in the order of the search, leads included."""
    json: bytes
    """As Redis holds it, until `finish`."""
    name: bytes = b""
    """The words by which its name is found."""
    way: str = ""
    """How it matches; "" where the search has no text, or another order."""
    lead: int = 0
    """What that is worth, in points."""
    begins_lead: int = 0
    """And that its name begins as was typed."""


class TierReply(NamedTuple):
    """What one tier answered; `total` is how many match it, `warnings` why there may be more."""

    hits: list[tuple[int, bytes, bytes]]
    """Of each its sort key, its JSON and its name, as far as they were asked for."""
    total: int
    warnings: Sequence[str]


def parse_reply(reply: Mapping[bytes, Any], sort_field: str) -> TierReply:
    """The hits of a reply; `sort_field` names the number that was returned beside the JSON."""
    results, warnings = reply[b"results"], reply.get(b"warning")
    if not results and not warnings:  # as most tiers
        return TierReply([], reply[b"total_results"], ())
    key = sort_field.encode()
    # A document that was removed between matching and loading comes without fields.
    hits = [
        (int(float(fields[key])), fields.get(b"json", b""), fields.get(b"name", b""))
        for result in results
        if (fields := result.get(b"extra_attributes", _NOTHING))
    ]
    return TierReply(hits, reply[b"total_results"], [warning.decode() for warning in warnings or ()])


def finish(hits: Sequence[Hit]) -> list[Hit]:
    """The hits with their JSON as callers get it."""
    return [
        hit._replace(json=json) for hit, json in zip(hits, finished([hit.json for hit in hits]), strict=True)
    ]
