"""Operations' endpoints of the search index."""

import asyncio
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from app.domain.access import INDEX_ADMIN, INSTRUMENTS_READ
from app.search.schema import FINGERPRINT
from app.store.postgres import Connection
from tests.integration.conftest import (
    Client,
    Import,
    WaitLevel,
    eventually,
    get_json,
    running_api,
    running_indexer,
)

INDEX = "/v1/admin/index"
SCOPES: dict[str, Any] = {"anonymous_scopes": (INDEX_ADMIN, INSTRUMENTS_READ)}
ROWS = [{"symbol": f"T{n}", "name": f"Company {n}", "asset_class": "equity", "mic": "XNAS"} for n in range(9)]


async def ask(api: Client, method: str, path: str) -> tuple[int, Any, str | None]:
    """Status, body, and where the job is."""
    async with api.request(method, path) as response:
        return response.status, await response.json(content_type=None), response.headers.get("Location")


async def is_in(api: Client, path: str, state: str) -> bool:
    return bool((await get_json(api, path))["state"] == state)


async def test_a_rebuild_is_followed_to_its_end_and_gone_back_from(
    database_url: str, redis_url: str, import_instruments: Import, indexer: WaitLevel
) -> None:
    await import_instruments(ROWS)
    await indexer()
    async with running_api(database_url, redis_url, **SCOPES) as api:
        before = await get_json(api, INDEX)
        assert before["schema"] == FINGERPRINT
        assert (before["rows"], before["generations"][0]["documents"], before["leader"]) == (9, 9, "tests")
        assert before["age_s"] is not None and before["oldest_unindexed_s"] is None
        assert before["redis_memory_bytes"] > 1_000_000
        await eventually(partial(is_in, api, f"{INDEX}/jobs/1", "done"))

        status, job, path = await ask(api, "POST", f"{INDEX}/rebuild")
        assert (status, job["kind"], job["requested_by"]) == (202, "rebuild", "anonymous")
        assert path == f"{INDEX}/jobs/{job['id']}"
        await eventually(partial(is_in, api, path, "done"))
        done = await get_json(api, path)
        assert done["generation"] == before["live_generation"] + 1
        assert done["checks"] == {"documents": 9, "parked": 0, "compared": 9, "queries": 9}
        assert (done["phase"], done["done"], done["total"], done["error"]) == ("done", 9, 9, None)

        after = await get_json(api, INDEX)
        assert after["live_generation"] == done["generation"]
        assert [entry["state"] for entry in after["generations"]] == ["live", "kept"]

        await import_instruments([{**ROWS[0], "symbol": "LATER"}])
        await indexer()
        refreshes = (await get_json(api, INDEX))["last_refreshes"]  # another may follow, with nothing to do
        assert (1, 0) in [(refresh["written"], refresh["removed"]) for refresh in refreshes]
        assert all(refresh["seconds"] > 0 for refresh in refreshes)

        _, _, path = await ask(api, "POST", f"{INDEX}/rollback")
        assert path is not None
        await eventually(partial(is_in, api, path, "done"))
        assert (await get_json(api, INDEX))["live_generation"] == before["live_generation"]
        listed = (await get_json(api, f"{INDEX}/jobs", limit=2))["jobs"]
        assert [entry["kind"] for entry in listed] == ["rollback", "rebuild"]
        assert listed[1] == done


async def test_one_job_at_a_time_which_can_be_cancelled(
    database_url: str, redis_url: str, database: Connection
) -> None:
    async with running_api(database_url, redis_url, **SCOPES) as api:
        _, _, path = await ask(api, "POST", f"{INDEX}/rebuild")
        assert path is not None
        for another in ("rebuild", "rollback"):
            status, problem, location = await ask(api, "POST", f"{INDEX}/{another}")
            assert (status, location) == (409, path)
            assert "a rebuild, is under way" in problem["detail"]
        status, job, _ = await ask(api, "DELETE", path)
        assert (status, job["state"], job["cancelled_by"]) == (202, "cancelled", "anonymous")
        status, problem, _ = await ask(api, "DELETE", path)
        assert (status, problem["detail"]) == (409, f"job {job['id']} has ended and cannot be cancelled")
        assert (await ask(api, "POST", f"{INDEX}/rebuild"))[0] == 202


@pytest.mark.parametrize("job_id", ["0", "9", "x", "9" * 30, "%D9%A1", "-1", "1.0"])
async def test_a_job_that_is_not_there(job_id: str, database_url: str, redis_url: str) -> None:
    async with running_api(database_url, redis_url, **SCOPES) as api:
        for method in ("GET", "DELETE"):
            assert (await ask(api, method, f"{INDEX}/jobs/{job_id}"))[0] == 404


async def test_progress_is_told_with_rate_and_time_left(
    database_url: str, redis_url: str, database: Connection
) -> None:
    await database.execute(
        "INSERT INTO index_jobs "
        "(kind, state, requested_by, fingerprint, phase, phase_started_at, done, total) "
        "VALUES ('rebuild', 'running', 'x', $1, 'loading', now() - interval '10 s', 1000, 3000)",
        FINGERPRINT,
    )
    async with running_api(database_url, redis_url, **SCOPES) as api:
        job = await get_json(api, f"{INDEX}/jobs/1")
    assert job["rate"] == pytest.approx(100, rel=0.2)
    assert job["eta_s"] == pytest.approx(20, rel=0.2)


async def test_jobs_of_another_schema_are_not_ours(
    database_url: str, redis_url: str, database: Connection
) -> None:
    await database.execute(
        "INSERT INTO index_jobs (kind, requested_by, fingerprint) VALUES ('rebuild', 'x', 'other')"
    )
    async with running_api(database_url, redis_url, **SCOPES) as api:
        assert (await ask(api, "GET", f"{INDEX}/jobs/1"))[0] == 404
        assert (await get_json(api, f"{INDEX}/jobs"))["jobs"] == []
        assert (await ask(api, "POST", f"{INDEX}/rebuild"))[0] == 202


async def test_without_an_index_or_an_indexer_it_says_so(database_url: str, redis_url: str) -> None:
    async with running_api(database_url, redis_url, **SCOPES) as api:
        shown = await get_json(api, INDEX)
        del shown["redis_memory_bytes"]
        assert shown == {
            "schema": FINGERPRINT,
            "live_generation": None,
            "generations": [],
            "rows": 0,
            "age_s": None,
            "oldest_unindexed_s": None,
            "leader": None,
            "last_refreshes": [],
            "parked": 0,
            "redis_error": None,
            "parked_rows": [],
        }


async def test_what_the_index_does_not_have_yet_is_told(
    database_url: str,
    redis_url: str,
    redis_client: Redis,
    database: Connection,
    import_instruments: Import,
) -> None:
    await import_instruments(ROWS)
    async with (
        running_indexer(database_url, redis_client),
        running_api(database_url, redis_url, **SCOPES) as api,
    ):
        await eventually(partial(is_done, api, 1))
    for statement in (
        "UPDATE instruments SET name = 'New' WHERE id = 1",
        "DELETE FROM instruments WHERE id = 2",
    ):
        async with running_api(database_url, redis_url, **SCOPES) as api:
            await database.execute(statement)
            await asyncio.sleep(0.2)
            assert 0.1 <= (await get_json(api, INDEX))["oldest_unindexed_s"] < 10
            async with running_indexer(database_url, redis_client):

                async def has_all() -> bool:
                    return (await get_json(api, INDEX))["oldest_unindexed_s"] is None

                await eventually(has_all)


async def test_searches_go_on_while_ten_rebuilds_swap(
    database_url: str, redis_url: str, redis_client: Redis, import_instruments: Import
) -> None:
    await import_instruments(ROWS)
    failed: list[Any] = []
    generations: set[str] = set()
    ended = False

    async def search(api: Client) -> None:
        while not ended:
            async with api.get("/v1/instruments/search?q=company&limit=50") as response:
                body = await response.json()
                if response.status != 200 or len(body["hits"]) != 9 or body["total"] != 9:
                    failed.append((response.status, body))
                generations.add(response.headers["X-Index-Generation"])

    async with (
        running_indexer(database_url, redis_client),
        running_api(database_url, redis_url, **SCOPES) as api,
    ):
        await eventually(partial(is_done, api, 1))
        assert (await get_json(api, "/health/ready"))["status"] == "ready"  # it has looked by now
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(search(api))
            for _ in range(10):
                status, _, path = await ask(api, "POST", f"{INDEX}/rebuild")
                assert status == 202 and path is not None
                await eventually(partial(is_in, api, path, "done"))
            ended = True
    assert failed == []
    assert len(generations) >= 3, "a generation that it has not looked at is swapped away in between"


async def is_done(api: Client, number: int) -> bool:
    jobs = (await get_json(api, f"{INDEX}/jobs"))["jobs"]
    return any(job["id"] == number and job["state"] == "done" for job in jobs)


async def test_without_redis_it_says_what_postgres_knows(database_url: str) -> None:
    async with running_api(database_url, "redis://127.0.0.1:1", **SCOPES) as api:
        shown = await get_json(api, INDEX)
    assert "does not answer" in shown["redis_error"]
    assert (shown["rows"], shown["generations"], shown["redis_memory_bytes"]) == (0, [], None)
