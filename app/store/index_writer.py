"""Writes to the search index, every one of them fenced: Redis itself refuses a leader that was replaced.

Each command below carries the leader's token and is checked against the fence in the same atomic
script. A writer that was paused, or whose Redis was emptied meanwhile, gets LeaseLost and nothing of
its batch is written.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from redis import exceptions
from redis.asyncio import Redis

from app.domain.errors import LeaseLost
from app.search.document import Row, document_values
from app.search.generation import (
    ALIAS,
    FENCE_KEY,
    LIVE_KEY,
    document_key,
    document_prefix,
    index_name,
    parse_index_name,
    state_key,
)
from app.search.schema import FIELD_NAMES, FINGERPRINT, create_arguments
from app.store.redis import execute, load_script, redis_errors

_SCAN_COUNT: Final = 1000


class IndexWriter:
    """The index as the leader with `token` writes it. Every method raises RedisUnavailable or LeaseLost."""

    def __init__(self, client: Redis, token: int) -> None:
        self._client = client
        self._token = str(token)
        self._claim = load_script(client, "claim_fence")
        self._write = load_script(client, "write_documents")
        self._remove = load_script(client, "remove_documents")
        self._advance = load_script(client, "advance_state")
        self._promote = load_script(client, "promote")

    async def claim(self) -> None:
        """Show the token, so that every earlier leader is refused from now on."""
        with redis_errors():
            if not await self._claim(keys=[FENCE_KEY], args=[self._token]):
                raise LeaseLost("a later leader has written to this Redis")

    async def create_generation(self, generation: int) -> None:
        """An empty index for a generation, on its own key prefix."""
        arguments = create_arguments(index_name(generation), document_prefix(generation))
        with redis_errors():
            await execute(self._client, "FT.CREATE", *arguments)

    async def write(self, generation: int, rows: Sequence[Row]) -> int:
        """Write the documents of `rows` that are newer than what is there; how many were written."""
        keys = [document_key(generation, row["id"]) for row in rows]
        values = [value for row in rows for value in document_values(row)]
        header: list[str | int] = [self._token, len(FIELD_NAMES), *FIELD_NAMES]
        with redis_errors():
            return int(await self._write(keys=[FENCE_KEY, *keys], args=[*header, *values]))

    async def remove(self, generation: int, instrument_numbers: Iterable[int]) -> int:
        """Remove documents; how many were there."""
        keys = [document_key(generation, number) for number in instrument_numbers]
        with redis_errors():
            return int(await self._remove(keys=[FENCE_KEY, *keys], args=[self._token]))

    async def advance(self, generation: int, *, watermark: int, cluster: str) -> None:
        """Record that every transaction below `watermark` of `cluster` is in the generation, as of now."""
        fields = ("watermark", watermark, "cluster", cluster, "fingerprint", FINGERPRINT)
        with redis_errors():
            await self._advance(keys=[FENCE_KEY, state_key(generation)], args=[self._token, *fields])

    async def promote(self, generation: int) -> None:
        """Make the generation live, in one step for the alias and for the API."""
        arguments: list[str | int] = [self._token, generation, ALIAS, index_name(generation)]
        with redis_errors():
            await self._promote(keys=[FENCE_KEY, LIVE_KEY], args=arguments)

    async def drop_generation(self, generation: int) -> None:
        """Remove a generation that is not live: first its index, then its documents in small batches."""
        with redis_errors():
            if index_name(generation) in await self._index_names():
                # Without DD: that would block Redis while it deletes every document.
                await execute(self._client, "FT.DROPINDEX", index_name(generation))
            async for key in self._client.scan_iter(
                match=f"{document_prefix(generation)}*", count=_SCAN_COUNT
            ):
                await self._client.unlink(key)
            await self._client.unlink(state_key(generation))

    async def generations(self) -> list[int]:
        """The generations that have an index in this Redis."""
        with redis_errors():
            names = await self._index_names()
        return sorted(number for name in names if (number := parse_index_name(name)) is not None)

    async def _index_names(self) -> list[str]:
        return [name.decode() for name in await execute(self._client, "FT._LIST")]


async def index_info(client: Redis, generation: int) -> dict[str, Any] | None:
    """FT.INFO of a generation's index, keys as text; None if it does not exist. Raises RedisUnavailable."""
    with redis_errors():
        try:
            reply = await execute(client, "FT.INFO", index_name(generation))
        except exceptions.ResponseError as error:
            if "unknown index" in str(error).lower() or "no such index" in str(error).lower():
                return None
            raise
    return {key.decode(): value for key, value in reply.items()}
