"""Settings: what the environment may say, and that a mistake is named instead of guessed away."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.domain.access import INDEX_ADMIN, INSTRUMENTS_READ
from app.environment import SettingsError
from app.parameters.definitions import Parameters
from app.settings import Settings

POSTGRES_URL = "postgresql://registry:Hidden-Word@db.example:5432/registry"
REDIS_URL = "redis://:Hidden-Word@redis.example:6379"


@pytest.fixture(autouse=True)
def no_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters carry plain names, which the shell that runs the tests may have set."""
    for name in Parameters.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_defaults_are_safe() -> None:
    settings = Settings.from_environment()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8080, Path(".data"))
    assert settings.database_url is None and settings.redis_url is None and settings.demo_key is None
    assert settings.anonymous_scopes == (), "nobody reads without a key unless it is allowed"
    assert settings.indexer_port is None
    assert (settings.log_level, settings.log_format) == ("info", "json")


def test_parameters_have_the_documented_defaults() -> None:
    parameters = Parameters.from_environment()
    assert parameters.search_timeout == 5000
    assert parameters.max_results_per_page == 100
    assert parameters.search_index_refresh == 30.0


def test_variables_carry_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1111")
    monkeypatch.setenv("REGISTRY_PORT", "2222")
    monkeypatch.setenv("REGISTRY_DATA_DIR", "/var/lib/registry")
    settings = Settings.from_environment()
    assert settings.port == 2222
    assert settings.data_dir == Path("/var/lib/registry")


def test_parameters_carry_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_RESULTS_PER_PAGE", "7")
    monkeypatch.setenv("REGISTRY_SEARCH_TIMEOUT", "1")
    parameters = Parameters.from_environment()
    assert parameters.max_results_per_page == 7
    assert parameters.search_timeout == 5000


def test_a_variable_that_nobody_knows_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_OF_SOMEBODY_ELSE", "x")
    assert Settings.from_environment() == Settings()


def test_overrides_win_and_none_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PORT", "2222")
    assert Settings.from_environment(port=3333).port == 3333
    assert Settings.from_environment(port=None).port == 2222


def test_a_file_holds_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "database_url"
    file.write_text(f"\n  {POSTGRES_URL} \n")
    monkeypatch.setenv("REGISTRY_DATABASE_URL_FILE", str(file))
    settings = Settings.from_environment()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == POSTGRES_URL


def test_a_file_works_for_what_is_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    port, scopes = tmp_path / "port", tmp_path / "scopes"
    port.write_text("4444\n")
    scopes.write_text(f"{INSTRUMENTS_READ}\n{INDEX_ADMIN}\n")
    monkeypatch.setenv("REGISTRY_PORT_FILE", str(port))
    monkeypatch.setenv("REGISTRY_ANONYMOUS_SCOPES_FILE", str(scopes))
    settings = Settings.from_environment()
    assert settings.port == 4444
    assert settings.anonymous_scopes == (INSTRUMENTS_READ, INDEX_ADMIN)


def test_a_value_and_a_file_together_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-the-file")
    monkeypatch.setenv("REGISTRY_DEMO_KEY", "from-the-variable")
    monkeypatch.setenv("REGISTRY_DEMO_KEY_FILE", str(file))
    with pytest.raises(SettingsError, match=r"\bREGISTRY_DEMO_KEY and REGISTRY_DEMO_KEY_FILE\b") as raised:
        Settings.from_environment()
    assert "from-the" not in str(raised.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "redis_url"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("REGISTRY_REDIS_URL_FILE", str(file))
    with pytest.raises(SettingsError, match=r"^REGISTRY_REDIS_URL_FILE: ") as raised:
        Settings.from_environment()
    assert str(file) in str(raised.value)


def test_a_bad_value_in_a_file_names_the_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "port"
    file.write_text("eighty")
    monkeypatch.setenv("REGISTRY_PORT_FILE", str(file))
    with pytest.raises(SettingsError, match=r"^REGISTRY_PORT: "):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRY_PORT", "abc"),
        ("REGISTRY_PORT", "0"),
        ("REGISTRY_PORT", "65536"),
        ("REGISTRY_PORT", ""),
        ("REGISTRY_DATABASE_URL", "mysql://Hidden-Word@host/db"),
        ("REGISTRY_DATABASE_URL", "Hidden-Word"),
        ("REGISTRY_DATABASE_URL", "postgresql://[Hidden-Word"),
        ("REGISTRY_DATABASE_URL", "postgresql://u:Hidden-Word@one:5432,two:5432/db"),
        ("REGISTRY_DATABASE_URL", "postgresql://u:Hidden-Word@one:5432,/db?target_session_attrs=read-write"),
        (
            "REGISTRY_DATABASE_URL",
            "postgresql://u:Hidden-Word@one:5432,two:x/db?target_session_attrs=primary",
        ),
        ("REGISTRY_REDIS_URL", "http://Hidden-Word@host"),
        ("REGISTRY_REDIS_URL", "redis+sentinel://:Hidden-Word@one:26379,two:26379"),
        ("REGISTRY_REDIS_URL", "redis+sentinel://:Hidden-Word@one:port/service"),
        ("REGISTRY_REDIS_URL", "redis+sentinel://:Hidden-Word@/service"),
        ("REGISTRY_REDIS_URL", "redis+sentinel://:Hidden-Word@[one/service"),
        ("REGISTRY_REDIS_URL", "redis+sentinel://one/service?role=Hidden-Word"),
        ("REGISTRY_REDIS_READ_URL", "redis+sentinel://one/service?sentinel=Hidden-Word"),
        ("REGISTRY_REDIS_SEARCH_MS", "9"),
        ("REGISTRY_SHUTDOWN_DRAIN_S", "-1"),
        ("REGISTRY_ANONYMOUS_SCOPES", "instruments:read nonsense"),
        ("REGISTRY_CONFIG_URL", "config.example/Hidden-Word"),
        ("REGISTRY_CONFIG_URL", "consul://u:Hidden-Word@config.example"),
        ("REGISTRY_CONFIG_URL", "etcd://u:Hidden-Word@"),
        ("REGISTRY_CONFIG_URL", "etcd://:Hidden-Word@host"),
        ("REGISTRY_CONFIG_URL", "etcd://u:Hidden-Word@host:port"),
        ("REGISTRY_CONFIG_URL", "etcd://u:Hidden-Word@[host"),
        ("REGISTRY_CONFIG_URL", "https://u:Hidden-Word@host/base?x=1"),
        ("REGISTRY_CONFIG_URL", "etcd://host/Hidden-Word with spaces"),
        ("REGISTRY_CONFIG_URL", ""),
        ("REGISTRY_CONFIG_POLL_S", "0"),
        ("REGISTRY_DEMO_KEY", "taken.for.a-token"),
        ("REGISTRY_JWKS_URL", "login.example/keys"),
        ("REGISTRY_JWKS_URL", "file:///etc/keys"),
        ("REGISTRY_JWKS_URL", "https://"),
        ("REGISTRY_JWKS_URL", "https://login.example:port/keys"),
        ("REGISTRY_JWKS_URL", "https://[login.example/keys"),
        ("REGISTRY_JWT_ISSUER", ""),
        ("REGISTRY_REQUESTS_PER_MINUTE", "0"),
        ("REGISTRY_ANONYMOUS_REQUESTS_PER_MINUTE", "2147483648"),
        ("REGISTRY_INDEXER_PORT", "-1"),
        ("REGISTRY_POSTGRES_POOL_SIZE", "0"),
        ("REGISTRY_REDIS_POOL_SIZE", "many"),
        ("REGISTRY_MAX_REQUEST_BYTES", "1"),
        ("REGISTRY_SHUTDOWN_GRACE_S", "-0.1"),
        ("REGISTRY_LOG_LEVEL", "loud"),
        ("REGISTRY_LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: .") as raised:
        Settings.from_environment()
    assert "\n" not in str(raised.value)
    assert "Hidden-Word" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEARCH_TIMEOUT", "0"),
        ("SEARCH_TIMEOUT", "60001"),
        ("SEARCH_TIMEOUT", "5s"),
        ("MAX_RESULTS_PER_PAGE", "0"),
        ("MAX_RESULTS_PER_PAGE", "1001"),
        ("SEARCH_INDEX_REFRESH", "0"),
        ("SEARCH_INDEX_REFRESH", "nan"),
    ],
)
def test_a_bad_parameter_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: ."):
        Parameters.from_environment()


TOKENS = {
    "REGISTRY_JWKS_URL": "https://login.example/keys",
    "REGISTRY_JWT_ISSUER": "https://login.example",
    "REGISTRY_JWT_AUDIENCE": "registry",
}


@pytest.mark.parametrize("given", [1, 2])
@pytest.mark.parametrize("first", range(3))
def test_tokens_are_set_up_in_full_or_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, first: int, given: int
) -> None:
    names = [*TOKENS, *TOKENS][first : first + given]
    for name in names:
        monkeypatch.setenv(name, TOKENS[name])
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment()
    assert set(re.findall(r"REGISTRY_\w+", str(raised.value))) == TOKENS.keys() - set(names)


def test_tokens_are_set_up_by_three_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    assert [settings.jwks_url, settings.jwt_issuer, settings.jwt_audience] == list(TOKENS.values())


def test_an_unknown_scope_is_named_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_ANONYMOUS_SCOPES", f"{INSTRUMENTS_READ},nonsense")
    with pytest.raises(SettingsError, match="'nonsense'") as raised:
        Settings.from_environment()
    assert INDEX_ADMIN in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        "instruments:read,index:admin",
        "instruments:read index:admin",
        " instruments:read ,  index:admin, ",
    ],
)
def test_scopes_are_separated_by_commas_or_spaces(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("REGISTRY_ANONYMOUS_SCOPES", value)
    assert Settings.from_environment().anonymous_scopes == (INSTRUMENTS_READ, INDEX_ADMIN)


def test_an_empty_list_of_scopes_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_ANONYMOUS_SCOPES", "")
    assert Settings.from_environment().anonymous_scopes == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRY_DATABASE_URL", POSTGRES_URL),
        ("REGISTRY_DATABASE_URL", POSTGRES_URL.replace("postgresql:", "postgres:")),
        ("REGISTRY_REDIS_URL", REDIS_URL),
        ("REGISTRY_REDIS_URL", REDIS_URL.replace("redis:", "rediss:", 1)),
        ("REGISTRY_REDIS_URL", "unix://:Hidden-Word@/run/redis.sock"),
        ("REGISTRY_REDIS_URL", "redis+sentinel://:Hidden-Word@one:26379,[::1]/service?role=replica"),
        ("REGISTRY_DATABASE_URL", "postgres://u:Hidden-Word@one,two:5433/db?target_session_attrs=primary"),
        ("REGISTRY_DEMO_KEY", "Hidden-Word-of-some-length"),
    ],
)
def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    field = getattr(settings, name.removeprefix("REGISTRY_").lower())
    assert field.get_secret_value() == value
    for shown in (repr(settings), str(settings), f"{settings.model_dump()}", settings.model_dump_json()):
        assert "Hidden-Word" not in shown


def test_settings_are_frozen() -> None:
    settings = Settings.from_environment()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        Parameters.from_environment().search_timeout = 1  # type: ignore[misc]


# A port that is no number gets as far as the driver, whose ValueError the command line does not expect.
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRY_DATABASE_URL", "postgresql://user:password@127.0.0.1:abc/registry"),
        ("REGISTRY_REDIS_URL", "redis://127.0.0.1:abc"),
    ],
)
def test_a_port_inside_a_url_is_a_number(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: ."):
        Settings.from_environment()
