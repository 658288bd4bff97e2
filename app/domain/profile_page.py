"""A page of a list of profiles, as a caller asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.profile import ProfileStatus
from app.domain.query import DEFAULT_LIMIT, Given
from app.domain.query_schema import CURSOR, Schema, limit, query_of


@dataclass(frozen=True, slots=True)
class ProfilePage:
    """`owner` None: the caller's own profiles, or everybody's for a caller who may see them."""

    statuses: tuple[str, ...]
    owner: str | None
    limit: int
    cursor: str | None


FIELDS: Final = ("status", "owner", "limit", "cursor")


def profile_page_schema(max_limit: int) -> Schema:
    """What `parse_profile_page` reads, as JSON Schema."""
    fields: dict[str, Schema] = {
        "status": {"type": "string", "enum": list(ProfileStatus), "description": "absent: any"},
        "owner": {
            "type": "string",
            "description": "whose; has an effect for profiles:admin only",
            "examples": ["trading-desk"],
        },
        "limit": limit(DEFAULT_LIMIT, max_limit),
        "cursor": CURSOR,
    }
    return query_of(FIELDS, fields)


def parse_profile_page(pairs: Sequence[tuple[str, str]], *, max_limit: int) -> ProfilePage:
    """The page that `pairs` ask for (`status`, `owner`, `limit`, `cursor`). Raises InvalidInput."""
    given = Given(pairs, known=FIELDS)
    status = given.choice("status", tuple(ProfileStatus), "")
    owner = given.single("owner")
    if owner is not None and not owner.isprintable():
        given.refuse("owner", "contains control characters; leave them out")
    limit = given.number("limit", min(DEFAULT_LIMIT, max_limit), 1, max_limit)
    given.raise_if_refused()
    return ProfilePage((status,) if status else tuple(ProfileStatus), owner, limit, given.single("cursor"))
