"""Tokens signed with real keys against a provider that is a real server: who is let in, and how not."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.auth import tokens
from app.auth.key_set import MAX_KEY_SET_BYTES, parse_key_set
from app.auth.tokens import (
    LEEWAY_S,
    MAX_KEY_SET_AGE_S,
    MAX_TOKEN_CHARS,
    MIN_FETCH_GAP_S,
    TokenVerifier,
)
from app.domain.access import INSTRUMENTS_READ, PROFILES_READ, owner_of_token
from app.domain.errors import NotAuthenticated, ProviderUnavailable
from tests.integration.openid import (
    AUDIENCE,
    ED_KEY,
    ISSUER,
    OTHER_RSA_KEY,
    P256_KEY,
    P384_KEY,
    P521_KEY,
    RSA_KEY,
    Key,
    Provider,
    claims,
    jwk,
    part,
    signed,
    signed_raw,
    usual_keys,
)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def verifier(provider: Provider, clock: Clock) -> AsyncIterator[TokenVerifier]:
    verifier = TokenVerifier(jwks_url=provider.url, issuer=ISSUER, audience=AUDIENCE, clock=clock)
    await verifier.open()
    yield verifier
    await verifier.close()


async def reason_of_refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        await verifier.principal(token)
    assert str(caught.value).startswith("the token ")
    assert ";" in str(caught.value), "the way out is missing"
    return caught.value.reason


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [
        *((RSA_KEY, f"{family}{bits}", "rsa") for family in ("RS", "PS") for bits in (256, 384, 512)),
        (P256_KEY, "ES256", "p256"),
        (P384_KEY, "ES384", "p384"),
        (P521_KEY, "ES512", "p521"),
        (ED_KEY, "EdDSA", "ed"),
    ],
)
async def test_a_good_token_tells_its_bearer(
    verifier: TokenVerifier, key: Key, algorithm: str, kid: str
) -> None:
    expires_at = int(time.time()) + 60
    token = signed(key, algorithm, kid, exp=expires_at, scope=f"openid {INSTRUMENTS_READ}")
    principal = await verifier.principal(token)
    assert principal.owner == owner_of_token(ISSUER, "ann")
    assert principal.name.startswith("jwt:")
    assert len(principal.name) == len("jwt:") + 32
    assert principal.scopes == {INSTRUMENTS_READ}
    assert principal.expires_at == datetime.fromtimestamp(expires_at + LEEWAY_S, UTC)


@pytest.mark.parametrize(
    ("granted", "scopes"),
    [
        ({}, set()),
        ({"scope": f"{INSTRUMENTS_READ} {PROFILES_READ} email"}, {INSTRUMENTS_READ, PROFILES_READ}),
        ({"scp": f"{PROFILES_READ} email"}, {PROFILES_READ}),
        ({"scp": [INSTRUMENTS_READ, "email", 7, {}]}, {INSTRUMENTS_READ}),
        ({"scope": "email", "scp": [INSTRUMENTS_READ]}, set()),
    ],
)
async def test_known_scopes_are_kept(
    verifier: TokenVerifier, granted: dict[str, Any], scopes: set[str]
) -> None:
    assert (await verifier.principal(signed(**granted))).scopes == scopes


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": time.time() - 3600}, "expired_token"),
        ({"exp": None}, "missing_claim"),
        ({"exp": 10**300}, "malformed_token"),
        ({"exp": -(10**18)}, "malformed_token"),
        ({"exp": "tomorrow"}, "malformed_token"),
        ({"exp": True}, "malformed_token"),
        ({"exp": float("nan")}, "malformed_token"),
        ({"exp": float("inf")}, "malformed_token"),
        ({"nbf": time.time() + 3600}, "not_yet_valid"),
        ({"nbf": [1]}, "malformed_token"),
        ({"iss": "https://elsewhere.example"}, "wrong_issuer"),
        ({"iss": None}, "missing_claim"),
        ({"aud": "another-service"}, "wrong_audience"),
        ({"aud": ["another-service", {}]}, "wrong_audience"),
        ({"aud": {AUDIENCE: 1}}, "wrong_audience"),
        ({"aud": None}, "missing_claim"),
        ({"sub": None}, "missing_claim"),
        ({"sub": ""}, "missing_claim"),
        ({"sub": "x" * 256}, "missing_claim"),
        ({"sub": "\ud800"}, "malformed_token"),
        ({"scope": 5}, "malformed_token"),
        ({"scp": {"a": 1}}, "malformed_token"),
    ],
)
async def test_claims_that_are_refused(verifier: TokenVerifier, changes: dict[str, Any], reason: str) -> None:
    payload = json.dumps(claims(**changes)).encode()
    assert await reason_of_refusal(verifier, signed_raw(b'{"alg":"RS256","kid":"rsa"}', payload)) == reason


async def test_a_list_of_audiences_and_the_longest_subject_are_fine(verifier: TokenVerifier) -> None:
    await verifier.principal(signed(aud=["another-service", AUDIENCE], sub="x" * 255))


async def test_clocks_may_differ_a_little(verifier: TokenVerifier) -> None:
    now = time.time()
    await verifier.principal(signed(exp=now - 20, nbf=now + 20))


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (b"[]", b"{}"),
        (b"{", b"{}"),
        (b'{"alg":"RS256","kid":5}', b"{}"),
        (b'{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}', b"{}"),
        (b'{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}', b"{}"),
        (b'{"alg":"RS256","kid":"rsa"}', b"[]"),
        (b'{"alg":"RS256","kid":"rsa"}', b"\xff\xfe"),
        (b'{"alg":"RS256","kid":"rsa"}', b"[" * 5000),
        (b"[" * 5000, b"{}"),
        (b'{"alg":"RS256","kid":"rsa"}', b'{"exp":' + b"9" * 5000 + b"}"),
    ],
)
async def test_parts_that_are_malformed(verifier: TokenVerifier, header: bytes, payload: bytes) -> None:
    assert await reason_of_refusal(verifier, signed_raw(header, payload)) == "malformed_token"


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b.c", "garbage", "tökén.ä.ö", "\ud800", "a" * (MAX_TOKEN_CHARS + 1)]
)
async def test_what_is_no_token_does_not_bother_the_provider(
    verifier: TokenVerifier, provider: Provider, token: str
) -> None:
    assert await reason_of_refusal(verifier, token) == "malformed_token"
    assert provider.requests == 0


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "ES256K", "", 5, None, ["RS256"], {}])
async def test_algorithms_that_nobody_may_use(
    verifier: TokenVerifier, provider: Provider, algorithm: object
) -> None:
    header = part(json.dumps({"alg": algorithm, "kid": "rsa"}).encode())
    for signature in ("", part(b"x" * 256)):
        token = f"{header}.{part(json.dumps(claims()).encode())}.{signature}"
        assert await reason_of_refusal(verifier, token) == "algorithm"
    assert provider.requests == 0


async def test_the_public_key_is_no_shared_secret(verifier: TokenVerifier) -> None:
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = part(b'{"alg":"HS256","kid":"rsa"}')
    signing_input = f"{header}.{part(json.dumps(claims()).encode())}"
    token = f"{signing_input}.{part(hmac.digest(pem, signing_input.encode(), 'sha256'))}"
    assert await reason_of_refusal(verifier, token) == "algorithm"


async def test_the_key_decides_the_algorithm(verifier: TokenVerifier, provider: Provider) -> None:
    provider.keys = [jwk(RSA_KEY, "narrow", alg="PS256"), jwk(P256_KEY, "p256")]
    await verifier.principal(signed(RSA_KEY, "PS256", "narrow"))
    assert await reason_of_refusal(verifier, signed(RSA_KEY, "RS256", "narrow")) == "algorithm"
    assert await reason_of_refusal(verifier, signed(RSA_KEY, "RS256", "p256")) == "algorithm"


async def test_a_signature_by_somebody_else(verifier: TokenVerifier) -> None:
    assert await reason_of_refusal(verifier, signed(OTHER_RSA_KEY)) == "bad_signature"
    head, _, signature = signed().split(".")
    changed = part(json.dumps(claims(sub="eve")).encode())
    assert await reason_of_refusal(verifier, f"{head}.{changed}.{signature}") == "bad_signature"
    assert await reason_of_refusal(verifier, f"{head}.{changed}.") == "bad_signature"


async def test_keys_that_cannot_be_used_do_not_spoil_the_others(
    verifier: TokenVerifier, provider: Provider
) -> None:
    good = jwk(RSA_KEY, "rsa")
    provider.keys = [
        None,
        "text",
        {},
        {"kty": "RSA", "kid": "a"},
        {"kty": ["RSA"], "kid": "a"},
        {**good, "kid": 5},
        {**good, "kid": "a", "n": "!"},
        {**good, "kid": "a", "n": "\ud800"},
        {**good, "kid": "a", "n": 5},
        {**good, "kid": "a", "alg": ["RS256"]},
        {**good, "kid": "a", "alg": "RSA-OAEP"},
        {**good, "kid": "a", "use": "enc"},
        {**jwk(P256_KEY, "a"), "crv": "P-384"},
        {**jwk(P256_KEY, "a"), "x": "AAAA"},
        {**jwk(ED_KEY, "a"), "crv": "X25519"},
        {**jwk(ED_KEY, "a"), "x": ""},
        {"kty": "oct", "kid": "a", "k": part(b"secret" * 8), "alg": "HS256"},
        jwk(rsa.generate_private_key(65537, 1024), "a"),  # noqa: S505
        good,
    ]
    await verifier.principal(signed())
    assert await reason_of_refusal(verifier, signed(kid="a")) == "unknown_signing_key"
    await verifier.principal(signed(kid=None))


async def test_a_token_that_names_no_key_needs_the_choice_of_one(
    verifier: TokenVerifier, provider: Provider
) -> None:
    assert await reason_of_refusal(verifier, signed(kid=None)) == "unknown_signing_key"
    assert provider.requests == 1


async def test_a_new_key_is_fetched_once_the_gap_has_passed(
    verifier: TokenVerifier, provider: Provider, clock: Clock
) -> None:
    await verifier.principal(signed())
    provider.keys = [*provider.keys, jwk(OTHER_RSA_KEY, "new")]
    token = signed(OTHER_RSA_KEY, kid="new")
    assert await reason_of_refusal(verifier, token) == "unknown_signing_key"
    assert provider.requests == 1
    clock.now += MIN_FETCH_GAP_S
    await verifier.principal(token)
    assert provider.requests == 2


async def test_who_was_let_in_is_admitted_until_the_token_expires(verifier: TokenVerifier) -> None:
    assert verifier.still_admits(await verifier.principal(signed()))
    ending = await verifier.principal(signed(exp=time.time() - LEEWAY_S + 0.2))
    assert verifier.still_admits(ending)
    await asyncio.sleep(0.3)
    assert not verifier.still_admits(ending)


async def test_who_was_let_in_is_admitted_until_the_key_is_withdrawn(
    verifier: TokenVerifier, provider: Provider, clock: Clock
) -> None:
    principal, other = (
        await verifier.principal(signed()),
        await verifier.principal(signed(ED_KEY, "EdDSA", "ed")),
    )
    provider.keys = [jwk(ED_KEY, "ed"), jwk(OTHER_RSA_KEY, "rsa")]
    assert verifier.still_admits(principal)
    clock.now += MAX_KEY_SET_AGE_S + 1
    for _ in range(100):
        if not verifier.still_admits(principal):
            break
        await asyncio.sleep(0.05)
    assert not verifier.still_admits(principal)
    assert verifier.still_admits(other)
    assert provider.requests == 2


async def test_guessing_keys_does_not_flood_the_provider(
    verifier: TokenVerifier, provider: Provider, clock: Clock
) -> None:
    await verifier.principal(signed())
    clock.now += MIN_FETCH_GAP_S
    guesses = [signed(kid=f"guess {number}") for number in range(50)]
    reasons = await asyncio.gather(*(reason_of_refusal(verifier, guess) for guess in guesses))
    assert set(reasons) == {"unknown_signing_key"}
    assert provider.requests == 2


async def test_the_first_callers_share_one_fetch(verifier: TokenVerifier, provider: Provider) -> None:
    await asyncio.gather(*(verifier.principal(signed(sub=f"user {number}")) for number in range(20)))
    assert provider.requests == 1


async def test_a_caller_that_gives_up_does_not_end_the_fetch(
    verifier: TokenVerifier, provider: Provider
) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def answer() -> web.StreamResponse:
        asked.set()
        await may_answer.wait()
        return web.json_response({"keys": provider.keys})

    provider.answer = answer
    first = asyncio.create_task(verifier.principal(signed()))
    await asked.wait()
    second = asyncio.create_task(verifier.principal(signed()))
    await asyncio.sleep(0)
    first.cancel()
    may_answer.set()
    await second
    assert first.cancelled()
    assert provider.requests == 1


async def test_a_provider_that_is_down_at_first(
    verifier: TokenVerifier, provider: Provider, clock: Clock
) -> None:
    async def fail() -> web.StreamResponse:
        return web.Response(status=503)

    provider.answer = fail
    for attempts in (1, 2):
        for _ in range(5):
            with pytest.raises(ProviderUnavailable):
                await verifier.principal(signed())
        assert provider.requests == attempts
        clock.now += MIN_FETCH_GAP_S
    provider.answer = None
    await verifier.principal(signed())
    assert provider.requests == 3


async def test_known_keys_go_on_working_while_the_provider_is_down(
    verifier: TokenVerifier, provider: Provider, clock: Clock
) -> None:
    token = signed()
    known = await verifier.principal(token)
    await provider.stop()
    clock.now += MAX_KEY_SET_AGE_S + 1
    assert await verifier.principal(token) == known
    await verifier.principal(signed(sub="bob"))
    assert await reason_of_refusal(verifier, signed(kid="new")) == "unknown_signing_key"


async def test_nobody_else_waits_for_an_old_key_set(
    verifier: TokenVerifier, provider: Provider, clock: Clock
) -> None:
    await verifier.principal(signed())
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def answer() -> web.StreamResponse:
        asked.set()
        await may_answer.wait()
        return web.json_response({"keys": provider.keys})

    provider.answer = answer
    clock.now += MAX_KEY_SET_AGE_S + 1
    first = asyncio.create_task(verifier.principal(signed(sub="bob")))
    await asked.wait()
    await verifier.principal(signed(sub="carol"))
    assert not first.done()
    may_answer.set()
    await first
    assert provider.requests == 2


async def test_a_withdrawn_key_ends_its_tokens(
    verifier: TokenVerifier, provider: Provider, clock: Clock
) -> None:
    token, another = signed(), signed(sub="bob")
    await verifier.principal(token)
    await verifier.principal(another)
    provider.keys = [jwk(OTHER_RSA_KEY, "new")]
    clock.now += MAX_KEY_SET_AGE_S
    await verifier.principal(token)
    clock.now += 1
    for withdrawn in (token, another):
        assert await reason_of_refusal(verifier, withdrawn) == "unknown_signing_key"
    assert provider.requests == 2


async def test_a_known_token_is_not_verified_again_until_it_expires(verifier: TokenVerifier) -> None:
    token = signed(exp=time.time() - tokens.LEEWAY_S + 1)
    assert await verifier.principal(token) is await verifier.principal(token)
    await asyncio.sleep(1.1)
    assert await reason_of_refusal(verifier, token) == "expired_token"


async def test_the_tokens_known_are_bounded(verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_VERIFIED_TOKENS", 2)
    first, second, third = (signed(sub=name) for name in ("ann", "bob", "carol"))
    ann, bob = await verifier.principal(first), await verifier.principal(second)
    assert await verifier.principal(first) is ann
    await verifier.principal(third)
    assert await verifier.principal(first) is ann
    assert await verifier.principal(second) is not bob


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": 5}',
        b"\xff",
        b"[" * 100_000,
        json.dumps({"keys": [], "padding": "x" * MAX_KEY_SET_BYTES}).encode(),
    ],
)
async def test_answers_that_are_no_key_set(verifier: TokenVerifier, provider: Provider, body: bytes) -> None:
    async def answer() -> web.StreamResponse:
        return web.Response(body=body)

    provider.answer = answer
    with pytest.raises(ProviderUnavailable):
        await verifier.principal(signed())


async def test_a_provider_cannot_send_the_service_elsewhere(
    verifier: TokenVerifier, provider: Provider
) -> None:
    async def answer() -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": provider.url})

    provider.answer = answer
    with pytest.raises(ProviderUnavailable):
        await verifier.principal(signed())
    assert provider.requests == 1


async def test_the_same_subject_of_two_issuers_is_two_owners(provider: Provider) -> None:
    owners = set()
    for issuer in (ISSUER, "https://elsewhere.example"):
        verifier = TokenVerifier(jwks_url=provider.url, issuer=issuer, audience=AUDIENCE)
        await verifier.open()
        principal = await verifier.principal(signed(iss=issuer))
        owners.add((principal.owner, principal.name))
        await verifier.close()
    assert len({owner for owner, _ in owners}) == len({name for _, name in owners}) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "iss": st.just(ISSUER) | JSON,
        "aud": st.just(AUDIENCE) | JSON,
        "exp": st.just(4_000_000_000) | JSON,
        "sub": JSON,
        "nbf": JSON,
        "scope": JSON,
    },
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.just("RS256") | JSON}, optional={"kid": st.just("rsa") | JSON, "crit": JSON, "b64": JSON}
)
TOKENS = (
    st.text(max_size=200)
    | st.lists(st.binary(max_size=40).map(part), min_size=2, max_size=4).map(".".join)
    | st.builds(lambda header, body: signed_raw(json.dumps(header).encode(), body), HEADERS, st.binary())
    | st.builds(
        lambda header, body: signed_raw(json.dumps(header).encode(), json.dumps(body).encode()),
        HEADERS,
        CLAIMS,
    )
)


@pytest.fixture
def loop_of_its_own() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(token=TOKENS)
def test_whatever_is_sent_is_a_principal_or_a_refusal(loop_of_its_own: asyncio.Runner, token: str) -> None:
    async def send() -> None:
        verifier = TokenVerifier(jwks_url="http://unused.invalid", issuer=ISSUER, audience=AUDIENCE)
        verifier._keys = parse_key_set(json.dumps({"keys": usual_keys()}).encode())
        verifier._began_at = verifier._fetched_at = time.monotonic()
        await verifier.open()
        try:
            await verifier.principal(token)
        except NotAuthenticated as refusal:
            str(refusal).encode()
        finally:
            await verifier.close()

    loop_of_its_own.run(send())


@settings(deadline=None)
@given(
    entries=st.lists(
        st.fixed_dictionaries(
            {"kty": st.sampled_from(["RSA", "EC", "OKP"])},
            optional={
                "crv": st.sampled_from(["P-256", "P-521", "Ed25519", "X25519"]) | JSON,
                **{
                    name: st.text() | st.binary(max_size=64).map(part) | JSON
                    for name in ("n", "e", "x", "y", "kid")
                },
            },
        )
    )
)
def test_whatever_is_published_is_read(entries: list[dict[str, Any]]) -> None:
    found = parse_key_set(json.dumps({"keys": [*entries, jwk(P256_KEY, "good")]}).encode())
    assert "good" in {key.kid for key in found}
