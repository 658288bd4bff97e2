"""A profile's row to its content, its JSON and back: the one projection of profiles."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from app.domain.instrument import parse_public_id
from app.domain.profile import (
    Channel,
    Delivery,
    Profile,
    ProfileStatus,
    profile_document,
    query_document,
)
from app.domain.query import Search, parse_saved_search

ID_PREFIX: Final = "prf_"
PUBLIC_ID_PATTERN: Final = f"^{ID_PREFIX}[0-9a-f]{{32}}$"
_PUBLIC_ID: Final = re.compile(PUBLIC_ID_PATTERN)
_JSON: Final = orjson.OPT_UTC_Z


@dataclass(frozen=True, slots=True)
class StoredProfile:
    id: UUID
    owner: str
    content: Profile
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def shown(self) -> "ShownProfile":
        members = self.content.instruments
        json = orjson.dumps(
            {
                **_heading(self.id, self.owner, self.version, self.created_at, self.updated_at),
                **profile_document(self.content),
                "instrument_count": None if members is None else len(members),
            },
            option=_JSON,
        )
        return ShownProfile(self.id, self.owner, self.version, json)


@dataclass(frozen=True, slots=True)
class ShownProfile:
    """A profile as the API shows it, finished for sending."""

    id: UUID
    owner: str
    version: int
    json: bytes

    @property
    def selection(self) -> Search | tuple[int, ...]:
        """The saved search, or the numbers of the members in their order."""
        selection = orjson.loads(self.json)["selection"]
        if (query := selection.get("query")) is not None:
            return parse_saved_search(query, "selection.query")
        return tuple(number for text in selection["instruments"] if (number := parse_public_id(text)))


@dataclass(frozen=True, slots=True)
class ProfileSummary:
    """A profile as lists show it: what its selection holds is left to a reading of its own."""

    id: UUID
    json: bytes


@dataclass(frozen=True, slots=True)
class ProfileEvent:
    number: int
    kind: str
    at: datetime
    version: int
    actor: str | None
    request_id: str | None
    detail: dict[str, Any]


def public_profile_id(profile_id: UUID) -> str:
    return ID_PREFIX + profile_id.hex


def parse_profile_id(text: str) -> UUID | None:
    """The id behind a public one; None where no profile can have it."""
    return UUID(hex=text.removeprefix(ID_PREFIX)) if _PUBLIC_ID.fullmatch(text) else None


def column_values(content: Profile) -> dict[str, object]:
    """What a profile's row has of its content, as JSON has it."""
    return {
        "name": content.name,
        "description": content.description,
        "channels": content.channels,
        "query": None if content.query is None else query_document(content.query),
        "member_count": len(content.instruments or ()),
        "delivery": content.delivery.model_dump(mode="json", exclude_none=True),
        "status": content.status,
    }


def content_of(record: asyncpg.Record) -> Profile:
    query = record["query"]
    return Profile(
        record["name"],
        record["description"],
        tuple(map(Channel, record["channels"])),
        None if query is not None else tuple(record["members"]),
        None if query is None else parse_saved_search(orjson.loads(query), "selection.query"),
        Delivery.model_validate_json(record["delivery"]),
        ProfileStatus(record["status"]),
    )


def stored_profile(record: asyncpg.Record, content: Profile) -> StoredProfile:
    return StoredProfile(
        record["id"],
        record["owner"],
        content,
        record["version"],
        record["created_at"],
        record["updated_at"],
    )


def _heading(
    profile_id: UUID, owner: str, version: int, created_at: datetime, updated_at: datetime
) -> dict[str, Any]:
    return {
        "id": public_profile_id(profile_id),
        "owner": owner,
        "version": version,
        "created_at": created_at,
        "updated_at": updated_at,
    }


def profile_summary(record: asyncpg.Record) -> ProfileSummary:
    json = orjson.dumps(
        {
            **_heading(
                record["id"], record["owner"], record["version"], record["created_at"], record["updated_at"]
            ),
            "name": record["name"],
            "description": record["description"],
            "channels": record["channels"],
            "delivery": orjson.Fragment(record["delivery"]),
            "status": record["status"],
            "instrument_count": record["member_count"] if record["query"] is None else None,
        },
        option=_JSON,
    )
    return ProfileSummary(record["id"], json)


def event_of(record: asyncpg.Record) -> ProfileEvent:
    values = dict(record)
    del values["owner"]
    return ProfileEvent(**{**values, "detail": orjson.loads(record["detail"])})
