"""Two versions of the code with different schemas, side by side: one index each, and nothing in common."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.search.generation import OWN, IndexNames, document_key
from app.search.schema import KEY_OF, PROJECTION
from app.store.index_jobs import IndexJobs, JobKind, JobState
from app.store.index_state import index_info
from app.store.postgres import Connection
from indexer.verify import verify
from tests.integration.conftest import Import, carry_out, eventually, running_indexer

ROOT = Path(__file__).parents[2]
ROWS = [{"symbol": f"T{n}", "name": f"Company {n}", "asset_class": "equity", "mic": "XNAS"} for n in range(9)]


@pytest.fixture
def other_version(tmp_path: Path) -> Path:
    """A copy of the code whose documents have another content."""
    for package in ("app", "indexer"):
        shutil.copytree(ROOT / package, tmp_path / package)
    schema = tmp_path / "app" / "search" / "schema.py"
    changed = schema.read_text().replace(f"PROJECTION: Final = {PROJECTION}", "PROJECTION: Final = 1000")
    assert changed != schema.read_text()
    schema.write_text(changed)
    return tmp_path


@asynccontextmanager
async def running(version: Path, *arguments: str, **environment: str) -> AsyncIterator[None]:
    """An indexer of that version in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "indexer", *arguments, cwd=version, env={**os.environ, **environment}
    )
    try:
        yield
    finally:
        process.terminate()
        assert await process.wait() == 0


async def names_of(version: Path) -> IndexNames:
    code = "from app.search.schema import FINGERPRINT; print(FINGERPRINT)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=version, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return IndexNames(output.decode().strip())


async def live_generation(client: Redis, names: IndexNames) -> int | None:
    live = await client.get(names.live_key)
    return None if live is None else int(live)


async def test_each_version_keeps_an_index_of_its_own(
    import_instruments: Import,
    database_url: str,
    database: Connection,
    redis_client: Redis,
    redis_url: str,
    other_version: Path,
) -> None:
    await import_instruments(ROWS)
    other = await names_of(other_version)
    assert other != OWN
    environment = {"REGISTRY_DATABASE_URL": database_url, "REGISTRY_REDIS_URL": redis_url}

    async def both_are_level(name: bytes) -> bool:
        number = await database.fetchval("SELECT id FROM instruments WHERE symbol = 'T3'")
        found = []
        for names in (OWN, other):
            if (generation := await live_generation(redis_client, names)) is None:
                return False
            found.append(await redis_client.hget(document_key(generation, number), KEY_OF["name"]))
        return found == [name, name]

    async with running_indexer(database_url, redis_client):
        async with running(other_version, "run", **environment):
            await eventually(lambda: both_are_level(b"company 3"), 60)
            theirs = await live_generation(redis_client, other)
            assert theirs is not None and theirs != await live_generation(redis_client, OWN)
            for kind in (JobKind.REBUILD, JobKind.REBUILD, JobKind.ROLLBACK):
                assert (await carry_out(IndexJobs(database), kind)).state is JobState.DONE
            assert await live_generation(redis_client, other) == theirs
            await database.execute("UPDATE instruments SET name = 'Renamed' WHERE symbol = 'T3'")
            await eventually(lambda: both_are_level(b"renamed"))
        assert await index_info(redis_client, theirs) is not None
    assert (await verify(database_url, redis_client, 0)).clean

    # The other version does not come back.
    lease = "SELECT count(*) FROM index_leases WHERE name = $1"
    async with running_indexer(database_url, redis_client, holder="later", abandoned_after_s=0):

        async def is_gone() -> bool:
            return bool(await database.fetchval(lease, other.lease) == 0)

        await eventually(is_gone)
    assert await index_info(redis_client, theirs) is None
    ours = {generation.number for generation in await IndexJobs(database).generations()}
    left = {key.split(b":")[1] async for key in redis_client.scan_iter(match="ir:[0-9]*:*")}
    assert left == {str(number).encode() for number in ours}
    assert not [key async for key in redis_client.scan_iter(match=f"*{other.fingerprint}*")]
    assert await IndexJobs(database, other.fingerprint).generations() == []
    assert (await verify(database_url, redis_client, 0)).clean
