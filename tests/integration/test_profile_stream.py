"""Streams of profiles' events: none is skipped or repeated, and nobody listens who may not."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector
from prometheus_client import REGISTRY

from app.auth.api_keys import key_hash
from app.auth.tokens import LEEWAY_S
from app.domain.access import ANONYMOUS, INSTRUMENTS_READ, PROFILES_ADMIN, PROFILES_READ
from app.store.api_keys import add_key, revoke_key, set_only_key
from app.store.postgres import Connection
from app.store.removal import remove_expired
from app.web.listener import MAX_WAITING
from app.web.profile_streams import CHECK_S
from tests.conftest import execute_on, url_of
from tests.integration.conftest import Client, eventually, running_api
from tests.integration.openid import AUDIENCE, ISSUER, Provider, signed
from tests.integration.streams import (
    ALICE,
    BOB,
    FOR_EVER,
    OPS,
    PATH,
    Stream,
    add_keys,
    create,
    delete,
    listening,
    patch,
    trail,
)
from tests.stopwatch import Stopwatch


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def service(database_url: str, database: Connection) -> str:
    """The URL of a database with keys and three instruments."""
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, 'N', 'equity' FROM generate_series(1, 3) AS n"
    )
    await add_keys(database_url)
    return database_url


@pytest.fixture
async def api(service: str, redis_url: str) -> AsyncIterator[Client]:
    async with running_api(
        service, redis_url, max_streams=600, max_streams_per_owner=550, stream_heartbeat_s=0.2
    ) as client:
        yield client


async def write_large_events(database: Connection, path: str, count: int) -> None:
    """Changes of a profile whose events hold 200 kB each."""
    profile_id = path.rpartition("_")[2]
    for _ in range(count):
        await database.execute(
            "WITH profile AS (UPDATE profiles SET last_event = last_event + 1 WHERE id = $1 RETURNING *) "
            "INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, detail) "
            "SELECT id, last_event, owner, 'updated', now(), version, 'tests', $2 FROM profile",
            profile_id,
            json.dumps({"changes": {"description": {"from": "", "to": "x" * 200_000}}}),
        )


async def test_a_listener_is_told_of_changes_until_the_profile_is_deleted(api: Client) -> None:
    path = await create(api)
    async with listening(api, path) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream"
        assert stream.response.headers["Cache-Control"] == "no-store"
        assert stream.response.headers["X-Request-ID"]
        ready = await stream.next()
        assert ready and ready.kind == "ready"
        await patch(api, path, description="new", status="paused")
        await patch(api, path, selection={"instruments": ["ins_1", "ins_3"]})
        await delete(api, path)
        first, second, last = [await stream.next() for _ in range(3)]
        assert first and second and last
        assert (first.kind, first.data["version"]) == ("updated", 2)
        assert first.data["changes"]["status"] == {"from": "active", "to": "paused"}
        assert second.data["changes"]["instruments"] == {"added": ["ins_3"], "removed": ["ins_2"]}
        assert last.kind == "deleted"
        assert [e.number - ready.number for e in (first, second, last)] == [1, 2, 3]
        assert await stream.next() is None
    async with api.get(f"{path}/stream", headers={**ALICE, "Last-Event-ID": str(last.number)}) as response:
        assert response.status == 404


async def test_a_stream_is_no_latency_and_has_no_head(api: Client) -> None:
    path = await create(api)
    route = {"route": PATH + "/{id}/stream", "method": "GET", "status": "200"}
    in_progress = value_of("registry_http_requests_in_progress")
    sent = value_of("registry_stream_events_sent_total", kind="ready")
    async with listening(api, path) as stream:
        await stream.next()
        assert value_of("registry_stream_listeners") == 1
        assert value_of("registry_http_requests_in_progress") == in_progress

    async def left() -> bool:
        return value_of("registry_stream_listeners") == 0

    await eventually(left)
    assert value_of("registry_stream_events_sent_total", kind="ready") == sent + 1
    assert REGISTRY.get_sample_value("registry_http_request_seconds_count", route) is None
    async with api.head(f"{path}/stream", headers=ALICE) as response:
        assert response.status == 405


async def test_8_writers_and_a_listener_that_comes_and_goes(api: Client) -> None:
    path = await create(api)
    async with listening(api, path) as stream:  # the watch begins
        assert await stream.kinds(1) == ["ready"]
    seen: list[int] = []
    wanted = 2 + 8 * 10  # one of creation, one that the watch began, and the changes
    writing = asyncio.gather(*(_write_often(api, path, writer) for writer in range(8)))
    try:
        while len(seen) < wanted:
            async with listening(api, path, after=seen[-1] if seen else 0) as stream:
                for _ in range(min(7, wanted - len(seen))):
                    event = await stream.next()
                    assert event
                    seen.append(event.number)
    finally:
        await writing
    assert seen == await trail(api, path) == list(range(1, wanted + 1))


async def _write_often(api: Client, path: str, writer: int) -> None:
    for turn in range(10):
        await patch(api, path, description=f"{writer}/{turn}")


async def test_every_listener_gets_everything_while_others_write(api: Client) -> None:
    """The numbers that live listeners are told are those of the trail, without a gap."""
    path = await create(api)
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listening(api, path)) for _ in range(5)]
        writing = asyncio.gather(*(_write_often(api, path, writer) for writer in range(8)))
        late = [await stack.enter_async_context(listening(api, path, after=0)) for _ in range(5)]
        await writing
        last = (await trail(api, path))[-1]
        for stream in streams + late:
            numbers: list[int] = []
            while not numbers or numbers[-1] < last:
                event = await stream.next()
                assert event
                numbers.append(event.number)
            assert all(later - earlier == 1 for earlier, later in pairwise(numbers))
            assert stream in streams or numbers[0] == 1


async def test_an_id_beyond_what_is_kept_is_told_to_start_anew(
    api: Client, service: str, database: Connection
) -> None:
    path = await create(api)
    async with listening(api, path) as stream:
        ready = await stream.next()
    assert ready and ready.number == 2, "the stream's own event, which is removed below"
    await patch(api, path, description="x")
    assert (await remove_expired(database, 0)).events == 1
    async with listening(api, path, after=1) as stream:
        reset = await stream.next()
        assert reset and (reset.kind, reset.number, reset.data["reason"]) == ("reset", 3, "removed")
        await patch(api, path, description="y")
        event = await stream.next()
        assert event and (event.kind, event.number) == ("updated", 4)
    async with listening(api, path, after=2) as stream:
        assert await stream.kinds(2) == ["updated", "updated"], "of what it missed nothing was removed"
    async with listening(api, path, after=99) as stream:
        reset = await stream.next()
        assert reset and (reset.kind, reset.number) == ("reset", 4)
    assert await trail(api, path) == [1, 3, 4], "the audit trail stays"


@pytest.mark.parametrize("value", ["x", "-1", "", "1.5", "9" * 30])
async def test_a_malformed_id_is_refused_by_name(api: Client, value: str) -> None:
    path = await create(api)
    for name, options in (
        ("Last-Event-ID", {"headers": {**ALICE, "Last-Event-ID": value}}),
        ("last_event_id", {"headers": ALICE, "params": {"last_event_id": value}}),
    ):
        async with api.get(f"{path}/stream", **options) as response:  # type: ignore[arg-type]
            assert response.status == 400
            assert [error["field"] for error in (await response.json())["errors"]] == [name]


async def test_the_header_wins_over_the_query_string(api: Client) -> None:
    path = await create(api)
    async with api.get(f"{path}/stream?last_event_id=0", headers=ALICE, timeout=FOR_EVER) as response:
        assert await Stream(response).kinds(2) == ["created", "reset"]
    again = {**ALICE, "Last-Event-ID": "1"}
    async with api.get(f"{path}/stream?last_event_id=0", headers=again, timeout=FOR_EVER) as response:
        assert await Stream(response).kinds(1) == ["reset"]


async def test_a_change_through_another_process_arrives(api: Client, service: str, redis_url: str) -> None:
    path = await create(api)
    async with listening(api, path) as stream, running_api(service, redis_url) as other:
        assert await stream.kinds(1) == ["ready"]
        with Stopwatch() as waiting:
            await patch(other, path, description="x")
            assert await stream.kinds(1) == ["updated"]
        assert waiting.seconds < 3, "by a notification, not when everything is read again"


async def test_revoking_a_key_ends_its_streams(api: Client, service: str) -> None:
    path = await create(api)
    key_id = await add_key(
        service, owner="alice", scopes=(PROFILES_READ,), secret_sha256=key_hash("alices-other")
    )
    dropped = value_of("registry_stream_listeners_dropped_total", reason="credential")
    async with (
        listening(api, path, {"X-API-Key": "alices-other"}) as revoked,
        listening(api, path) as valid,
    ):
        assert await revoked.kinds(1) == await valid.kinds(1) == ["ready"]
        await revoke_key(service, key_id)
        assert await revoked.next(timeout_s=5) is None
        await patch(api, path, description="x")
        assert await valid.kinds(1) == ["updated"]
    assert value_of("registry_stream_listeners_dropped_total", reason="credential") == dropped + 1


async def test_a_key_that_loses_a_right_ends_its_streams(api: Client, service: str) -> None:
    path = await create(api)
    async with listening(api, path) as stream:
        assert await stream.kinds(1) == ["ready"]
        await set_only_key(
            service, owner="alice", scopes=(INSTRUMENTS_READ,), secret_sha256=key_hash("alice")
        )
        assert await stream.next(timeout_s=5) is None


async def test_a_key_that_expires_ends_its_streams(api: Client, service: str) -> None:
    path = await create(api)
    await add_key(
        service,
        owner="alice",
        scopes=(PROFILES_READ,),
        secret_sha256=key_hash("short"),
        expires_at=datetime.now(UTC) + timedelta(seconds=1.5),
    )
    async with listening(api, path, {"X-API-Key": "short"}) as stream:
        assert await stream.kinds(1) == ["ready"]
        assert await stream.next(timeout_s=5) is None
    async with api.get(f"{path}/stream", headers={"X-API-Key": "short"}) as response:
        assert response.status == 401


async def test_a_token_that_expires_ends_its_streams(
    service: str, redis_url: str, provider: Provider
) -> None:
    settings: dict[str, Any] = {"jwks_url": provider.url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with running_api(service, redis_url, **settings) as api:
        path = await create(api)
        scope = f"{PROFILES_READ} {PROFILES_ADMIN}"
        short, long = (
            {"Authorization": f"Bearer {signed(scope=scope, exp=time.time() - LEEWAY_S + valid_s)}"}
            for valid_s in (1.5, 600)
        )
        async with listening(api, path, short) as ending, listening(api, path, long) as valid:
            assert await ending.kinds(1) == await valid.kinds(1) == ["ready"]
            assert await ending.next(timeout_s=5) is None
            await patch(api, path, description="x")
            assert await valid.kinds(1) == ["updated"]


async def test_anonymous_callers_who_may_read_profiles_are_not_cut_off(
    service: str, redis_url: str, database: Connection
) -> None:
    async with running_api(service, redis_url, anonymous_scopes=(PROFILES_READ,)) as api:
        path = await create(api)
        await database.execute("UPDATE profiles SET owner = $1", ANONYMOUS)
        async with listening(api, path, {}) as stream:
            assert await stream.kinds(1) == ["ready"]
            await asyncio.sleep(CHECK_S * 1.5)
            await patch(api, path, OPS, description="x")
            assert await stream.kinds(1) == ["updated"]


async def test_owners_listen_to_their_own(api: Client) -> None:
    path = await create(api)
    async with api.get(f"{path}/stream", headers=BOB) as response:
        assert response.status == 404
    async with api.get(f"{PATH}/prf_{'0' * 32}/stream", headers=ALICE) as response:
        assert response.status == 404
    async with api.get(f"{path}/stream") as response:
        assert response.status == 401
    async with listening(api, path, OPS) as stream:
        assert await stream.kinds(1) == ["ready"]


async def test_a_slow_listener_is_cut_off_and_a_quick_one_gets_everything(
    api: Client, database: Connection
) -> None:
    path = await create(api)
    base = api._base_url
    assert base is not None and base.host and base.port
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.setblocking(False)
    dropped = value_of("registry_stream_listeners_dropped_total", reason="slow")
    try:
        await asyncio.get_running_loop().sock_connect(slow, (base.host, base.port))
        request = f"GET {path}/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: alice\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(slow, request.encode())
        async with listening(api, path) as quick:
            ready = await quick.next()

            async def both() -> bool:
                return value_of("registry_stream_listeners") == 2

            await eventually(both)
            count = MAX_WAITING + 60
            writing = asyncio.create_task(write_large_events(database, path, count))
            numbers = [event.number for _ in range(count) if (event := await quick.next())]
            await writing
            assert ready and numbers == list(range(ready.number + 1, ready.number + 1 + count))

            async def cut_off() -> bool:
                return value_of("registry_stream_listeners") == 1

            await eventually(cut_off)
        assert value_of("registry_stream_listeners_dropped_total", reason="slow") == dropped + 1
    finally:
        slow.close()


async def test_500_listeners_of_one_profile(api: Client) -> None:
    path = await create(api)
    async with AsyncExitStack() as stack:
        unlimited = TCPConnector(limit=0)
        many = await stack.enter_async_context(ClientSession(api._base_url, connector=unlimited))
        streams = [await stack.enter_async_context(listening(many, path)) for _ in range(500)]
        assert [await stream.kinds(1) for stream in streams] == [["ready"]] * 500
        await patch(api, path, description="x")
        assert [await stream.kinds(1) for stream in streams] == [["updated"]] * 500


async def test_streams_are_limited_per_owner_and_in_all(service: str, redis_url: str) -> None:
    async with running_api(service, redis_url, max_streams=3, max_streams_per_owner=2) as api:
        path = await create(api)
        async with AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(listening(api, path))
            async with api.get(f"{path}/stream", headers=ALICE) as response:
                assert response.status == 429 and response.headers["Retry-After"]
            third = AsyncExitStack()
            await third.enter_async_context(listening(api, path, OPS))
            async with api.get(f"{path}/stream", headers=OPS) as response:
                assert response.status == 503 and response.headers["Retry-After"]
            await third.aclose()

            async def room() -> bool:
                async with api.get(f"{path}/stream", headers=OPS, timeout=FOR_EVER) as response:
                    return response.status == 200

            await eventually(room)


async def test_a_stream_carries_the_headers_of_every_answer(api: Client) -> None:
    path = await create(api)
    headers = {**ALICE, "X-Request-ID": "seen"}
    async with api.get(f"{path}/stream", headers=headers, timeout=FOR_EVER) as response:
        assert response.headers["X-Request-ID"] == "seen"
        assert int(response.headers["RateLimit-Remaining"]) < int(response.headers["RateLimit-Limit"])
        assert response.headers["Cache-Control"] == "no-store"


async def test_heartbeats_come_while_nothing_happens(api: Client) -> None:
    path = await create(api)
    async with listening(api, path) as stream:
        assert await stream.kinds(1) == ["ready"]
        line = await stream.response.content.readuntil(b"\n\n")
        assert line == b":\n\n"


async def test_a_lost_connection_to_postgres_loses_nothing(api: Client, database: Connection) -> None:
    path = await create(api)
    async with listening(api, path) as stream:
        assert await stream.kinds(1) == ["ready"]
        for turn in range(3):
            ended = await database.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert ended
            await database.execute(  # a writer whose notification nobody hears
                "WITH profile AS (UPDATE profiles SET last_event = last_event + 1 RETURNING *) "
                "INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, detail) "
                "SELECT id, last_event, owner, 'updated', now(), version, 'tests', '{}' FROM profile"
            )
            assert await stream.kinds(1) == ["updated"], turn
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        async with database.transaction():
            await database.execute(
                "INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, detail) "
                "SELECT id, last_event + 1, owner, 'deleted', now(), version + 1, 'tests', '{}' FROM profiles"
            )
            await database.execute("DELETE FROM profiles")
        assert await stream.kinds(2) == ["deleted", "end"]


async def test_while_postgres_is_away_streams_stay_and_new_ones_are_told_to_wait(
    api: Client, service: str, database: Connection
) -> None:
    path = await create(api)
    name = service.rpartition("/")[2]
    async with listening(api, path) as stream:
        ready = await stream.next()
        server = url_of("postgres")
        await execute_on(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await execute_on(
            server,
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608
        )
        async with api.get(f"{path}/stream", headers=ALICE) as response:
            assert response.status == 503 and response.headers["Retry-After"]
        await execute_on(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

        async def written() -> bool:
            async with api.patch(
                path, json={"description": "x"}, headers={**ALICE, "If-Match": "*"}
            ) as response:
                return response.status == 200

        await eventually(written)
        event = await stream.next()
        assert ready and event and (event.kind, event.number) == ("updated", ready.number + 1)


async def test_shutdown_ends_open_streams_at_once(service: str, redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        serving = AsyncExitStack()
        api = await serving.enter_async_context(running_api(service, redis_url))
        path = await create(api)
        caller = await stack.enter_async_context(ClientSession(api._base_url))
        streams = [await stack.enter_async_context(listening(caller, path)) for _ in range(20)]
        assert [await stream.kinds(1) for stream in streams] == [["ready"]] * 20
        with Stopwatch() as stopping:
            closing = asyncio.create_task(serving.aclose())
            assert [await stream.next() for stream in streams] == [None] * 20
            await closing
        assert stopping.seconds < 2


async def test_nobody_is_notified_where_nobody_listens(api: Client, database: Connection) -> None:
    quiet, heard = await create(api, name="quiet"), await create(api, name="heard")
    told: list[str] = []
    await database.add_listener("profile_events", lambda *notification: told.append(str(notification[-1])))
    async with listening(api, heard) as stream:
        assert await stream.kinds(1) == ["ready"]
        await patch(api, quiet, description="x")
        await patch(api, heard, description="x")
        assert await stream.kinds(1) == ["updated"]

    async def notified() -> bool:
        await database.execute("SELECT 1")
        return bool(told)

    await eventually(notified)
    assert {text.replace("-", "") for text in told} == {heard.rpartition("_")[2]}
