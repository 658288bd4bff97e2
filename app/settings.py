"""The settings of every process, read where it starts and passed down; all begin with `REGISTRY_`."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from app.domain.access import SCOPES
from app.domain.profile import MAX_MEMBERS
from app.environment import EnvironmentModel, SettingsError, variable_name
from app.parameters.address import parse_address
from app.store.sentinel_url import is_sentinel_url, parse_sentinel_url


def _split(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _known_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise ValueError(f"unknown scope {unknown[0]!r}; known are {', '.join(SCOPES)}")
    return scopes


def _postgres_url(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
    except ValueError:  # as below
        raise ValueError("must be a URL") from None
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if len(hosts) == 1:
        return _with_scheme(url, _POSTGRES, "postgresql://user:password@host:5432/database")
    if parts.scheme not in _POSTGRES or not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("must be a URL like postgresql://user:password@host:5432,host:5432/database?...")
    if dict(parse_qsl(parts.query)).get("target_session_attrs") not in ("read-write", "primary"):
        raise ValueError(
            "names several hosts, so add target_session_attrs=read-write: only the one that takes writes "
            "is the source of truth"
        )
    return url


def _redis_url(url: SecretStr) -> SecretStr:
    if is_sentinel_url(url.get_secret_value()):
        parse_sentinel_url(url.get_secret_value())
        return url
    url = _with_scheme(url, ("redis", "rediss", "unix"), "redis://:password@host:6379")
    if urlsplit(url.get_secret_value()).path not in ("", "/", "/0") and not url.get_secret_value().startswith(
        "unix"
    ):
        raise ValueError("must name database 0, the only one that has a query engine")
    return url


def _with_scheme(url: SecretStr, schemes: tuple[str, ...], example: str) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        known = parts.scheme in schemes and parts.port != 0
    except ValueError:  # its text may quote the URL, and so a password
        known = False
    if not known:
        raise ValueError(f"must be a URL like {example}")
    return url


def _web_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be a URL like https://login.example/.well-known/jwks.json")
    return url


def _config_url(url: SecretStr) -> SecretStr:
    parse_address(url.get_secret_value())
    return url


def _visible(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not (text and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("must be visible ASCII characters without spaces, for it is sent in a header")
    if text.count(".") == 2:
        raise ValueError("must not have two dots, for it would be taken for a JSON Web Token")
    return key


_POSTGRES: Final = ("postgresql", "postgres")
_HOST: Final = re.compile(r"([^:\[\]]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?")
Port = Annotated[int, Field(ge=1, le=65535)]
PerMinute = Annotated[int, Field(ge=1, le=2**31 - 1)]
Text = Annotated[str, Field(min_length=1)]


class Settings(EnvironmentModel):
    """Where things are and how the process behaves. URLs are secrets: their repr is masked."""

    model_config = SettingsConfigDict(env_prefix="REGISTRY_")

    database_url: Annotated[SecretStr, AfterValidator(_postgres_url)] | None = None
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = None
    redis_read_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = None
    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    release: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    data_dir: Path = Path(".data")
    config_url: Annotated[SecretStr, AfterValidator(_config_url)] | None = None
    config_poll_s: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    demo_key: Annotated[SecretStr, AfterValidator(_visible)] | None = None
    anonymous_scopes: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_known_scopes)
    ] = ()
    jwks_url: Annotated[str, AfterValidator(_web_url)] | None = None
    jwt_issuer: Text | None = None
    jwt_audience: Text | None = None
    requests_per_minute: PerMinute = 600_000
    anonymous_requests_per_minute: PerMinute = 60_000
    indexer_host: str = "127.0.0.1"
    indexer_port: Port | None = None
    database_pool_url: Annotated[SecretStr, AfterValidator(_postgres_url)] | None = None
    postgres_pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    postgres_statement_timeout_ms: Annotated[int, Field(ge=100, le=600_000)] = 10_000
    postgres_prepared: bool = True
    redis_search_ms: Annotated[int, Field(ge=100, le=60_000)] = 250
    redis_pool_size: Annotated[int, Field(ge=1, le=10_000)] = 64
    cache_max_bytes: Annotated[int, Field(ge=0, le=1 << 36)] = 64 << 20
    max_profiles_per_owner: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    max_profile_members: Annotated[int, Field(ge=1, le=MAX_MEMBERS)] = MAX_MEMBERS
    max_profile_name_length: Annotated[int, Field(ge=1, le=1000)] = 100
    max_request_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 1 << 20
    max_bulk_bytes: Annotated[int, Field(ge=1024, le=1 << 34)] = 1 << 29
    max_streams: Annotated[int, Field(ge=1, le=100_000)] = 2000
    max_streams_per_owner: Annotated[int, Field(ge=1, le=100_000)] = 100
    stream_heartbeat_s: Annotated[float, Field(gt=0, le=3600)] = 15.0
    stream_retention_hours: Annotated[int, Field(ge=1, le=8760)] = 24
    abandoned_index_hours: Annotated[int, Field(ge=1, le=8760)] = 24
    shutdown_drain_s: Annotated[float, Field(ge=0, le=600)] = 1.0
    shutdown_grace_s: Annotated[float, Field(ge=0, le=600)] = 10.0
    slow_query_ms: Annotated[int, Field(ge=0, le=600_000)] = 250
    tracing: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"

    @model_validator(mode="after")
    def _tokens_are_set_up_in_full(self) -> Self:
        names = ("jwks_url", "jwt_issuer", "jwt_audience")
        missing = [variable_name(type(self), name) for name in names if getattr(self, name) is None]
        if 0 < len(missing) < len(names):
            raise SettingsError(
                f"{' and '.join(missing)}: must be set as well; JSON Web Tokens need the URL of the "
                "provider's keys, its issuer, and the audience that stands for this service"
            )
        return self

    def needed_database_url(self) -> str:
        """Raises SettingsError where it is not set."""
        return _needed(self, "database_url", self.database_url)

    def needed_redis_url(self) -> str:
        """Raises SettingsError where it is not set."""
        return _needed(self, "redis_url", self.redis_url)


def _needed(settings: Settings, field_name: str, url: SecretStr | None) -> str:
    if url is None:
        raise SettingsError(
            f"{variable_name(type(settings), field_name)}: is not set; name a server, or try everything with "
            "make demo: while it runs, its connection.json holds the URL"
        )
    return url.get_secret_value()
