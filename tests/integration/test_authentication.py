"""Who is let in over HTTP: keys and tokens against real servers, each refusal with its own detail."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.auth.api_keys import key_hash
from app.domain.access import (
    INDEX_ADMIN,
    INSTRUMENTS_READ,
    PROFILES_ADMIN,
    PROFILES_READ,
    PROFILES_WRITE,
    SCOPES,
    owner_of_token,
)
from app.domain.errors import AuthFailure
from app.store.api_keys import add_key, revoke_key
from app.store.postgres import Connection
from app.web.console.assets import VERSION
from app.web.routes import ENDPOINTS
from tests.integration.conftest import Client, eventually, running_api
from tests.integration.openid import (
    AUDIENCE,
    ED_KEY,
    ISSUER,
    OTHER_RSA_KEY,
    P256_KEY,
    RSA_KEY,
    Provider,
    claims,
    part,
    signed,
)

PATH = "/v1/subscription-profiles"
READ_WRITE = f"{PROFILES_READ} {PROFILES_WRITE}"
PROFILE: dict[str, Any] = {"name": "P", "channels": ["trades"], "selection": {"query": {"q": "x"}}}
TOKEN_SETTINGS: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}


@pytest.fixture
async def api(database_url: str, redis_url: str, provider: Provider) -> AsyncIterator[Client]:
    """Closed to anonymous callers; knows the key `alice`."""
    await make_key(database_url, "alice", owner="alice")
    async with running_api(
        database_url, redis_url, anonymous_scopes=(), jwks_url=provider.url, **TOKEN_SETTINGS
    ) as client:
        yield client


async def make_key(database_url: str, secret: str, *, owner: str, scopes: str = READ_WRITE) -> int:
    return await add_key(database_url, owner=owner, scopes=scopes.split(), secret_sha256=key_hash(secret))


async def call(
    api: Client, credential: str | None, method: str = "GET", path: str = PATH, **more: Any
) -> Any:
    """Status, headers and content of an answer to a bearer."""
    headers = {"Authorization": f"Bearer {credential}"} if credential is not None else {}
    async with api.request(method, path, headers={**headers, **more.pop("headers", {})}, **more) as response:
        text = await response.text()
        is_json = response.content_type.endswith("json")
        return response.status, response.headers, json.loads(text) if is_json and text else text


async def refusal(api: Client, credential: str | None, status: int = 401, **more: Any) -> str:
    """The detail of a refusal, which is a problem without any trace of our insides."""
    answered, headers, problem = await call(api, credential, **more)
    assert (answered, headers["Content-Type"]) == (status, "application/problem+json"), problem
    assert problem["status"] == status and "Traceback" not in json.dumps(problem)
    assert headers["RateLimit-Limit"] and headers["RateLimit-Remaining"] and headers["RateLimit-Reset"]
    assert ("WWW-Authenticate" in headers) == (status == 401)
    return str(problem["detail"])


async def failures(api: Client) -> dict[str, float]:
    """How often each reason was counted."""
    async with api.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    name = 'registry_auth_failures_total{reason="'
    counted = (line.removeprefix(name).split('"} ') for line in lines if line.startswith(name))
    return {reason: float(count) for reason, count in counted}


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA_KEY, "RS256", "rsa"), (P256_KEY, "ES256", "p256")]
)
async def test_the_bearer_of_a_token_works_with_profiles_of_its_own(
    api: Client, key: Any, algorithm: str, kid: str
) -> None:
    ann = signed(key, algorithm, kid, scope=READ_WRITE)
    status, headers, profile = await call(api, ann, "POST", json=PROFILE)
    assert (status, profile["owner"]) == (201, owner_of_token(ISSUER, "ann"))
    path = headers["Location"]
    assert (await call(api, ann, path=path))[2] == profile
    status, _, changed = await call(
        api, ann, "PATCH", path, json={"status": "paused"}, headers={"If-Match": headers["ETag"]}
    )
    assert (status, changed["status"]) == (200, "paused")
    assert len((await call(api, ann))[2]["profiles"]) == 1
    bob = signed(scope=READ_WRITE, sub="bob")
    assert (await call(api, bob, path=path))[0] == (await call(api, "alice", path=path))[0] == 404


async def test_a_caller_is_told_who_it_is_taken_for(api: Client) -> None:
    status, headers, told = await call(api, signed(scope=READ_WRITE), path="/v1/caller")
    assert (status, told["owner"]) == (200, owner_of_token(ISSUER, "ann")) and headers["RateLimit-Remaining"]
    assert (told["anonymous"], told["scopes"]) == (False, sorted(READ_WRITE.split()))
    assert datetime.fromisoformat(told["expires_at"]) > datetime.now(UTC)
    status, _, told = await call(api, None, path="/v1/caller")
    assert (status, told["anonymous"], told["scopes"], told["expires_at"]) == (200, True, [], None)
    await refusal(api, "unknown", path="/v1/caller")


async def test_no_token_is_the_owner_that_a_key_is(api: Client, database_url: str) -> None:
    """Not even with the same text, in whichever of the two it stands."""
    ann = signed(scope=READ_WRITE)
    await call(api, ann, "POST", json=PROFILE)
    texts = (owner_of_token(ISSUER, "ann"), "ann", owner_of_token(ISSUER, "ann").removeprefix("jwt:"))
    for number, owner in enumerate(texts):
        await make_key(database_url, f"like-{number}", owner=owner)
        status, _, page = await call(api, f"like-{number}")
        assert (status, page["profiles"]) == (200, []), owner
    await call(api, "alice", "POST", json=PROFILE)
    for subject in ("alice", "key:alice"):
        assert (await call(api, signed(scope=READ_WRITE, sub=subject)))[2]["profiles"] == []


async def test_the_admin_of_profiles_crosses_owners(api: Client) -> None:
    _, headers, profile = await call(api, "alice", "POST", json=PROFILE)
    admin = signed(scope=f"{READ_WRITE} {PROFILES_ADMIN}", sub="root")
    assert (await call(api, admin, path=headers["Location"]))[2] == profile


async def test_a_token_without_the_scope_is_known_but_not_allowed(api: Client) -> None:
    reader = signed(scope=f"{PROFILES_READ} unheard:of")
    assert (await call(api, reader))[0] == 200
    assert PROFILES_WRITE in await refusal(api, reader, 403, method="POST", json=PROFILE)
    assert PROFILES_READ in await refusal(api, signed(), 403)


def with_the_public_key_as_secret() -> str:
    secret = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = part(b'{"alg":"HS256","kid":"rsa"}')
    signing_input = f"{header}.{part(json.dumps(claims()).encode())}"
    return f"{signing_input}.{part(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


def unsigned() -> str:
    header = part(b'{"alg":"none"}')
    return f"{header}.{part(json.dumps(claims(scope=READ_WRITE)).encode())}."


REFUSED = {
    "malformed_token": ("a.b.c", "malformed"),
    "algorithm": (unsigned(), "is not signed with one of"),
    "unknown_signing_key": (signed(kid="nobody"), "names no signing key"),
    "bad_signature": (signed(OTHER_RSA_KEY), "signature"),
    "wrong_issuer": (signed(iss="https://elsewhere.example"), f"is not from {ISSUER}"),
    "wrong_audience": (signed(aud="somebody-else"), f"is not for the audience {AUDIENCE}"),
    "missing_claim": (signed(exp=None), "lacks the claim exp"),
    "not_yet_valid": (signed(nbf=int(time.time()) + 3600), "nbf"),
    "expired_token": (signed(exp=int(time.time()) - 3600), "has expired"),
    "unknown_key": ("ir_" + "A" * 43, "is not known"),
    "malformed_key": ("with space", "is malformed"),
    "revoked_key": ("revoked", "was revoked"),
    "expired_key": ("expired", "has expired"),
    "missing": (None, "needs an API key or a token"),
}


@pytest.mark.parametrize("reason", REFUSED)
async def test_each_refusal_says_why_and_is_counted(api: Client, database: Connection, reason: str) -> None:
    await database.execute(
        "INSERT INTO api_keys (owner, scopes, secret_sha256, revoked_at, expires_at) VALUES "
        "('o', '{profiles:read}', sha256('revoked'), now() - interval '1 day', now() + interval '1 day'), "
        "('o', '{profiles:read}', sha256('expired'), NULL, now() - interval '1 day')"
    )
    credential, detail = REFUSED[reason]
    before = (await failures(api)).get(reason, 0)
    assert detail in await refusal(api, credential)
    assert (await failures(api))[reason] == before + 1
    challenge = (await call(api, credential))[1]["WWW-Authenticate"]
    assert challenge == ("Bearer" if reason == "missing" else 'Bearer error="invalid_token"')


async def test_the_public_key_is_no_shared_secret(api: Client) -> None:
    assert "is not signed with one of" in await refusal(api, with_the_public_key_as_secret())


async def test_the_other_refusals_say_why_and_are_counted(
    api: Client, database_url: str, redis_url: str
) -> None:
    malformed: dict[str, Any] = {"headers": {"Authorization": "Basic eDp5"}}
    assert "Authorization header is malformed" in await refusal(api, None, **malformed)
    assert INDEX_ADMIN not in await refusal(api, signed(), 403)
    counted = await failures(api)
    assert counted["malformed_header"] >= 1 and counted["scope"] >= 1
    async with running_api(database_url, redis_url) as without_tokens:
        assert "not accepted here" in await refusal(without_tokens, signed())
        assert (await failures(without_tokens))["tokens_not_accepted"] >= 1
    known = {"malformed_header", "scope", "tokens_not_accepted", *REFUSED}
    assert known == set(get_args(AuthFailure)), "each reason is tested"


async def test_a_key_that_ended_long_ago_is_forgotten(api: Client, database: Connection) -> None:
    await database.execute(
        "INSERT INTO api_keys (owner, scopes, secret_sha256, revoked_at) "
        "VALUES ('o', '{profiles:read}', sha256('ancient'), now() - interval '31 days')"
    )
    assert "is not known" in await refusal(api, "ancient")


async def test_headers_and_what_they_may_hold(api: Client, database_url: str) -> None:
    await make_key(database_url, "ir_a.b.c", owner="dots")
    token = signed(scope=READ_WRITE)
    for headers, status in (
        ({"X-API-Key": "alice"}, 200),
        ({"X-API-Key": token}, 401),
        ({"X-API-Key": "alice", "Authorization": "Bearer nonsense"}, 200),
        ({"X-API-Key": "nonsense", "Authorization": "Bearer alice"}, 401),
        ({"Authorization": "bearer   alice  "}, 200),
        ({"Authorization": f"BEARER {token}"}, 200),
        ({"Authorization": "Bearer ir_a.b.c"}, 200),
        ({"Authorization": token}, 401),
    ):
        assert (await call(api, None, headers=headers))[0] == status, headers


async def test_without_the_providers_keys_tokens_are_unavailable_and_keys_work(
    api: Client, provider: Provider
) -> None:
    await provider.stop()
    status, headers, problem = await call(api, signed(scope=READ_WRITE))
    assert (status, headers["Retry-After"]) == (503, "10") and "OpenID" in problem["detail"]
    assert (await call(api, "alice"))[0] == 200


async def test_unknown_signing_keys_do_not_flood_the_provider(api: Client, provider: Provider) -> None:
    assert (await call(api, signed(scope=READ_WRITE)))[0] == 200
    statuses = await asyncio.gather(*(call(api, signed(ED_KEY, "EdDSA", f"k{n}")) for n in range(200)))
    assert {status for status, _, _ in statuses} == {401}
    assert provider.requests == 1


async def test_unknown_keys_do_not_flood_postgres(
    database_url: str, redis_url: str, database: Connection
) -> None:
    async with running_api(database_url, redis_url) as api:
        for _ in range(2):
            answers = await asyncio.gather(*(call(api, f"ir_guess-{n}") for n in range(200)))
            assert {status for status, _, _ in answers} == {401}
    # A backend reports what it has done when it ends, as those of the API have by now.

    async def readings() -> int:
        await database.execute("SELECT pg_stat_clear_snapshot()")
        return int(
            await database.fetchval(
                "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'api_keys'"
            )
        )

    async def some() -> bool:
        return await readings() > 0

    await eventually(some)
    assert await readings() < 20


async def test_a_revocation_holds_on_every_process_within_five_seconds(
    database_url: str, redis_url: str
) -> None:
    key_id = await make_key(database_url, "k", owner="desk")
    async with running_api(database_url, redis_url) as one, running_api(database_url, redis_url) as other:
        for api in (one, other):
            assert (await call(api, "k"))[0] == 200
        await revoke_key(database_url, key_id)

        async def refused_by_both() -> bool:
            return [(await call(api, "k"))[0] for api in (one, other)] == [401, 401]

        await eventually(refused_by_both, timeout_s=5)


SCOPED = [(endpoint, endpoint.scope) for endpoint in ENDPOINTS if endpoint.scope is not None]


async def test_every_scoped_route_needs_its_scope(database_url: str, redis_url: str) -> None:
    for scope in SCOPES:
        others = " ".join(other for other in SCOPES if other != scope)
        await make_key(database_url, f"all-but-{scope}", owner="desk", scopes=others)
    async with running_api(database_url, redis_url, anonymous_scopes=()) as api:
        assert SCOPED
        for endpoint, scope in SCOPED:
            request = {"method": endpoint.method, "path": endpoint.path.replace("{id}", "x")}
            for credential, status in ((None, 401), (f"all-but-{scope}", 403)):
                if endpoint.errors_as_text:
                    answered, _, detail = await call(api, credential, **request)
                    assert answered == status
                else:
                    detail = await refusal(api, credential, status, **request)
                assert scope in detail


async def test_open_routes_ask_nobody_and_count_nothing(database_url: str, redis_url: str) -> None:
    async with running_api(
        database_url, redis_url, anonymous_scopes=(INSTRUMENTS_READ,), anonymous_requests_per_minute=1
    ) as api:
        for _ in range(3):
            for endpoint in ENDPOINTS:
                if not endpoint.admits:
                    path = endpoint.path.format(version=VERSION, name="main.js")
                    async with api.get(path, headers={"X-API-Key": "nonsense"}) as response:
                        assert response.status in (200, 503), endpoint
                        assert "RateLimit-Limit" not in response.headers
