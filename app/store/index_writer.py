"""Writes to the search index, every one of them fenced: Redis itself refuses a leader that was replaced.

Each command below carries the leader's token and is checked against the fence in the same atomic
script. A writer that was paused, or whose Redis was emptied meanwhile, gets LeaseLost and nothing of
its batch is written.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from redis.asyncio import Redis

from app.domain.errors import LeaseLost
from app.search.document import Row, document_values
from app.search.generation import (
    OWN,
    IndexNames,
    document_key,
    document_prefix,
    index_name,
    state_key,
)
from app.search.schema import FIELD_NAMES, FINGERPRINT, create_arguments
from app.store.instruments import Position
from app.store.redis import execute, load_script, redis_errors

_SCAN_COUNT: Final = 500


class IndexWriter:
    """The index as the leader with `token` writes it. Every method raises RedisUnavailable or LeaseLost."""

    def __init__(self, client: Redis, token: int, names: IndexNames = OWN) -> None:
        self._client = client
        self._names = names
        self._fence = names.fence_key
        self._token = str(token)
        self._claim = load_script(client, "claim_fence")
        self._create = load_script(client, "create_index")
        self._drop = load_script(client, "drop_index")
        self._forget = load_script(client, "forget_generation")
        self._write = load_script(client, "write_documents")
        self._remove = load_script(client, "remove_documents")
        self._advance = load_script(client, "advance_state")
        self._promote = load_script(client, "promote")
        self._retire = load_script(client, "retire")

    async def claim(self) -> None:
        """Show the token, so that every earlier leader is refused from now on."""
        with redis_errors():
            if not await self._claim(keys=[self._fence], args=[self._token]):
                raise LeaseLost("a later leader has written to this Redis")

    async def create_generation(self, generation: int) -> None:
        """An empty index for a generation, on its own key prefix."""
        arguments = create_arguments(index_name(generation), document_prefix(generation))
        with redis_errors():
            await self._create(
                keys=[self._fence, self._names.generations_key], args=[self._token, generation, *arguments]
            )

    async def write(self, generation: int, rows: Sequence[Row], *, only_newer: bool = True) -> int:
        """Write the documents of `rows` that are newer than what is there, or all; how many were written."""
        keys = [document_key(generation, row["id"]) for row in rows]
        values = [value for row in rows for value in document_values(row)]
        which = "newer" if only_newer else "all"
        header: list[str | int] = [self._token, which, len(FIELD_NAMES), *FIELD_NAMES]
        with redis_errors():
            return int(await self._write(keys=[self._fence, *keys], args=[*header, *values]))

    async def remove(self, generation: int, instrument_numbers: Iterable[int]) -> int:
        """Remove documents; how many were there."""
        keys = [document_key(generation, number) for number in instrument_numbers]
        with redis_errors():
            return int(await self._remove(keys=[self._fence, *keys], args=[self._token]))

    async def advance(self, generation: int, position: Position) -> None:
        """Record that the generation equals the snapshot that `position` is of."""
        fields: dict[str, str | float] = {
            "watermark": position.watermark,
            "snapshot": position.snapshot,
            "cluster": position.cluster,
            "fingerprint": FINGERPRINT,
        }
        arguments: list[str | float] = [self._token, position.age_s, *chain.from_iterable(fields.items())]
        with redis_errors():
            await self._advance(keys=[self._fence, state_key(generation)], args=arguments)

    async def promote(self, generation: int) -> None:
        """Make the generation live, in one step for the alias and for the API."""
        arguments: list[str | int] = [self._token, generation, self._names.alias, index_name(generation)]
        with redis_errors():
            await self._promote(keys=[self._fence, self._names.live_key], args=arguments)

    async def retire(self) -> None:
        """Have no generation live any more, so that all of them can be removed."""
        with redis_errors():
            await self._retire(
                keys=[self._fence, self._names.live_key], args=[self._token, self._names.alias]
            )

    async def disappear(self) -> None:
        """Remove the fence, when nothing else is left; whoever writes under it is refused from then on."""
        with redis_errors():
            await self._client.delete(self._fence)

    async def drop_generation(self, generation: int) -> None:
        """Remove a generation that is not live: first its index, then its documents in small batches."""
        cursor = 0
        with redis_errors():
            if index_name(generation).encode() in await execute(self._client, "FT._LIST"):
                arguments: list[str | int] = [self._token, generation, index_name(generation)]
                await self._drop(keys=[self._fence, self._names.live_key], args=arguments)
            while True:
                cursor, keys = await self._client.scan(
                    cursor, match=f"{document_prefix(generation)}*", count=_SCAN_COUNT
                )
                await self._remove(keys=[self._fence, *keys], args=[self._token])
                if cursor == 0:
                    break
            await self._forget(
                keys=[self._fence, state_key(generation), self._names.generations_key],
                args=[self._token, generation],
            )

    async def generations(self) -> list[int]:
        """The generations of which something may be in this Redis, in ascending order."""
        with redis_errors():
            numbers = await execute(self._client, "SMEMBERS", self._names.generations_key)
        return sorted(map(int, numbers))


async def shown_token(client: Redis, names: IndexNames = OWN) -> int:
    """The highest fencing token that Redis has seen; 0 if none. Raises RedisUnavailable."""
    with redis_errors():
        return int(await client.get(names.fence_key) or 0)
