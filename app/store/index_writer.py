"""Writes to the search index, every one of them fenced: Redis itself refuses a leader that was replaced.

Each command below carries the leader's token and is checked against the fence in the same atomic
script. A writer that was paused, or whose Redis was emptied meanwhile, gets LeaseLost and nothing of
its batch is written.

A Redis that was restarted from an older file, or a replica that took over, has the fence and may lack
the newest documents. So what says that documents are there (a watermark, a swap) also names the history that
was claimed: Redis gives its data a new replication id whenever it starts, and when a replica is promoted.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

import msgpack
import structlog
from redis.asyncio import Redis

from app.domain.errors import LeaseLost
from app.domain.instrument import public_id
from app.search.cells import CELL_KEYS, cell_name
from app.search.document import Row, document_values
from app.search.generation import (
    OWN,
    IndexNames,
    cells_key,
    document_key,
    document_prefix,
    index_name,
    parked_key,
    state_key,
)
from app.search.schema import FINGERPRINT, KEY_OF, create_arguments
from app.store.instruments import Position
from app.store.redis import execute, load_script, redis_errors
from app.store.refreshes import KEPT, RefreshEntry
from app.store.search_traffic import SearchTraffic

_SCAN_COUNT: Final = 500

log = structlog.get_logger(__name__)


class IndexWriter:
    """The index as the leader with `token` writes it. Every method raises RedisUnavailable or LeaseLost."""

    def __init__(self, client: Redis, token: int, names: IndexNames = OWN) -> None:
        self.traffic = SearchTraffic(client)
        self._client = client
        self._names = names
        self._fence = names.fence_key
        self._token = str(token)
        self._history = b""
        self._claim = load_script(client, "claim_fence")
        self._create = load_script(client, "create_index")
        self._drop = load_script(client, "drop_index")
        self._forget = load_script(client, "forget_generation")
        self._park = load_script(client, "park_rows")
        self._write = load_script(client, "cells", "write_documents")
        self._remove = load_script(client, "cells", "remove_documents")
        self._recount = load_script(client, "cells", "recount_cells")
        self._advance = load_script(client, "advance_state")
        self._record = load_script(client, "record_refresh")
        self._promote = load_script(client, "promote")
        self._retire = load_script(client, "retire")

    async def claim(self) -> None:
        """Show the token, so that every earlier leader is refused from now on."""
        with redis_errors():
            history = await self._claim(keys=[self._fence], args=[self._token])
        if history is None:
            raise LeaseLost("a later leader has written to this Redis")
        self._history = history

    async def create_generation(self, generation: int) -> None:
        """An empty index for a generation, on its own key prefix."""
        arguments = create_arguments(index_name(generation), document_prefix(generation))
        with redis_errors():
            await self._create(
                keys=[self._fence, self._names.generations_key, cells_key(generation)],
                args=[self._token, generation, *arguments],
            )

    async def write(self, generation: int, rows: Sequence[Row], *, only_newer: bool = True) -> int:
        """Write the documents of `rows` that are newer than what is there, or all; how many were written.

        A row of which no document can be made is parked.
        """
        keys: list[str] = []
        documents: list[bytes] = []
        poison: dict[int, str] = {}
        for row in rows:
            try:
                documents.append(msgpack.packb(document_values(row), use_bin_type=False))
            except Exception as error:  # whatever it is, it is of this row alone
                poison[row["id"]] = f"{type(error).__name__}: {error}"
            else:
                keys.append(document_key(generation, row["id"]))
        which = "newer" if only_newer else "all"
        header: list[str | int] = [self._token, which, len(CELL_KEYS), *CELL_KEYS]
        header += [len(KEY_OF), *KEY_OF.values()]
        if poison:
            await self._note(generation, poison)
        with redis_errors():
            keys = [self._fence, parked_key(generation), cells_key(generation), *keys]
            return int(await self._write(keys=keys, args=[*header, *documents]))

    async def _note(self, generation: int, poison: Mapping[int, str]) -> None:
        """Rows, and why there is no document of them, or an older one, until they can be written."""
        keys = [document_key(generation, number) for number in poison]
        with redis_errors():
            new = await self._park(
                keys=[self._fence, parked_key(generation), *keys], args=[self._token, *poison.values()]
            )
        rows = list(poison.items())
        for place in new:
            number, reason = rows[place - 1]
            log.error("row parked", instrument=public_id(number), generation=generation, reason=reason)

    async def remove(self, generation: int, instrument_numbers: Iterable[int]) -> int:
        """Remove documents; how many were there."""
        return await self._remove_keys(
            generation, [document_key(generation, number) for number in instrument_numbers]
        )

    async def _remove_keys(self, generation: int, keys: Sequence[str | bytes]) -> int:
        with redis_errors():
            keys = [self._fence, parked_key(generation), cells_key(generation), *keys]
            return int(await self._remove(keys=keys, args=[self._token, *CELL_KEYS]))

    async def recount(self, generation: int) -> None:
        """Count the documents of each cell anew. Nobody else may write the generation meanwhile."""
        counts: Counter[bytes] = Counter()
        seen: set[str | bytes] = set()
        async for keys in self._document_keys(generation):
            pipeline = self._client.pipeline(transaction=False)
            for key in set(keys) - seen:
                pipeline.hmget(key, list(CELL_KEYS))
            with redis_errors():
                documents = await pipeline.execute()
            counts.update(cell_name(values) for values in documents if None not in values)
            seen.update(keys)
        arguments: list[str | bytes | int] = [self._token]
        for cell, count in counts.items():
            arguments += (cell, count)
        with redis_errors():
            await self._recount(keys=[self._fence, cells_key(generation)], args=arguments)

    async def _document_keys(self, generation: int) -> AsyncIterator[list[str | bytes]]:
        """The keys of all documents, in small batches; one may come twice."""
        cursor = 0
        while True:
            with redis_errors():
                cursor, keys = await self._client.scan(
                    cursor, match=f"{document_prefix(generation)}*", count=_SCAN_COUNT
                )
            yield keys
            if cursor == 0:
                break

    async def advance(self, generation: int, position: Position) -> None:
        """Record that the generation equals the snapshot that `position` is of."""
        fields: dict[str, str | float] = {
            "watermark": position.watermark,
            "snapshot": position.snapshot,
            "cluster": position.cluster,
            "fingerprint": FINGERPRINT,
        }
        arguments: list[str | bytes | float] = [self._token, self._history, position.age_s]
        arguments += chain.from_iterable(fields.items())
        with redis_errors():
            await self._advance(keys=[self._fence, state_key(generation)], args=arguments)

    async def record_refresh(self, entry: RefreshEntry) -> None:
        with redis_errors():
            await self._record(
                keys=[self._fence, self._names.refreshes_key], args=[self._token, entry.encode(), KEPT]
            )

    async def promote(self, generation: int) -> None:
        """Make the generation live, in one step for the alias and for the API."""
        arguments: list[str | bytes | int] = [self._token, self._history, generation]
        arguments += [self._names.alias, index_name(generation)]
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
            await self._client.delete(self._names.refreshes_key, self._fence)

    async def drop_generation(self, generation: int) -> None:
        """Remove a generation that is not live: first its index, then its documents in small batches."""
        with redis_errors():
            if index_name(generation).encode() in await execute(self._client, "FT._LIST"):
                arguments: list[str | int] = [self._token, generation, index_name(generation)]
                await self._drop(
                    keys=[self._fence, self._names.live_key, cells_key(generation)], args=arguments
                )
        async for keys in self._document_keys(generation):
            await self._remove_keys(generation, keys)
        with redis_errors():
            await self._forget(
                keys=[
                    self._fence,
                    self._names.generations_key,
                    state_key(generation),
                    parked_key(generation),
                    cells_key(generation),
                ],
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
