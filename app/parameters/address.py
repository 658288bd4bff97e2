"""REGISTRY_CONFIG_URL: which configuration service is asked, and where."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

Kind: TypeAlias = Literal["etcd", "http"]

EXAMPLE: Final = "etcd://host:2379/instrument-registry or https://config.example/base"
DEFAULT_PREFIX: Final = "/instrument-registry"
ETCD_PORT: Final = 2379

_SCHEMES: Final[dict[str, tuple[Kind, str]]] = {
    "etcd": ("etcd", "http"),
    "etcds": ("etcd", "https"),
    "http": ("http", "http"),
    "https": ("http", "https"),
}
"""The kind of service, and how it is spoken to."""


@dataclass(frozen=True, slots=True)
class Address:
    kind: Kind
    base: str
    """Of its HTTP interface, without a slash at the end, and without the password."""
    prefix: str
    """Of etcd's keys, without a slash at the end."""
    shown: str
    """The URL without user and password."""
    user: str | None
    password: str | None


def parse_address(url: str) -> Address:
    """Raises ValueError, which does not quote the URL: there may be a password in it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        kind, scheme = _SCHEMES[parts.scheme]
    except (KeyError, ValueError):
        raise ValueError(f"must be a URL like {EXAMPLE}") from None
    if not host or port == 0 or not url.isprintable() or " " in url:
        raise ValueError(f"must be a URL like {EXAMPLE}")
    if parts.query or parts.fragment:
        raise ValueError(f"must have neither ? nor #; it is a URL like {EXAMPLE}")
    if (parts.username or parts.password) and not (parts.username and parts.password):
        raise ValueError("must have both a user and a password, or neither: etcd://user:password@host:2379")
    if kind == "etcd" and port is None:
        port = ETCD_PORT
    path = parts.path.rstrip("/")
    where = f"[{host}]" if ":" in host else host
    if port is not None:
        where += f":{port}"
    prefix = (path or DEFAULT_PREFIX) if kind == "etcd" else ""
    return Address(
        kind,
        f"{scheme}://{where}" + ("" if kind == "etcd" else path),
        prefix,
        f"{parts.scheme}://{where}{prefix or path}",
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )
