"""What Redis says of a generation: how far it follows Postgres. Kept beside the documents, so that both
vanish together when Redis is emptied.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

from app.search.cells import CHANGED, Cells
from app.search.generation import OWN, cells_key, document_prefix, index_name, parked_key, state_key
from app.store.instruments import Position
from app.store.redis import execute, is_unknown_index, redis_errors


@dataclass(frozen=True, slots=True)
class IndexState:
    """The live generation and its position."""

    generation: int
    watermark: int
    """Every transaction below this xid8 is in the index."""
    snapshot: str
    """The `pg_snapshot` that the index equals."""
    cluster: str
    """System identifier and timeline of the Postgres that the watermark is of."""
    fingerprint: str
    """The schema and projection that the documents were written by."""
    changed: bytes
    """Another one after each change of any document."""
    age_s: float
    """Seconds since the index last equalled Postgres, when this was read (see `read_at`)."""
    read_at: float
    """The monotonic clock when this was read."""

    def is_followed_by(self, position: Position) -> bool:
        """Whether a refresh can go on from here: the same Postgres, which was not set back."""
        return self.cluster == position.cluster and self.watermark <= position.watermark

    @property
    def current_age_s(self) -> float:
        return self.age_s + time.monotonic() - self.read_at


def state_commands(generation: int) -> Sequence[Sequence[str | bytes]]:
    """Ask for a generation's state."""
    return (
        ("HGETALL", state_key(generation)),
        ("HGET", cells_key(generation), CHANGED),
        ("TIME",),
    )


def state_of(generation: int, replies: Sequence[Any]) -> IndexState | None:
    """What `state_commands` were answered; None if the generation was never filled, or is gone."""
    fields, changed, (seconds, microseconds) = replies
    if not fields:
        return None
    return IndexState(
        generation=generation,
        watermark=int(fields[b"watermark"]),
        snapshot=fields[b"snapshot"].decode(),
        cluster=fields[b"cluster"].decode(),
        fingerprint=fields[b"fingerprint"].decode(),
        changed=changed or b"",
        age_s=max(0.0, int(seconds) + int(microseconds) / 1_000_000 - float(fields[b"refreshed_at"])),
        read_at=time.monotonic(),
    )


async def read_live_state(client: Redis) -> IndexState | None:
    """The live generation's state; None if there is none. Raises RedisUnavailable."""
    with redis_errors():
        live = await execute(client, "GET", OWN.live_key)
    return None if live is None else await read_state(client, int(live))


async def read_state(client: Redis, generation: int) -> IndexState | None:
    """A generation's state; None if it was never filled, or is gone. Raises RedisUnavailable."""
    with redis_errors():
        return state_of(
            generation, [await execute(client, *command) for command in state_commands(generation)]
        )


async def read_parked(client: Redis, generation: int) -> dict[int, str]:
    """Rows that no documents could be made of, as they are now, by instrument number: why."""
    with redis_errors():
        fields: dict[bytes, bytes] = await execute(client, "HGETALL", parked_key(generation))
    prefix = document_prefix(generation)
    return {int(key[len(prefix) :]): reason.decode() for key, reason in sorted(fields.items())}


async def read_cells(client: Redis, generation: int) -> Cells | None:
    """A generation's cells; None if it is gone. Raises RedisUnavailable."""
    with redis_errors():
        fields: dict[bytes, bytes] = await execute(client, "HGETALL", cells_key(generation))
    return Cells(fields) if fields else None


async def index_info(client: Redis, generation: int) -> dict[str, Any] | None:
    """FT.INFO of a generation's index, keys as text; None if it does not exist. Raises RedisUnavailable."""
    with redis_errors():
        try:
            reply = await execute(client, "FT.INFO", index_name(generation))
        except exceptions.ResponseError as error:
            if is_unknown_index(error):
                return None
            raise
    return {key.decode(): value for key, value in reply.items()}
