"""The demo: both servers, the indexer and the API in one process tree, on the loopback interface only.

It starts them in order, waits until a search would be answered, and stops them in reverse order on
Ctrl-C, on SIGTERM, or when one of them ends.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import asyncpg

from app.auth.api_keys import key_hash, new_key
from app.domain.access import INSTRUMENTS_READ, SCOPES
from app.embedded.children import Child, EmbeddedError, start_child
from app.embedded.interrupts import Interrupts
from app.embedded.postgres import DATABASE, EmbeddedPostgres, start_postgres
from app.embedded.redis import start_redis
from app.settings import Settings
from app.store.api_keys import set_only_key
from app.store.redis import open_search_redis, redis_errors

HOST: Final = "127.0.0.1"
_OWNER: Final = "demo"
_READY_TIMEOUT_S: Final = 300.0
_REDIS_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Connection:
    """What `connection.json` holds while the demo runs."""

    api_url: str
    api_key: str
    database_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class _Secrets:
    """Kept in the data folder, so that a second start uses the same."""

    postgres_password: str
    redis_password: str
    api_key: str


class Demo:
    """The running parts; a context manager that stops whatever was started. Raises EmbeddedError."""

    def __init__(self, settings: Settings, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._settings = settings
        self._folder = settings.data_dir.absolute()
        self._connection_file = self._folder / "connection.json"
        self._children: list[Child] = []
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            _make_folder(self._folder)
            cleanup.enter_context(_locked(self._folder))
            _check_port(self._settings.port)
            cleanup.callback(self._stop)
            self._connection_file.unlink(missing_ok=True)  # of a demo that was killed
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def start_servers(self) -> Connection:
        """Start what is not given by a URL of one's own, and bring the schema up to date."""
        from app.store.migrate import upgrade  # with all of Alembic, which no other command loads

        known = _read_secrets(self._folder)
        if self._settings.database_url is None:
            postgres = start_postgres(self._folder, known.postgres_password)
            self._children.append(postgres.child)
            self._interrupts.run(_create_database(postgres))
            database_url = postgres.url()
        else:
            database_url = self._settings.database_url.get_secret_value()
        if self._settings.redis_url is None:
            redis = start_redis(self._folder, known.redis_password)
            self._children.append(redis.child)
            redis_url = redis.url()
        else:
            redis_url = self._settings.redis_url.get_secret_value()
        self._interrupts.run(_check_redis(redis_url))
        self._interrupts.run(upgrade(database_url))
        demo_key = self._settings.demo_key
        key = demo_key.get_secret_value() if demo_key is not None else known.api_key
        self._interrupts.run(
            set_only_key(database_url, owner=_OWNER, scopes=SCOPES, secret_sha256=key_hash(key))
        )
        return Connection(f"http://{HOST}:{self._settings.port}", key, database_url, redis_url)

    def start_service(self, connection: Connection) -> None:
        """Start the indexer and the API, wait until the index is filled, and write `connection.json`."""
        environment = {
            **os.environ,
            "REGISTRY_ANONYMOUS_SCOPES": ",".join(self._settings.anonymous_scopes or (INSTRUMENTS_READ,)),
            "REGISTRY_DATABASE_URL": connection.database_url,
            "REGISTRY_REDIS_URL": connection.redis_url,
            "REGISTRY_HOST": HOST,
            "REGISTRY_PORT": str(self._settings.port),
            "REGISTRY_SHUTDOWN_DRAIN_S": "0",
        }
        for name in [name for name in environment if f"{name}_FILE" in environment]:
            del environment[f"{name}_FILE"]
        for name, module in (("indexer", ["indexer", "run"]), ("api", ["app.supervision"])):
            command = [sys.executable, "-P", "-m", *module]
            child = start_child(name, command, self._folder / f"{name}.log", environment=environment)
            self._children.append(child)
        self._wait_until(lambda: _is_filled(f"{connection.api_url}/health/ready"))
        _write_private(self._connection_file, json.dumps(asdict(connection), indent=2) + "\n")

    def wait(self) -> None:
        """Wait until a part ends, which none should. Raises EmbeddedError naming it."""
        while True:
            self._raise_if_ended()
            time.sleep(_POLL_S)

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not ready():
            self._raise_if_ended()
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"the index was not filled in {_READY_TIMEOUT_S:.0f} s; see {self._folder}/indexer.log"
                )
            time.sleep(_POLL_S)

    def _raise_if_ended(self) -> None:
        for child in self._children:
            if child.exited:
                raise EmbeddedError(f"{child.name} ended, so everything was stopped: {child.log_tail()}")

    def _stop(self) -> None:
        """Stop the API first, the databases last, undisturbed by further signals."""
        self._interrupts.ignore()
        self._connection_file.unlink(missing_ok=True)
        while self._children:
            self._children.pop().stop()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"the data folder {folder} cannot be made: {error.strerror}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the data folder's lock, which the kernel frees however this process ends."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EmbeddedError(
                f"a demo is already running on {folder}; stop it, or choose another folder with --data-dir"
            ) from error
        yield


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise EmbeddedError(
                f"port {port} is not free ({error.strerror}); choose another with --port or REGISTRY_PORT"
            ) from error


def _read_secrets(folder: Path) -> _Secrets:
    path = folder / "secrets.json"
    if not path.exists():
        made = _Secrets(secrets.token_urlsafe(24), secrets.token_urlsafe(24), new_key())
        _write_private(path, json.dumps(asdict(made), indent=2) + "\n")
    try:
        return _Secrets(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise EmbeddedError(
            f"{path} is damaged, and with it the passwords of the servers; restore it, or remove {folder}"
        ) from error


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, complete or not at all."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(text, encoding="utf-8")
    unfinished.rename(path)


async def _create_database(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.url("postgres"))
    try:
        if not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE
        ):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


async def _check_redis(url: str) -> None:
    """Raises RedisUnavailable."""
    client = open_search_redis(url, pool_size=1, timeout_s=_REDIS_TIMEOUT_S)
    try:
        with redis_errors():
            await client.ping()
    finally:
        await client.aclose()


def _is_filled(health_url: str) -> bool:
    try:
        with urllib.request.urlopen(health_url, timeout=5) as response:  # noqa: S310 - our own address
            return json.load(response)["index_generation"] is not None
    except (urllib.error.URLError, OSError):
        return False
