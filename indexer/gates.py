"""What a generation has to pass before it goes live: compared with the snapshot that it claims to equal."""

from collections.abc import Iterable, Sequence
from typing import Final

from redis.asyncio import Redis

from app.domain.errors import RegistryError
from app.domain.instrument import public_id
from app.domain.query import Search
from app.search.document import Row, document_values
from app.search.generation import document_key
from app.search.schema import FIELDS, KEY_OF
from app.store.index_state import index_info, read_cells, read_parked
from app.store.instruments import Snapshot
from app.store.matches import read_matches
from app.store.redis import redis_errors

COMPARED: Final = 1000
"""Documents compared field by field."""
SEARCHED: Final = 20
"""Instruments that canary queries have to find: by symbol, and by an identifier where they have one."""
MAX_PARKED: Final = 100
MAX_PARKED_SHARE: Final = 0.01
"""More parked rows than both of these are a defect of the code, which must not go live."""
_BATCH: Final = 200


class JobFailed(RegistryError):
    """What was asked for was not done; the live generation is as it was."""


class JobCancelled(RegistryError):
    """Somebody has cancelled the job; the live generation is as it was."""


async def check(client: Redis, generation: int, snapshot: Snapshot, timeout_ms: int) -> dict[str, int]:
    """What was verified, and by how many. Raises JobFailed saying what is wrong."""
    documents = await check_size(client, generation, snapshot)
    parked = await read_parked(client, generation)
    sample = await snapshot.sample(COMPARED, seed=generation)
    rows = await snapshot.some([number for number in sample if number not in parked])
    await _compare(client, generation, rows)
    queries = await _search(client, generation, rows[:SEARCHED], timeout_ms)
    return {"documents": documents, "parked": len(parked), "compared": len(rows), "queries": queries}


async def check_size(client: Redis, generation: int, snapshot: Snapshot) -> int:
    """How many documents there are: one for each row that is not parked, all indexed and counted."""
    rows = await snapshot.count()
    parked = await read_parked(client, generation)
    if len(parked) > max(MAX_PARKED, MAX_PARKED_SHARE * rows):
        number, reason = next(iter(parked.items()))
        raise JobFailed(
            f"generation {generation} lacks {len(parked)} of {rows} rows, of which no documents can be made; "
            f"{public_id(number)}: {reason}"
        )
    info = await index_info(client, generation)
    if info is None:
        raise JobFailed(f"generation {generation} is gone: Redis was emptied")
    documents, refused = int(info["num_docs"]), int(info["hash_indexing_failures"])
    expected = rows - len(parked) + await _count_documents(client, generation, parked)
    if documents != expected or refused:
        raise JobFailed(
            f"generation {generation} has {documents} documents of {expected}, "
            f"{refused} of them refused by Redis"
        )
    cells = await read_cells(client, generation)
    if cells is None or cells.documents != documents:
        counted = cells.documents if cells else "none"
        raise JobFailed(f"generation {generation} counts {counted} of {documents} documents for facets")
    return documents


async def _count_documents(client: Redis, generation: int, numbers: Iterable[int]) -> int:
    """How many of these have a document, which may be an old one."""
    keys = [document_key(generation, number) for number in numbers]
    with redis_errors():
        return int(await client.exists(*keys)) if keys else 0


async def _compare(client: Redis, generation: int, rows: Sequence[Row]) -> None:
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        pipeline = client.pipeline(transaction=False)
        for row in batch:
            pipeline.hmget(document_key(generation, row["id"]), list(KEY_OF.values()))
        with redis_errors():
            documents = await pipeline.execute()
        for row, document in zip(batch, documents, strict=True):
            for field, found, value in zip(FIELDS, document, document_values(row), strict=True):
                if found != (value if isinstance(value, bytes) else value.encode()):
                    raise JobFailed(
                        f"generation {generation} has another {field.name} of instrument {row['id']}"
                    )


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
