"""A real service, at its most talkative, is sent secrets wherever they fit: none is in what it writes."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from app.auth.api_keys import key_hash, new_key
from app.domain.access import SCOPES
from app.environment import SettingsError
from app.settings import Settings
from app.store.api_keys import add_key, revoke_key
from app.store.postgres import Connection
from app.store.redis import execute
from tests.faults.system import System
from tests.integration.conftest import WaitLevel, eventually
from tests.integration.openid import AUDIENCE, ISSUER, OTHER_RSA_KEY, Provider, signed

JSON: Final = {"Content-Type": "application/json"}
SEARCH: Final = "/v1/instruments/search?q=alpha"


class Secrets:
    """Each by its name, so that a failure does not tell it either."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.database_password = secrets.token_urlsafe(24)
        self.redis_password = secrets.token_urlsafe(24)
        self.provider_password = secrets.token_urlsafe(24)
        self.key = new_key()
        self.revoked_key = new_key()
        self.unknown_key = new_key()
        self.token = signed(scope="instruments:read")
        self.unknown_token = signed(OTHER_RSA_KEY, scope="instruments:read")
        self.basic = secrets.token_urlsafe(24)
        self.cookie = secrets.token_urlsafe(24)

    def found_in(self, output: bytes) -> list[str]:
        return [name for name, secret in vars(self).items() if name != "role" and secret.encode() in output]

    def credentials(self) -> list[str]:
        return [self.key, self.revoked_key, self.unknown_key, self.token, self.unknown_token]


@pytest.fixture
async def hidden(database: Connection, database_url: str, redis_client: Redis) -> AsyncIterator[Secrets]:
    """Some of them let in: to Postgres, to Redis, and keys."""
    role = f"role_{secrets.token_hex(4)}"
    hidden = Secrets(role)
    await database.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{hidden.database_password}'")
    await execute(redis_client, "ACL", "SETUSER", "default", f">{hidden.redis_password}")
    for key in (hidden.key, hidden.revoked_key):
        last = await add_key(database_url, owner="logs", scopes=SCOPES, secret_sha256=key_hash(key))
    await revoke_key(database_url, last)
    yield hidden
    await execute(redis_client, "ACL", "SETUSER", "default", f"<{hidden.redis_password}")
    await database.execute(f"DROP ROLE {role}")


def with_login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()


async def test_no_secret_is_in_what_a_service_writes_or_answers(
    database_url: str,
    redis_url: str,
    indexer: WaitLevel,
    provider: Provider,
    hidden: Secrets,
    tmp_path: Path,
) -> None:
    await indexer()
    system = System(
        tmp_path,
        with_login(database_url, hidden.role, hidden.database_password),
        with_login(redis_url, "default", hidden.redis_password),
        log_level="debug",
        slow_query_ms="1",  # so that many are told
        jwks_url=with_login(provider.url, "registry", hidden.provider_password),
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
    )
    try:
        api = await system.start_api()
        async with ClientSession(api.base_url) as client:
            statuses, bodies = await _send(client, hidden)
            provider.answer = None
        await _send_malformed(urlsplit(api.base_url).port or 0, hidden)
        await provider.stop()
        indexing = system.start_indexer()
    finally:
        system.stop()
    assert {200, 201, 400, 401, 404, 415} <= statuses, statuses
    output = api.child.log.read_bytes()
    assert hidden.found_in(output) == []
    assert hidden.found_in(indexing.log.read_bytes()) == []
    # What callers send they may be sent back, but nothing of the service's own.
    own = {"database_password", "redis_password", "provider_password"}
    assert own.isdisjoint(hidden.found_in(bodies))
    lines = list(map(orjson.loads, output.splitlines()))
    events = {"request", "malformed request", "serving", "worker serving", "slow statement"}
    assert events <= {line["event"] for line in lines}
    requests = [line for line in lines if line["event"] == "request"]
    assert all(line["request_id"] and line["duration_ms"] > 0 for line in requests)
    principals = {line["principal"] for line in requests}
    assert {"anonymous", None} < principals and any(str(name).startswith("key:") for name in principals)


async def _send(client: ClientSession, hidden: Secrets) -> tuple[set[int], bytes]:
    """Secrets in every place of a request; the statuses and bodies of the answers."""
    statuses: set[int] = set()
    bodies = bytearray()

    async def ask(method: str, path: str, body: Any = None, **headers: str) -> None:
        data = None if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            sent = JSON | sent
        async with client.request(method, path, data=data, headers=sent) as response:
            statuses.add(response.status)
            bodies.extend(await response.read())

    own = {"X_API_Key": hidden.key}
    for one in hidden.credentials():
        await ask("GET", SEARCH, Authorization=f"Bearer {one}")
        await ask("GET", SEARCH, X_API_Key=one)
        await ask("GET", SEARCH, X_OPENFIGI_APIKEY=one)
        await ask("GET", SEARCH, Authorization=one)
        await ask("GET", SEARCH, X_Request_ID=one)
        await ask("GET", SEARCH, Cookie=f"session={one}", User_Agent=one, Referer=f"https://a.example/{one}")
        for path in (
            f"/v1/instruments/search?q={one[:200]}",
            f"{SEARCH}&api_key={one}",
            f"{SEARCH}&mic={one}",
        ):
            await ask("GET", path)
        for path in (f"/v1/instruments/{one}", f"/{one}", f"/v1/subscription-profiles/{one}"):
            await ask("GET", path, **own)
        await ask("POST", "/v1/instruments/lookup", {"identifiers": [{"type": "isin", "value": one}]})
        await ask("POST", "/v1/instruments/lookup", f'{{"identifiers": [{one}'.encode())
        profile = {"name": one[:90], "channels": ["trades"], "selection": {"query": {"q": one[:100]}}}
        await ask(
            "POST", "/v1/subscription-profiles", profile, X_API_Key=hidden.key, Idempotency_Key=one[:200]
        )
        await ask("POST", "/v1/subscription-profiles", {"key": one}, **own)
        await ask("POST", "/v1/instruments/lookup", {}, Content_Type=one)
        await ask("POST", "/v3/mapping", [{"idType": one, "idValue": one}], X_OPENFIGI_APIKEY=hidden.key)
    await ask("GET", SEARCH, Authorization=f"Basic {hidden.basic}", Cookie=f"session={hidden.cookie}")
    for path in ("/metrics", "/openapi.json", "/health/ready"):
        await ask("GET", path)
    return statuses, bytes(bodies)


async def _send_malformed(port: int, hidden: Secrets) -> None:
    """What no handler sees."""
    for head in (f"GET /{hidden.key} HTTP/9\r\n", f"GET / HTTP/1.1\r\n{hidden.key} {hidden.token}\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}Host: x\r\n\r\n".encode())
        assert b"400" in await reader.readline()
        writer.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {
            "database_url": "postgresql://u:SECRET@127.0.0.1:1/none",
            "redis_url": "redis://:SECRET@127.0.0.1:1",
        },
        {"database_url": "postgres//u:SECRET@host/none"},
    ],
    ids=["nobody is there", "no URL"],
)
async def test_no_secret_is_in_what_a_service_says_of_settings(
    wrong: Mapping[str, str], redis_url: str, tmp_path: Path
) -> None:
    secret = secrets.token_urlsafe(24)
    urls = {"redis_url": redis_url} | {name: url.replace("SECRET", secret) for name, url in wrong.items()}
    system = System(tmp_path, urls["database_url"], urls["redis_url"], log_level="debug")
    children = [system.start_indexer(), system.start_indexer("-m", "app.supervision")]

    async def have_spoken() -> bool:
        return all(child.log.stat().st_size > 0 for child in children)

    try:
        await eventually(have_spoken, 30)
    finally:
        system.stop()
    assert not any(secret.encode() in child.log.read_bytes() for child in children)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRY_REDIS_URL", "http://:SECRET@host"),
        ("REGISTRY_REDIS_URL", "redis+sentinel://:SECRET@host"),
        ("REGISTRY_REDIS_READ_URL", "redis://:SECRET@host:port"),
        ("REGISTRY_DATABASE_POOL_URL", "postgresql://u:SECRET@one,two/d"),
        ("REGISTRY_JWKS_URL", "ftp://u:SECRET@host/keys"),
        ("REGISTRY_DEMO_KEY", "SECRET with a space"),
    ],
)
def test_a_refusal_of_a_setting_does_not_quote_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refusal:
        Settings.from_environment()
    assert name in str(refusal.value) and "SECRET" not in str(refusal.value)
