"""Indexers killed, frozen and in competition: searches notice nothing, and the index is whole afterwards."""

import asyncio
import signal
import time

import pytest

from app.embedded.children import Child
from app.store.index_jobs import IndexJobs, JobKind, JobState
from app.store.index_state import read_live_state
from app.store.lease import current_holder
from app.store.postgres import Connection
from tests.faults.conftest import Report
from tests.faults.killed_indexer import REBUILD_POINTS, REFRESH_POINTS
from tests.faults.load import load
from tests.faults.system import System, changing, freeze, thaw
from tests.integration.conftest import carry_out, eventually

TAKEN_OVER_WITHIN_S = 5.0


def fast_and_slow(points: list[str], fast: str) -> list[object]:
    return [point if point == fast else pytest.param(point, marks=pytest.mark.slow) for point in points]


async def until_killed(child: Child) -> None:
    async def is_dead() -> bool:
        return child.exited

    await eventually(is_dead, 30)
    assert child.process.returncode == -signal.SIGKILL, child.log_tail()


async def until_taken_over(database: Connection, dead: str | None) -> float:
    """Seconds until somebody else leads."""
    began = time.monotonic()

    async def is_led() -> bool:
        return await current_holder(database) not in (None, dead)

    await eventually(is_led)
    return time.monotonic() - began


@pytest.mark.parametrize("point", fast_and_slow(list(REBUILD_POINTS), "loading"))
async def test_an_indexer_killed_in_a_rebuild(
    system: System, database: Connection, report: Report, point: str
) -> None:
    first = system.start_indexer()
    await system.until_live()
    base_url = (await system.start_api()).base_url
    jobs = IndexJobs(database)
    await carry_out(jobs, JobKind.REBUILD)  # so that there is one to prune
    first.stop()
    requested = await jobs.request(JobKind.REBUILD, "tests")
    async with load([base_url]) as searches, changing(system.database_url):
        killed = system.start_indexer("-m", "tests.faults.killed_indexer", point)
        await until_killed(killed)
        searches.mark()
        system.start_indexer()

        async def is_done() -> bool:
            job = await jobs.read(requested.id)
            return job is not None and job.state is JobState.DONE

        await eventually(is_done, 30)
    searches.assert_unnoticed()
    report(searches)
    await system.assert_level()
    async with system.redis() as client:
        state = await read_live_state(client)
    states = {generation.number: generation.state for generation in await jobs.generations()}
    assert state is not None and states[state.generation] == "live"
    assert sorted(states.values()) == ["kept", "live"], "nothing is left over"


@pytest.mark.parametrize("point", fast_and_slow(list(REFRESH_POINTS), "advancing"))
async def test_an_indexer_killed_in_a_refresh(
    system: System, database: Connection, report: Report, point: str
) -> None:
    first = system.start_indexer()
    await system.until_live()
    base_url = (await system.start_api()).base_url
    first.stop()
    async with load([base_url]) as searches:
        await database.execute("UPDATE instruments SET name = name || ' New' WHERE id % 5 = 0")
        await database.execute("DELETE FROM instruments WHERE id % 7 = 0")
        killed = system.start_indexer("-m", "tests.faults.killed_indexer", point)
        await until_killed(killed)
        searches.mark()
        system.start_indexer()
        await system.assert_level()
    searches.assert_unnoticed()
    report(searches)


async def test_the_leader_of_two_indexers_killed(
    system: System, database: Connection, report: Report
) -> None:
    leader = system.start_indexer()
    await system.until_live()
    dead = await current_holder(database)
    system.start_indexer()
    base_url = (await system.start_api()).base_url
    async with load([base_url]) as searches, changing(system.database_url):
        await asyncio.sleep(2)
        searches.mark()
        leader.process.kill()
        taken_over_s = await until_taken_over(database, dead)
        await asyncio.sleep(2)
    searches.assert_unnoticed()
    report(searches, taken_over_after_s=round(taken_over_s, 2))
    assert taken_over_s <= TAKEN_OVER_WITHIN_S
    await system.assert_level()


async def test_a_leader_frozen_past_its_lease(system: System, database: Connection, report: Report) -> None:
    """When it wakes it must not write over its successor."""
    leader = system.start_indexer()
    await system.until_live()
    frozen = await current_holder(database)
    base_url = (await system.start_api()).base_url
    async with load([base_url]) as searches, changing(system.database_url):
        searches.mark()
        freeze(leader)
        second = system.start_indexer()
        taken_over_s = await until_taken_over(database, frozen)
        await asyncio.sleep(1)
        successor = await current_holder(database)
        thaw(leader)
        await asyncio.sleep(4)
        assert await current_holder(database) == successor
    searches.assert_unnoticed()
    report(searches, taken_over_after_s=round(taken_over_s, 2))
    assert not leader.exited and not second.exited
    assert "indexer interrupted" in leader.log.read_text()
    await system.assert_level()
