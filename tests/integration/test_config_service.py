"""Real configuration services: what they hold is followed without a restart, and what they lack is borne."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from aiohttp import ClientSession, encode_basic_auth, web
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis

from app.auth.api_keys import key_hash
from app.domain.access import CONFIG_ADMIN, INSTRUMENTS_READ
from app.domain.errors import ConfigServiceUnavailable, RedisUnavailable
from app.embedded.children import free_port
from app.parameters.address import parse_address
from app.parameters.definitions import Parameters
from app.parameters.live import LiveParameters
from app.parameters.service import ConfigService, Unreadable, config_service
from app.store.api_keys import add_key
from app.store.index_state import read_live_state
from app.store.redis import bound_replies, open_redis, redis_errors
from indexer import runner
from tests.integration.config_services import Backend, Etcd, Gateway, WebService, put_all, standing_before
from tests.integration.conftest import Client, WaitLevel, eventually, get_json, running_api, running_indexer
from tests.integration.test_workers import Start, start

__all__ = ["start"]  # a fixture

POLL_S: Final = 0.2
SEARCH: Final = "/v1/instruments/search"
CONFIG: Final = "/v1/admin/config"
KEY: Final = {"X-API-Key": "admin"}


@pytest.fixture(params=["etcd", "http"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Either of them."""
    found: Backend = request.getfixturevalue("etcd" if request.param == "etcd" else "web_service")
    return found


@asynccontextmanager
async def opened(url: str, poll_s: float = POLL_S) -> AsyncIterator[ConfigService]:
    service = config_service(url, poll_s)
    await service.open()
    try:
        yield service
    finally:
        await service.close()


# The port: what both services do alike.


async def test_what_is_missing_is_created_and_nothing_overwritten(backend: Backend) -> None:
    async with opened(backend.url) as service:
        assert await service.read("SEARCH_TIMEOUT") is None
        assert await service.read_all() == {}
        assert await service.create("SEARCH_TIMEOUT", 5000)
        assert not await service.create("SEARCH_TIMEOUT", 6000)
        assert await service.read("SEARCH_TIMEOUT") == 5000
        assert await service.create("QUERY_OPTIMIZATION", value=True)
        await backend.put("CACHE_TTL_SECONDS", "{nonsense")
        assert not await service.create("CACHE_TTL_SECONDS", 300)
        assert await service.read_all() == {
            "SEARCH_TIMEOUT": 5000,
            "QUERY_OPTIMIZATION": True,
            "CACHE_TTL_SECONDS": Unreadable("is no JSON"),
        }


async def test_readings_tell_every_change(backend: Backend) -> None:
    await backend.put("SEARCH_TIMEOUT", "1000")
    async with opened(backend.url) as service, aclosing(service.readings()) as readings:

        async def until(**expected: object) -> None:
            async with asyncio.timeout(15):
                async for reading in readings:
                    if reading == expected:
                        return

        await until(SEARCH_TIMEOUT=1000)
        await backend.put("SEARCH_TIMEOUT", "2000")
        await until(SEARCH_TIMEOUT=2000)
        await backend.put("MAX_RESULTS_PER_PAGE", '"many"')
        await until(SEARCH_TIMEOUT=2000, MAX_RESULTS_PER_PAGE="many")
        await backend.remove("SEARCH_TIMEOUT")
        await until(MAX_RESULTS_PER_PAGE="many")


async def test_a_service_that_is_down_is_said_to_be(backend: Backend) -> None:
    async with opened(backend.url) as service, aclosing(service.readings()) as readings:
        await anext(readings)
        await backend.stop()
        with pytest.raises(ConfigServiceUnavailable, match=r"127\.0\.0\.1:\d+/"):
            async with asyncio.timeout(15):
                async for _ in readings:
                    pass
        with pytest.raises(ConfigServiceUnavailable):
            await service.create("SEARCH_TIMEOUT", 1)
        await backend.start()
        assert await service.read_all() == {}


# HTTP.


async def test_what_has_not_changed_is_not_sent_again(web_service: WebService) -> None:
    await put_all(web_service)
    async with opened(web_service.url) as service:
        first = await service.read_all()
        await web_service.put("SEARCH_TIMEOUT", "7")
        web_service.answered.clear()
        assert await service.read_all() == {**first, "SEARCH_TIMEOUT": 7}
    assert sorted(status for _, status in web_service.answered) == [200, 304, 304, 304, 304]


async def test_a_service_that_heeds_no_conditions_is_not_made_to_overwrite(web_service: WebService) -> None:
    web_service.heeds_conditions = False
    await web_service.put("SEARCH_TIMEOUT", "7")
    async with opened(web_service.url) as service:
        assert not await service.create("SEARCH_TIMEOUT", 5000)
        assert await service.read("SEARCH_TIMEOUT") == 7


async def test_what_others_register_meanwhile_stays(web_service: WebService) -> None:
    await web_service.put("SEARCH_TIMEOUT", "7")
    web_service.is_behind = True
    async with opened(web_service.url) as service:
        assert not await service.create("SEARCH_TIMEOUT", 5000)
        web_service.is_behind = False
        assert await service.read("SEARCH_TIMEOUT") == 7


@pytest.mark.parametrize(("status", "said"), [(500, "answers 500"), (302, "302"), (401, "user and password")])
async def test_what_a_service_answers_instead_is_told(
    status: int, said: str, web_service: WebService
) -> None:
    web_service.status = status
    async with opened(web_service.url) as service:
        for asked in (service.read_all(), service.create("SEARCH_TIMEOUT", 1)):
            with pytest.raises(ConfigServiceUnavailable, match=f"{said}.*out of order"):
                await asked


@pytest.mark.parametrize("body", [b"5000", b'{"values": 1}', b'{"value": null}', b"[]"])
async def test_a_body_of_another_shape_is_no_value(body: bytes, web_service: WebService) -> None:
    web_service.held["SEARCH_TIMEOUT"] = body
    async with opened(web_service.url) as service:
        assert await service.read("SEARCH_TIMEOUT") == Unreadable('is no JSON object with a "value"')


# etcd.


async def test_a_watch_that_a_compaction_overtook_is_begun_anew(etcd: Etcd) -> None:
    async with (
        standing_before(etcd) as gateway,
        opened(gateway.url, poll_s=60) as service,
        aclosing(service.readings()) as readings,
    ):
        gateway.tells.set()
        assert await anext(readings) == {}
        following = asyncio.ensure_future(anext(readings))

        async def is_watched() -> bool:
            return gateway.watches == 1

        await eventually(is_watched)
        for value in ("1", "2", "3"):
            await etcd.put("SEARCH_TIMEOUT", value)
        await etcd.compact()
        gateway.begins.set()
        async with asyncio.timeout(15):
            assert await following == {"SEARCH_TIMEOUT": 3}
        await assert_watched(gateway, etcd, readings)
        assert gateway.watches == 2


async def test_a_watch_that_says_nothing_is_begun_anew(etcd: Etcd) -> None:
    """As of a connection whose other end is gone: nothing comes, and nothing fails."""
    async with (
        standing_before(etcd) as gateway,
        opened(gateway.url) as service,
        aclosing(service.readings()) as readings,
    ):
        gateway.begins.set()
        assert await anext(readings) == {}
        assert await anext(readings) == {}, "it is known that etcd still answers"
        await etcd.put("SEARCH_TIMEOUT", "3")
        async with asyncio.timeout(15):
            while await anext(readings) != {"SEARCH_TIMEOUT": 3}:
                pass
        gateway.tells.set()
        await assert_watched(gateway, etcd, readings)
        assert gateway.watches >= 2


async def assert_watched(gateway: Gateway, etcd: Etcd, readings: Any) -> None:
    """Whether a change is told."""
    await etcd.put("SEARCH_TIMEOUT", "4")
    async with asyncio.timeout(15):
        while await anext(readings) != {"SEARCH_TIMEOUT": 4}:
            pass


async def test_etcd_with_users(etcd: Etcd) -> None:
    """Also after a restart, which forgets the tokens that it gave."""
    await etcd.call("auth/user/add", name="root", password="r:t")
    await etcd.call("auth/role/add", name="root")
    await etcd.call("auth/user/grant", user="root", role="root")
    await etcd.call("auth/enable")
    secured = etcd.url.replace("//", "//root:{}@")
    async with opened(etcd.url) as service:
        with pytest.raises(ConfigServiceUnavailable, match="user name is empty"):
            await service.read_all()
    async with opened(secured.format("wrong")) as service:
        with pytest.raises(ConfigServiceUnavailable, match="does not take user and password") as raised:
            await service.read_all()
        assert "wrong" not in str(raised.value)
    async with opened(secured.format("r%3At")) as service:
        assert await service.create("SEARCH_TIMEOUT", 5)
        await etcd.stop()
        await etcd.start()
        assert await service.read_all() == {"SEARCH_TIMEOUT": 5}
        async with aclosing(service.readings()) as readings:
            assert await anext(readings) == {"SEARCH_TIMEOUT": 5}
            assert await anext(readings) == {"SEARCH_TIMEOUT": 5}


async def test_the_http_service_with_a_user(web_service: WebService) -> None:
    async with opened(web_service.url.replace("//", "//u:Hidden@")) as service:
        await service.read("SEARCH_TIMEOUT")
        assert service.address.shown == web_service.url
    assert encode_basic_auth("u", "Hidden") in web_service.authorizations
    web_service.status = 403
    async with opened(web_service.url.replace("//", "//u:Hidden@")) as service:
        with pytest.raises(ConfigServiceUnavailable) as raised:
            await service.read("SEARCH_TIMEOUT")
        assert "Hidden" not in str(raised.value)


async def test_something_else_than_etcd_is_no_crash(web_service: WebService) -> None:
    async with opened(web_service.url.replace("http:", "etcd:").removesuffix("/base")) as service:
        with pytest.raises(ConfigServiceUnavailable, match="answers 404"):
            await service.read_all()


# The API.


@asynccontextmanager
async def following_api(
    database_url: str, redis_url: str, backend: Backend, parameters: Parameters | None = None
) -> AsyncIterator[Client]:
    await add_key(database_url, owner="admin", scopes=(CONFIG_ADMIN,), secret_sha256=key_hash("admin"))
    settings = {"config_url": backend.url, "config_poll_s": POLL_S}
    async with running_api(
        database_url, redis_url, parameters=parameters or Parameters(), **settings
    ) as client:
        yield client


async def states(client: Client) -> dict[str, dict[str, Any]]:
    async with client.get(CONFIG, headers=KEY) as response:
        assert response.status == 200, await response.text()
        return {one["name"]: one for one in (await response.json())["parameters"]}


async def until(client: Client, name: str, *expected: object) -> dict[str, Any]:
    """Wait for a parameter's value and source."""
    found: dict[str, Any] = {}

    async def is_so() -> bool:
        nonlocal found
        found = (await states(client))[name]
        return (found["value"], found["source"]) == expected

    try:
        await eventually(is_so)
    except TimeoutError:
        pytest.fail(f"{found} and not {expected}")
    return found


async def test_the_api_follows_without_a_restart(
    database_url: str, redis_url: str, indexer: WaitLevel, backend: Backend
) -> None:
    await indexer()
    await put_all(backend, MAX_RESULTS_PER_PAGE="50")
    async with following_api(database_url, redis_url, backend) as api:
        assert (await states(api))["MAX_RESULTS_PER_PAGE"]["source"] == "service", (
            "it was read before serving"
        )
        assert await limit_status(api, 50) == 200 and await limit_status(api, 51) == 400
        await backend.put("MAX_RESULTS_PER_PAGE", "5")
        await until(api, "MAX_RESULTS_PER_PAGE", 5, "service")
        assert await limit_status(api, 5) == 200 and await limit_status(api, 6) == 400
        description = await get_json(api, "/openapi.json")
        limit = next(p for p in description["paths"][SEARCH]["get"]["parameters"] if p["name"] == "limit")
        assert limit["schema"]["maximum"] == 5

        # Answers are kept, then not, and then again.
        assert await sources(api) == ["redis", "cache"]
        await backend.put("CACHE_TTL_SECONDS", "0")
        await until(api, "CACHE_TTL_SECONDS", 0, "service")
        assert await sources(api) == ["redis", "redis"]
        await backend.put("CACHE_TTL_SECONDS", "60")
        await until(api, "CACHE_TTL_SECONDS", 60, "service")
        assert await sources(api) == ["redis", "cache"]


async def limit_status(client: Client, limit: int) -> int:
    async with client.get(SEARCH, params={"limit": limit}) as response:
        return response.status


async def sources(client: Client) -> list[str]:
    """Where two searches, one after the other, are answered from."""
    found = []
    for _ in range(2):
        async with client.get(SEARCH, params={"q": "apple"}) as response:
            found.append(response.headers["X-Search-Source"])
    return found


async def test_nonsense_and_absence_keep_the_last_good_value(
    database_url: str, redis_url: str, backend: Backend
) -> None:
    await put_all(backend, MAX_RESULTS_PER_PAGE="50", SEARCH_TIMEOUT="0")
    async with following_api(database_url, redis_url, backend, Parameters(cache_ttl_seconds=7)) as api:
        never_good = (await states(api))["SEARCH_TIMEOUT"]
        assert (never_good["value"], never_good["source"]) == (5000, "default")
        assert never_good["problem"] == "must be a whole number from 1 to 60000 ms, and is 0"
        assert (await states(api))["CACHE_TTL_SECONDS"]["source"] == "environment"
        for nonsense in ("0", "1001", '"5"', "true", "5.5", "[5]", "null", "5 0"):
            await backend.put("MAX_RESULTS_PER_PAGE", nonsense)
            found = await until(api, "MAX_RESULTS_PER_PAGE", 50, "service (last good)")
            assert "from 1 to 1000" in found["problem"] or "no JSON object" in found["problem"], nonsense
            await backend.put("MAX_RESULTS_PER_PAGE", "50")
            await until(api, "MAX_RESULTS_PER_PAGE", 50, "service")
        await backend.remove("MAX_RESULTS_PER_PAGE")
        found = await until(api, "MAX_RESULTS_PER_PAGE", 50, "service (last good)")
        assert "config register" in found["problem"]
        assert (await states(api))["QUERY_OPTIMIZATION"]["problem"] is None


async def test_a_service_that_goes_and_comes_back(
    database_url: str, redis_url: str, indexer: WaitLevel, backend: Backend
) -> None:
    await indexer()
    await put_all(backend, MAX_RESULTS_PER_PAGE="50")
    async with following_api(database_url, redis_url, backend) as api:
        await until(api, "MAX_RESULTS_PER_PAGE", 50, "service")
        await backend.stop()
        found = await until(api, "MAX_RESULTS_PER_PAGE", 50, "service (last good)")
        assert found["problem"] == "the configuration service does not answer"
        async with api.get(CONFIG, headers=KEY) as response:
            service = (await response.json())["service"]
        assert service["up"] is False and backend.url.rpartition("//")[2][:12] in service["problem"]
        assert await limit_status(api, 50) == 200 and await limit_status(api, 51) == 400
        await backend.start()
        await backend.put("MAX_RESULTS_PER_PAGE", "60")
        await until(api, "MAX_RESULTS_PER_PAGE", 60, "service")


async def test_a_start_without_the_service(
    database_url: str, redis_url: str, web_service: WebService
) -> None:
    await web_service.stop()
    await put_all(web_service, MAX_RESULTS_PER_PAGE="50", SEARCH_TIMEOUT="7")
    async with following_api(database_url, redis_url, web_service, Parameters(search_timeout=9)) as api:
        assert {(one["value"], one["source"]) for one in (await states(api)).values()} >= {
            (100, "default"),
            (9, "environment"),
        }
        await web_service.start()
        await until(api, "MAX_RESULTS_PER_PAGE", 50, "service")
        assert (await states(api))["SEARCH_TIMEOUT"]["value"] == 9


async def test_the_first_answer_knows_what_a_slow_service_holds(
    database_url: str, redis_url: str, web_service: WebService
) -> None:
    await put_all(web_service, MAX_RESULTS_PER_PAGE="50")
    web_service.delay_s = 0.3
    async with following_api(database_url, redis_url, web_service) as api:
        assert (await states(api))["MAX_RESULTS_PER_PAGE"]["source"] == "service"


async def test_only_those_with_the_scope_see_it(database_url: str, redis_url: str) -> None:
    await add_key(database_url, owner="r", scopes=(INSTRUMENTS_READ,), secret_sha256=key_hash("reader"))
    async with running_api(database_url, redis_url) as api:
        for headers, status in (({}, 401), ({"X-API-Key": "reader"}, 403)):
            async with api.get(CONFIG, headers=headers) as response:
                assert response.status == status


async def test_replies_are_waited_for_as_long_as_searches_may_take(redis_url: str) -> None:
    """On a connection that is open already."""
    client = open_redis(redis_url, pool_size=1, timeout_s=0.2)
    try:
        await client.ping()
        bound_replies(client, 10)
        with redis_errors():
            assert await client.blpop(["nothing"], timeout=0.5) is None
        bound_replies(client, 0.1)
        with pytest.raises(RedisUnavailable), redis_errors():
            await client.execute_command("BLPOP", "nothing", "5")  # type: ignore[no-untyped-call]
    finally:
        await client.aclose()


# Other processes.


async def test_every_worker_follows(start: Start, etcd: Etcd) -> None:
    await put_all(etcd, MAX_RESULTS_PER_PAGE="50")
    serve = await start(
        2, REGISTRY_CONFIG_URL=etcd.url, REGISTRY_ANONYMOUS_SCOPES="instruments:read,config:admin"
    )

    async def have_all_started() -> bool:
        return set(serve.workers()) == {0, 1}

    await eventually(have_all_started, 30)
    await etcd.put("MAX_RESULTS_PER_PAGE", "5")

    async def have_all_followed() -> bool:
        lines = [orjson.loads(line) for line in serve.log.splitlines() if '"parameter changed"' in line]
        return {line["worker"] for line in lines if line["value"] == 5} == {0, 1}

    await eventually(have_all_followed)
    for _ in range(8):  # by a new connection each
        assert (await serve.get(f"{SEARCH}?limit=6")).status == 400
    assert await serve.metric('registry_parameter_value{parameter="MAX_RESULTS_PER_PAGE"}') == 5
    assert await serve.metric('registry_config_service_up{service="etcd"}') == 1
    assert (await serve.get("/v1/admin/config")).status == 200


async def test_a_url_of_no_service_stops_the_start(start: Start) -> None:
    serve = await start(ready=False, REGISTRY_CONFIG_URL="consul://user:Hidden@host")
    assert await serve.process.wait() == 1
    assert "REGISTRY_CONFIG_URL: must be a URL like etcd://" in serve.log
    assert "Hidden" not in serve.log


async def test_the_indexer_follows(
    database_url: str, redis_url: str, redis_client: Redis, backend: Backend, tmp_path: Path
) -> None:
    await put_all(backend, SEARCH_INDEX_REFRESH="3600")
    port = free_port()
    settings = {
        "REGISTRY_DATABASE_URL": database_url,
        "REGISTRY_REDIS_URL": redis_url,
        "REGISTRY_CONFIG_URL": backend.url,
        "REGISTRY_CONFIG_POLL_S": str(POLL_S),
        "REGISTRY_INDEXER_PORT": str(port),
    }
    with (tmp_path / "indexer.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "indexer", "run"), env={**os.environ, **settings}, stderr=output
        )

    async def metric(name: str) -> float:
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    async def is_interval(interval_s: float) -> bool:
        try:
            return await metric('registry_parameter_value{parameter="SEARCH_INDEX_REFRESH"}') == interval_s
        except OSError:  # it is still starting
            return False

    async def is_busy() -> bool:
        """What else makes it refresh does so once a second."""
        before = await metric("registry_refresh_seconds_count")
        await asyncio.sleep(2)
        return await metric("registry_refresh_seconds_count") >= before + 5

    try:
        await eventually(partial(is_interval, 3600), 30)
        await backend.put("SEARCH_INDEX_REFRESH", "0.1")
        await eventually(partial(is_interval, 0.1))
        await eventually(is_busy)
        assert process.returncode is None
    finally:
        if process.returncode is None:
            process.terminate()
        assert await process.wait() == 0


async def test_a_shorter_interval_is_not_waited_for(
    database_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_chores", lambda *_: [])  # one of them wakes the leader every second
    parameters = LiveParameters(Parameters(), parse_address("etcd://host"))
    parameters.take({"SEARCH_INDEX_REFRESH": 3600})
    async with running_indexer(database_url, redis_client, parameters=parameters):
        await eventually(lambda: is_age(redis_client, lambda age_s: age_s > 1.5))
        parameters.take({"SEARCH_INDEX_REFRESH": 0.1})
        await eventually(lambda: is_age(redis_client, lambda age_s: age_s < 1))


async def is_age(client: Redis, expected: Callable[[float], bool]) -> bool:
    state = await read_live_state(client)
    return state is not None and expected(state.current_age_s)


@pytest.mark.parametrize("answer", [[], {"kvs": [5]}, {"kvs": 5}, "x"])
async def test_what_is_no_etcd_is_told(answer: object) -> None:
    async def say(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", say)
    async with TestServer(app) as server, opened(f"etcd://127.0.0.1:{server.port}") as service:
        for asked in (service.read_all(), service.read("SEARCH_TIMEOUT")):
            with pytest.raises(ConfigServiceUnavailable, match="as etcd does"):
                await asked
