"""What a generation has to pass before it goes live: compared with the snapshot that it claims to equal."""

from collections.abc import Sequence
from typing import Final

from redis.asyncio import Redis

from app.domain.errors import RegistryError
from app.domain.query import Search
from app.search.document import Row, document_values
from app.search.generation import document_key
from app.search.schema import FIELD_NAMES
from app.store.index_state import index_info
from app.store.instruments import Snapshot
from app.store.matches import read_matches
from app.store.redis import redis_errors

COMPARED: Final = 1000
"""Documents compared field by field."""
SEARCHED: Final = 20
"""Instruments that canary queries have to find: by symbol, and by an identifier where they have one."""
_BATCH: Final = 200


class JobFailed(RegistryError):
    """What was asked for was not done; the live generation is as it was."""


class JobCancelled(RegistryError):
    """Somebody has cancelled the job; the live generation is as it was."""


async def check(client: Redis, generation: int, snapshot: Snapshot, timeout_ms: int) -> dict[str, int]:
    """What was verified, and by how many. Raises JobFailed saying what is wrong."""
    documents = await check_size(client, generation, snapshot)
    rows = await snapshot.sample(COMPARED, seed=generation)
    await _compare(client, generation, rows)
    queries = await _search(client, generation, rows[:SEARCHED], timeout_ms)
    return {"documents": documents, "compared": len(rows), "queries": queries}


async def check_size(client: Redis, generation: int, snapshot: Snapshot) -> int:
    """How many documents there are: one for each row, and none that RediSearch refused."""
    rows = await snapshot.count()
    info = await index_info(client, generation)
    if info is None:
        raise JobFailed(f"generation {generation} is gone: Redis was emptied")
    documents, refused = int(info["num_docs"]), int(info["hash_indexing_failures"])
    if documents != rows or refused:
        raise JobFailed(
            f"generation {generation} has {documents} documents of {rows}, {refused} of them refused by Redis"
        )
    return documents


async def _compare(client: Redis, generation: int, rows: Sequence[Row]) -> None:
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        pipeline = client.pipeline(transaction=False)
        for row in batch:
            pipeline.hmget(document_key(generation, row["id"]), list(FIELD_NAMES))
        with redis_errors():
            documents = await pipeline.execute()
        for row, document in zip(batch, documents, strict=True):
            for name, found, value in zip(FIELD_NAMES, document, document_values(row), strict=True):
                if found != (value if isinstance(value, bytes) else str(value).encode()):
                    raise JobFailed(f"generation {generation} has another {name} of instrument {row['id']}")


async def _search(client: Redis, generation: int, rows: Sequence[Row], timeout_ms: int) -> int:
    queries = 0
    for row in rows:
        filters = {name: (row[name],) for name in ("status", "asset_class", "mic", "currency") if row[name]}
        for text in filter(None, (row["symbol"], row["isin"] or row["figi"])):
            queries += 1
            found = await read_matches(client, generation, Search(text, filters), timeout_ms=timeout_ms)
            if row["id"] not in found:
                raise JobFailed(f"generation {generation} does not find instrument {row['id']} by {text!r}")
    return queries
