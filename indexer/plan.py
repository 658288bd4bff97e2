"""What the index needs, decided from facts alone."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.search.schema import FINGERPRINT
from app.store.index_state import IndexState
from app.store.instruments import Position


class Need(StrEnum):
    NOTHING = "nothing"
    REFRESH = "refresh"
    REBUILD = "rebuild"


@dataclass(frozen=True, slots=True)
class Plan:
    need: Need
    reason: str


NO_INDEX: Final = Plan(Need.REBUILD, "Redis has no live index")


def plan(state: IndexState | None, position: Position, *, index_exists: bool) -> Plan:
    """What brings the live index level with Postgres.

    A watermark of another cluster or timeline, or one that lies ahead, says nothing about this
    Postgres: transaction ids were counted anew there.
    """
    if state is None or not index_exists:
        return NO_INDEX
    if state.fingerprint != FINGERPRINT:
        return Plan(Need.REBUILD, "the live index has another schema")
    if state.cluster != position.cluster:
        return Plan(Need.REBUILD, "the live index follows another Postgres cluster or timeline")
    if state.watermark > position.watermark:
        return Plan(Need.REBUILD, "the live index is ahead of Postgres, which was restored")
    if position.changed:
        return Plan(Need.REFRESH, "rows changed")
    return Plan(Need.NOTHING, "nothing changed")
