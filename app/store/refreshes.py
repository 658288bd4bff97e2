"""The last refreshes of the live index that found changes, for operations to look at."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import orjson
from redis.asyncio import Redis

from app.search.generation import OWN
from app.store.redis import execute, redis_errors

KEPT: Final = 10


@dataclass(frozen=True, slots=True)
class RefreshEntry:
    """`read` rows changed since the watermark, `written` of them were newer than their documents."""

    at: datetime
    """When it ended, on the indexer's clock."""
    seconds: float
    read: int
    written: int
    removed: int

    def encode(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_UTC_Z)

    @classmethod
    def decode(cls, text: bytes) -> "RefreshEntry":
        fields = orjson.loads(text)
        return cls(
            datetime.fromisoformat(fields["at"]),
            fields["seconds"],
            fields["read"],
            fields["written"],
            fields["removed"],
        )


async def read_refreshes(client: Redis) -> tuple[RefreshEntry, ...]:
    """Newest first. Raises RedisUnavailable."""
    with redis_errors():
        entries = await execute(client, "LRANGE", OWN.refreshes_key, 0, -1)
    return tuple(RefreshEntry.decode(entry) for entry in entries)
