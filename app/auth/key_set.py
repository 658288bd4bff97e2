"""The public keys that an OpenID provider signs its tokens with, as it publishes them (RFC 7517)."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import structlog
from aiohttp import ClientSession
from cryptography.exceptions import UnsupportedAlgorithm

MAX_KEY_SET_BYTES: Final = 1024 * 1024

_RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVE_ALGORITHMS: Final = {
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    ("OKP", "Ed448"): frozenset({"EdDSA"}),
}
ALGORITHMS: Final = _RSA_ALGORITHMS.union(*_CURVE_ALGORITHMS.values())
_PUBLIC_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A provider's public key and the algorithms that it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    members: tuple[str, ...]
    public_key: Any = field(compare=False, repr=False)


async def fetch_key_set(session: ClientSession, url: str) -> frozenset[SigningKey]:
    """Raises ClientError, TimeoutError, OSError, and ValueError for what is no key set."""
    body = bytearray()
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"the provider answered {response.status} instead of 200")
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_KEY_SET_BYTES:
                raise ValueError(f"the key set is longer than {MAX_KEY_SET_BYTES} bytes")
    return parse_key_set(bytes(body))


def parse_key_set(body: bytes) -> frozenset[SigningKey]:
    """The usable keys of a JWKS document; a key that cannot be used is left out (RFC 7517, section 5)."""
    try:
        document = json.loads(body)
    except RecursionError as error:
        raise ValueError("the key set is nested too deeply") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("the key set has no list of keys")
    found = (_signing_key(entry) for entry in entries if isinstance(entry, dict))
    return frozenset(key for key in found if key is not None)


def _signing_key(entry: dict[str, Any]) -> SigningKey | None:
    kty, kid, own_algorithm = entry.get("kty"), entry.get("kid"), entry.get("alg")
    if not isinstance(kty, str) or kty not in _PUBLIC_MEMBERS or entry.get("use", "sig") != "sig":
        return None
    public = {name: entry.get(name) for name in ("kty", *_PUBLIC_MEMBERS[kty])}
    members = tuple(value for value in public.values() if isinstance(value, str))
    if len(members) < len(public) or not isinstance(kid, str | None):
        return None
    algorithms = (
        _RSA_ALGORITHMS if kty == "RSA" else _CURVE_ALGORITHMS.get((kty, str(public["crv"])), frozenset())
    )
    if own_algorithm is not None:
        algorithms = frozenset(name for name in algorithms if name == own_algorithm)
    if not algorithms:
        return None
    try:
        jwk = jwt.PyJWK(public, algorithm=min(algorithms))
        weakness = jwk.Algorithm.check_key_length(jwk.key)
    except (jwt.PyJWTError, ValueError, UnsupportedAlgorithm) as error:
        weakness = str(error)
    if weakness:
        log.warning("an OpenID key is left out", reason=weakness)
        return None
    return SigningKey(kid, algorithms, members, jwk.key)
