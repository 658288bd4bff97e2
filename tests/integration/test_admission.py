"""Limits over HTTP: shared by processes, told in headers, for known callers and for guessing ones."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.auth.api_keys import key_hash
from app.auth.rate_limits import KEY_PREFIX, WINDOW_S
from app.domain.access import INSTRUMENTS_READ, PROFILES_READ
from app.embedded.redis import start_redis
from app.main import make_app
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.store.api_keys import add_key
from app.store.postgres import Connection
from app.store.redis import execute
from app.web.admission import network_of
from app.web.services import SERVICES
from tests.integration.conftest import Client, fresh_window, running_api, script_calls, serving
from tests.integration.openid import AUDIENCE, ISSUER, Provider, signed
from tests.stopwatch import Stopwatch

PROFILES = "/v1/subscription-profiles"
SEARCH = "/v1/instruments/search"
LIMIT = 5


@pytest.fixture(autouse=True)
async def window(redis_client: Redis) -> None:
    """Enough of a window is left for a test."""
    await fresh_window(redis_client, WINDOW_S, spare_s=8)


async def make_key(database_url: str, secret: str, per_minute: int | None = LIMIT) -> int:
    return await add_key(
        database_url,
        owner="desk",
        scopes=[INSTRUMENTS_READ, PROFILES_READ],
        secret_sha256=key_hash(secret),
        requests_per_minute=per_minute,
    )


async def get(
    api: Client, key: str | None = None, path: str = PROFILES, **headers: str
) -> tuple[int, Any, Any]:
    """Status, headers and content."""
    sent = {"Authorization": f"Bearer {key}"} if key is not None else {}
    async with api.get(path, headers={**sent, **headers}) as response:
        content = await response.json(content_type=None) if await response.read() else None
        return response.status, response.headers, content


async def statuses(api: Client, key: str | None, count: int, path: str = PROFILES) -> list[int]:
    return [(await get(api, key, path))[0] for _ in range(count)]


async def rate_limited(api: Client, limited: str) -> float:
    async with api.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    name = f'registry_rate_limited_total{{limited="{limited}"}} '
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


async def test_two_processes_admit_the_limit_of_a_key_together(database_url: str, redis_url: str) -> None:
    await make_key(database_url, "k")
    await make_key(database_url, "other")
    async with running_api(database_url, redis_url) as one, running_api(database_url, redis_url) as two:
        answers = await asyncio.gather(*(statuses(api, "k", LIMIT) for api in (one, two)))
        assert sorted(answers[0] + answers[1]) == [200] * LIMIT + [429] * LIMIT
        assert await statuses(two, "other", 1) == [200]


async def test_the_limit_counts_down_and_then_refuses(
    database_url: str, redis_url: str, database: Connection
) -> None:
    await database.execute("INSERT INTO instruments (symbol, name, asset_class) VALUES ('A', 'N', 'equity')")
    await make_key(database_url, "k")
    answered = [
        (200, {"path": "/v1/instruments/ins_1"}),
        (304, {"path": "/v1/instruments/ins_1", "If-None-Match": '"1"'}),
        (404, {"path": "/v1/instruments/ins_9"}),
        (400, {"path": f"{PROFILES}?limit=0"}),
        (400, {"path": f"{SEARCH}?limit=0"}),
        (429, {"path": PROFILES}),
    ]
    async with running_api(database_url, redis_url) as api:
        before = await rate_limited(api, "key")
        for used, (status, options) in enumerate(answered, start=1):
            answered_status, headers, problem = await get(api, "k", **options)
            assert answered_status == status, options
            assert headers["RateLimit-Limit"] == str(LIMIT)
            assert headers["RateLimit-Remaining"] == str(max(0, LIMIT - used))
            assert 1 <= int(headers["RateLimit-Reset"]) <= WINDOW_S + 1
            assert headers["X-Request-ID"]
        assert headers["Retry-After"] == headers["RateLimit-Reset"]
        assert f"limit of {LIMIT} requests" in problem["detail"] and problem["status"] == 429
        assert await rate_limited(api, "key") == before + 1


async def test_the_default_is_for_keys_and_tokens_that_have_none(
    database_url: str, redis_url: str, provider: Provider
) -> None:
    await make_key(database_url, "k", per_minute=None)
    token = signed(scope=PROFILES_READ)
    tokens: dict[str, Any] = {"jwks_url": provider.url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with running_api(database_url, redis_url, requests_per_minute=2, **tokens) as api:
        for credential in ("k", token):
            assert await statuses(api, credential, 3) == [200, 200, 429]
        another_of_the_same = signed(scope=PROFILES_READ, jti="2")
        assert await statuses(api, another_of_the_same, 1) == [429]
        assert await rate_limited(api, "jwt") >= 2


async def test_anonymous_callers_share_the_limit_of_their_address(database_url: str, redis_url: str) -> None:
    await make_key(database_url, "k")
    async with running_api(database_url, redis_url, anonymous_requests_per_minute=3) as api:
        assert await statuses(api, None, 4, "/v1/instruments/ins_1") == [404] * 3 + [429]
        assert await rate_limited(api, "address") >= 1


async def test_guessing_is_limited_by_address_and_known_keys_go_on(
    database_url: str, redis_url: str, provider: Provider
) -> None:
    await make_key(database_url, "k")
    good = signed(scope=PROFILES_READ)
    tokens: dict[str, Any] = {"jwks_url": provider.url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with running_api(database_url, redis_url, anonymous_requests_per_minute=6, **tokens) as api:
        assert await statuses(api, "k", 1) == [200]
        assert await statuses(api, good, 2) == [200, 200]
        spent = 6 - int((await get(api, "ir_guess"))[1]["RateLimit-Remaining"])
        guesses = ["ir_guess", "a.b.c", signed(kid="nobody"), "not a key", ""]
        answers = [(await get(api, guess))[0] for guess in guesses]
        assert answers == [401] * (6 - spent) + [429] * (len(guesses) - 6 + spent)
        for guess in ("ir_guess", "a.b.c", signed(kid="nobody")):
            status, headers, _ = await get(api, guess)
            assert (status, headers["RateLimit-Limit"]) == (429, "6")
        assert await statuses(api, "k", 1) == [200]
        assert await statuses(api, good, 1) == [200]


async def test_without_redis_the_limit_holds_in_each_process(database_url: str, tmp_path: Path) -> None:
    await make_key(database_url, "k")
    redis = start_redis(tmp_path, "tests", persist=False)
    try:
        async with running_api(database_url, redis.url()) as api:
            client = Redis.from_url(redis.url())
            await fresh_window(client, WINDOW_S, spare_s=8)
            await client.aclose()
            assert await statuses(api, "k", 2) == [200, 200]
            redis.child.stop()
            with Stopwatch() as asking:
                assert await statuses(api, "k", LIMIT + 2) == [200] * LIMIT + [429] * 2
            assert asking.seconds < 2
    finally:
        redis.child.stop()


async def test_a_search_does_not_ask_redis_whether_it_may(
    database_url: str, redis_url: str, redis_client: Redis, database: Connection
) -> None:
    await database.execute("INSERT INTO instruments (symbol, name, asset_class) VALUES ('A', 'N', 'equity')")
    await make_key(database_url, "k", per_minute=100_000)
    from_postgres = {"Cache-Control": "no-cache"}
    async with running_api(database_url, redis_url, redis_search_ms=100) as api:
        assert (await get(api, "k", "/v1/instruments/ins_1", **from_postgres))[0] == 200
        before = await script_calls(redis_client)
        assert 200 in set(await statuses(api, "k", 300, SEARCH)), "nothing is indexed, Postgres answers some"
        assert await script_calls(redis_client) == before
        await redis_client.client_pause(3000)
        with Stopwatch() as asking:
            for _ in range(20):
                assert (await get(api, "k", "/v1/instruments/ins_1", **from_postgres))[0] == 200
        assert asking.seconds < 2
        await redis_client.client_unpause()


async def test_searches_that_take_every_connection_do_not_hold_admissions_up(
    database_url: str, redis_url: str, redis_client: Redis
) -> None:
    """The limit of 100 is asked of Redis at each request, while the searches' one connection is taken."""
    settings = Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        redis_pool_size=1,
        anonymous_scopes=(INSTRUMENTS_READ,),
        anonymous_requests_per_minute=100,
    )
    app = make_app(settings, Parameters(), asyncio.get_running_loop().create_future())
    async with serving(app) as api:
        blocked = asyncio.create_task(execute(app[SERVICES].index.client, "BLPOP", "nothing", 3))
        await asyncio.sleep(0)
        for left in (99, 98, 97):
            async with api.get("/v1/instruments/ins_1/history") as response:
                assert (response.status, response.headers["RateLimit-Remaining"]) == (404, str(left))
        assert await redis_client.hget(f"{KEY_PREFIX}address:127.0.0.1", "used") == b"3", "Redis was asked"
        assert not blocked.done()
        assert await blocked is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::/64"),
        (None, "local"),
    ],
)
def test_one_host_is_one_network(address: str | None, network: str) -> None:
    assert network_of(address) == network
