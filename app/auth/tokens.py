"""The bearers of JSON Web Tokens, recognised by the published keys of one OpenID provider.

No request asks the provider: its key set is held in memory and fetched again when it is old or lacks the
key that a token names. Fetches are shared by all who wait and are a while apart, whether they succeed or
not, so that no caller can flood the provider. While the provider is away the keys last fetched stay valid.

What a token may be signed with is decided by the key that was found, never by the token (RFC 8725, 3.1).
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NoReturn

import jwt
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TraceConfig

from app.auth.key_set import ALGORITHMS, SigningKey, fetch_key_set
from app.domain.access import SCOPES, Principal, owner_of_token
from app.domain.errors import AuthFailure, NotAuthenticated, ProviderUnavailable
from app.tasks import end_tasks

MAX_KEY_SET_AGE_S: Final = 300.0
MIN_FETCH_GAP_S: Final = 10.0
FETCH_TIMEOUT_S: Final = 5.0
MAX_TOKEN_CHARS: Final = 8192
MAX_SUBJECT_CHARS: Final = 255
MAX_VERIFIED_TOKENS: Final = 10_000
LEEWAY_S: Final = 30.0

_GET_ANOTHER: Final = "get another from the provider"

log = structlog.get_logger(__name__)


class TokenVerifier:
    """`clock` is for the ages of key sets alone; tokens expire by the time of day."""

    def __init__(
        self,
        *,
        jwks_url: str,
        issuer: str,
        audience: str,
        clock: Callable[[], float] = time.monotonic,
        trace_configs: Sequence[TraceConfig] = (),
    ) -> None:
        self._jwks_url = jwks_url
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._trace_configs = trace_configs
        self._session: ClientSession | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._began_at = float("-inf")
        self._fetched_at = float("-inf")
        self._failure: str | None = None
        self._keys: frozenset[SigningKey] | None = None
        self._verified: OrderedDict[bytes, Principal] = OrderedDict()

    async def open(self) -> None:
        self._session = ClientSession(
            timeout=ClientTimeout(total=FETCH_TIMEOUT_S),
            cookie_jar=DummyCookieJar(),
            trace_configs=list(self._trace_configs),
        )

    async def close(self) -> None:
        if self._fetching is not None:
            await end_tasks(self._fetching)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def known_principal(self, token: str) -> Principal | None:
        """Whose token it is, if it was verified before and is still valid, by keys that are not old."""
        digest = _digest(token)
        if digest in self._verified and self._is_fetch_due():
            await self._fetch_again()  # which forgets all tokens if the keys have changed
        principal = self._verified.get(digest)
        if principal is None or principal.has_expired():
            return None
        self._verified.move_to_end(digest)
        return principal

    async def principal(self, token: str) -> Principal:
        """Whose token it is. Raises NotAuthenticated, or ProviderUnavailable if no key was ever fetched."""
        if len(token) > MAX_TOKEN_CHARS:
            _refuse(f"is longer than {MAX_TOKEN_CHARS} characters; ask for fewer claims", "malformed_token")
        if not token.isascii():
            _refuse("holds characters that no token has; send it as it was issued", "malformed_token")
        if (known := await self.known_principal(token)) is not None:
            return known
        principal = await self._verify(token)
        self._verified[_digest(token)] = principal
        if len(self._verified) > MAX_VERIFIED_TOKENS:
            self._verified.popitem(last=False)
        return principal

    def still_admits(self, principal: Principal) -> bool:
        """Whether the token that this was the principal of is valid, by the keys that are known now.

        Begins to fetch them again when they are old, which otherwise the next token would.
        """
        if self._is_fetch_due():
            self._begin_fetch()
        return not principal.has_expired() and principal.signed_with in (self._keys or ())

    async def _verify(self, token: str) -> Principal:
        header = _read_header(token)
        keys = await self._signing_keys(header.get("kid"))
        algorithm: str = header["alg"]
        allowed = [key for key in keys if algorithm in key.algorithms]
        if not allowed:
            _refuse(
                "is signed with an algorithm that its key is not for; use one that the provider publishes",
                "algorithm",
            )
        for key in allowed:
            try:
                signed = jwt.PyJWS().decode(token, key.public_key, algorithms=[algorithm])
            except jwt.InvalidSignatureError:
                continue
            except jwt.PyJWTError:
                _refuse_malformed()
            return self._read_claims(_parse_claims(signed), key)
        raise _refusal(
            "has a signature that is not the provider's; send it as it was issued", "bad_signature"
        )

    def _read_claims(self, claims: Mapping[str, Any], key: SigningKey) -> Principal:
        if _required(claims, "iss") != self._issuer:
            _refuse(f"is not from {self._issuer}; get one there", "wrong_issuer")
        audience = _required(claims, "aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            _refuse(f"is not for the audience {self._audience}; ask the provider for it", "wrong_audience")
        expires_at = _moment(_required(claims, "exp"), LEEWAY_S)
        not_before = claims.get("nbf")
        if not_before is not None and _moment(not_before, -LEEWAY_S) > datetime.now(UTC):
            _refuse("is not valid yet; wait until the time in its claim nbf", "not_yet_valid")
        owner = owner_of_token(self._issuer, _subject(_required(claims, "sub")))
        name = f"jwt:{sha256(owner.encode()).hexdigest()[:32]}"
        principal = Principal(name, owner, _scopes(claims), expires_at=expires_at, signed_with=key)
        if principal.has_expired():
            _refuse(f"has expired; {_GET_ANOTHER}", "expired_token")
        return principal

    async def _signing_keys(self, kid: str | None) -> list[SigningKey]:
        """The keys that may have signed a token that names `kid`."""
        if self._is_fetch_due():
            await self._fetch_again()
        if (found := self._find(kid)) is None and kid is not None:
            await self._fetch_again()
            found = self._find(kid)
        if self._keys is None:
            raise ProviderUnavailable("the keys of the OpenID provider cannot be fetched; try again soon")
        if found is None:
            _refuse(
                f"names no signing key of the provider; if that is new, try again in {MIN_FETCH_GAP_S:.0f} s",
                "unknown_signing_key",
            )
        return found

    def _find(self, kid: str | None) -> list[SigningKey] | None:
        keys = self._keys or frozenset()
        if kid is None:
            return list(keys) if len(keys) == 1 else None
        return [key for key in keys if key.kid == kid] or None

    def _is_fetch_due(self) -> bool:
        """Whether the key set is old, or was never fetched, and nobody is about to change that."""
        if self._keys is None:
            return True
        now = self._clock()
        return now - self._fetched_at > MAX_KEY_SET_AGE_S and now - self._began_at >= MIN_FETCH_GAP_S

    async def _fetch_again(self) -> None:
        """Wait for the fetch under way, or for one that begins now unless the last began a moment ago."""
        self._begin_fetch()
        if self._fetching is not None:
            await asyncio.wait([self._fetching])

    def _begin_fetch(self) -> None:
        """A fetch is a task of its own: a caller that gives up does not end it for the others."""
        if self._session is None:
            raise RuntimeError("the token verifier is not open")
        is_fetching = self._fetching is not None and not self._fetching.done()
        if not is_fetching and self._clock() - self._began_at >= MIN_FETCH_GAP_S:
            self._began_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch(self._session, self._began_at))

    async def _fetch(self, session: ClientSession, began_at: float) -> None:
        try:
            keys = await fetch_key_set(session, self._jwks_url)
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            if self._failure is None:
                log.warning("OpenID keys cannot be fetched", url=self._jwks_url, reason=repr(error))
            self._failure = repr(error)
            return
        self._failure = None
        self._fetched_at = began_at
        if keys != self._keys:
            self._keys = keys
            self._verified.clear()


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def _read_header(token: str) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        _refuse_malformed()
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        _refuse(f"is not signed with one of {', '.join(sorted(ALGORITHMS))}; use one of them", "algorithm")
    return header


def _parse_claims(signed: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(signed)
    except (ValueError, RecursionError):
        _refuse_malformed()
    if not isinstance(claims, dict):
        _refuse_malformed()
    return claims


def _required(claims: Mapping[str, Any], name: str) -> object:
    value = claims.get(name)
    if value is None:
        _refuse(f"lacks the claim {name}; ask the provider for tokens that have it", "missing_claim")
    return value


def _moment(seconds: object, leeway_s: float) -> datetime:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        _refuse_malformed()
    try:
        return datetime.fromtimestamp(seconds + leeway_s, UTC)
    except (OverflowError, ValueError, OSError):
        _refuse_malformed()


def _subject(subject: object) -> str:
    """OpenID Connect Core 1.0, section 2; JSON can spell characters that no text has."""
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARS:
        _refuse(f"needs a claim sub of 1 to {MAX_SUBJECT_CHARS} characters; {_GET_ANOTHER}", "missing_claim")
    try:
        subject.encode()
    except UnicodeEncodeError:
        _refuse_malformed()
    return subject


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Of `scope` (RFC 9068) or `scp`, as other providers name it, those that this service knows."""
    granted = claims.get("scope")
    if granted is None:
        granted = claims.get("scp", [])
    if isinstance(granted, str):
        granted = granted.split(" ")
    if not isinstance(granted, list):
        _refuse_malformed()
    return frozenset(scope for scope in SCOPES if scope in granted)


def _refuse_malformed() -> NoReturn:
    _refuse("is malformed; send it as the provider issued it", "malformed_token")


def _refuse(what: str, reason: AuthFailure) -> NoReturn:
    raise _refusal(what, reason) from None


def _refusal(what: str, reason: AuthFailure) -> NotAuthenticated:
    """Says nothing that the token says: it may hold characters that no answer can."""
    return NotAuthenticated(f"the token {what}", reason=reason)
