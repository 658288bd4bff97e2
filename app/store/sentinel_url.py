"""URLs that name a Redis by its sentinels:

    redis+sentinel://user:password@host:26379,host:26379/SERVICE?role=replica&sentinel_password=...

User and password are those of the Redis servers. `rediss+sentinel` speaks TLS to them and to the sentinels.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
EXAMPLE: Final = "redis+sentinel://:password@host:26379,host:26379/service"
_ROLES: Final = ("primary", "replica")
_DEFAULT_PORT: Final = 26379


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    hosts: tuple[tuple[str, int], ...]
    service: str
    is_replica: bool
    username: str | None
    password: str | None
    sentinel_username: str | None
    sentinel_password: str | None
    is_tls: bool


def is_sentinel_url(url: str) -> bool:
    return url.partition("://")[0] in SCHEMES


def parse_sentinel_url(url: str) -> SentinelUrl:
    """Raises ValueError, whose text holds nothing of the URL, which is secret."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may quote the URL
        raise ValueError(f"must be a URL like {EXAMPLE}") from None
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    service = parts.path.removeprefix("/")
    if not service or "/" in service:
        raise ValueError(f"must name the service after the hosts, like {EXAMPLE}")
    options = dict(parse_qsl(parts.query))
    role = options.pop("role", "primary")
    if role not in _ROLES:
        raise ValueError(f"role must be one of {', '.join(_ROLES)}")
    sentinel_username = options.pop("sentinel_username", None)
    sentinel_password = options.pop("sentinel_password", None)
    if options:
        raise ValueError("knows only the options role, sentinel_username and sentinel_password")
    return SentinelUrl(
        tuple(_host(host) for host in hosts.split(",")),
        unquote(service),
        role == "replica",
        unquote(username) or None,
        unquote(password) or None,
        sentinel_username,
        sentinel_password,
        parts.scheme == SCHEMES[1],
    )


def _host(text: str) -> tuple[str, int]:
    name, _, port = text.rpartition(":") if not text.endswith("]") and ":" in text else (text, "", "")
    try:
        number = int(port) if port else _DEFAULT_PORT
    except ValueError:
        number = 0
    if not name or not 0 < number < 65536:
        raise ValueError(f"must list the sentinels with their ports, like {EXAMPLE}")
    return name.strip("[]"), number
