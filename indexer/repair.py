"""Mends what drifted: documents that are missing, stale, or of no row, and their counts for facets."""

from redis.asyncio import Redis

from app.store.index_writer import IndexWriter
from app.store.instruments import open_snapshot
from indexer.refresh import WRITE_BATCH
from indexer.verify import compare_all


async def repair(database_url: str, client: Redis, writer: IndexWriter, generation: int) -> dict[str, int]:
    """What was compared and mended, by how many. Nobody else may write the generation meanwhile."""
    suspects, compared = await compare_all(database_url, client, generation)
    numbers = sorted(suspects)
    written = removed = 0
    async with open_snapshot(database_url) as snapshot:
        for start in range(0, len(numbers), WRITE_BATCH):
            batch = numbers[start : start + WRITE_BATCH]
            rows = await snapshot.some(batch)
            written += await writer.write(generation, rows, only_newer=False)
            removed += await writer.remove(generation, set(batch) - {row["id"] for row in rows})
    await writer.recount(generation)
    return {"compared": compared, "written": written, "removed": removed}
