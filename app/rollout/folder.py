"""What a rollout leaves in its folder: state, decisions, summary, orders; and who controls it."""

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

from app.domain.errors import RegistryError
from app.files import replace_file
from app.rollout.machine import Order, OrderKind
from app.times import utc_now

STATE_FILE: Final = "state.json"
DECISIONS_FILE: Final = "decisions.jsonl"
SUMMARY_FILE: Final = "summary.json"
LOCK_FILE: Final = "controller.lock"
_ORDERS: Final = "orders"
_SHARED_FOLDERS: Final = (Path("/run/lock"), Path("/tmp"))  # noqa: S108 - one name for all users
_LOCK_ATTEMPTS: Final = 5
_LOCK_PAUSE_S: Final = 0.05
"""Whoever asks who holds a lock has it for a moment."""


class FolderError(RegistryError):
    """The folder cannot be used as asked; `str(error)` names it and the way out."""


class Controlled(FolderError):
    """Another controller is at work; `str(error)` names it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who controls a rollout."""

    host: str
    pid: int
    folder: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}, with the folder {self.folder}"


class Folder:
    """A rollout's files. State and summary are replaced as a whole, decisions are only added to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Raises FolderError."""
        try:
            (self.path / _ORDERS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(
                f"--folder: {self.path} cannot be made ({error.strerror}); name another"
            ) from error

    def read_state(self) -> dict[str, Any] | None:
        """None where no rollout was started. Raises FolderError."""
        try:
            content = json.loads((self.path / STATE_FILE).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise FolderError(
                f"{self.path / STATE_FILE} cannot be read: {error}; look at {DECISIONS_FILE} for what was "
                "last decided, and set the balancer by hand"
            ) from error
        if not isinstance(content, dict):
            raise FolderError(f"{self.path / STATE_FILE} holds no state of a rollout; name another --folder")
        return content

    def write_state(self, state: Mapping[str, Any]) -> None:
        self._replace(STATE_FILE, state)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        self._replace(SUMMARY_FILE, summary)

    def add_decision(self, decision: Mapping[str, Any]) -> None:
        """One line; after a line that a dead controller left unfinished, on a line of its own.

        Raises FolderError.
        """
        with _written(self.path / DECISIONS_FILE) as path, path.open("ab+") as file:
            if file.seek(0, os.SEEK_END) > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(orjson.dumps(decision) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read_decisions(self) -> list[dict[str, Any]]:
        """All that are whole."""
        decisions = []
        try:
            lines = (self.path / DECISIONS_FILE).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                decisions.append(json.loads(line))
            except ValueError:  # half a line of a controller that was killed
                continue
        return decisions

    def put_order(self, order: Order) -> Path:
        """For the controller; the file goes away when it has taken the order."""
        file = self.path / _ORDERS / f"{time.time_ns():020d}-{os.getpid()}.json"
        self._replace(f"{_ORDERS}/{file.name}", asdict(order))
        return file

    def orders(self) -> list[tuple[Path, Order | None]]:
        """Those that wait, the first first; None for a file that is no order."""
        found: list[tuple[Path, Order | None]] = []
        for file in sorted((self.path / _ORDERS).glob("*.json")):
            try:
                content = json.loads(file.read_bytes())
                found.append((file, Order(OrderKind(content["kind"]), content["by"], content["reason"])))
            except (OSError, ValueError, KeyError, TypeError):
                found.append((file, None))
        return found

    def has_orders(self) -> bool:
        return any((self.path / _ORDERS).glob("*.json"))

    def _replace(self, name: str, content: Mapping[str, Any]) -> None:
        """In one step, and on the disk when this returns. Raises FolderError."""
        with _written(self.path / name) as file:
            replace_file(file, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")

    def holder(self) -> Holder | None:
        """Who controls this rollout now, None if nobody does."""
        return _holder_of(self.path / LOCK_FILE)


@contextmanager
def _written(file: Path) -> Iterator[Path]:
    try:
        yield file
    except OSError as error:
        raise FolderError(
            f"{file} cannot be written ({error.strerror}); mend that, and go on with rollout run, or set the "
            "balancer by hand as the runbook manual-rollback says"
        ) from error


@contextmanager
def control(folder: Folder, balancer: str, backend: str) -> Iterator[None]:
    """Be the one controller of this folder, and on this host of this balancer's backend.

    Whoever runs it, and wherever their temporary files are. Raises Controlled. The kernel ends both locks
    with the process, however that ends.
    """
    digest = hashlib.sha256(f"{_canonical(balancer)} {backend}".encode()).hexdigest()[:16]
    shared = _shared_folder() / f"registry-rollout-{digest}.lock"
    holder = Holder(socket.gethostname(), os.getpid(), str(folder.path.resolve()), utc_now())
    with _locked(folder.path / LOCK_FILE, holder), _locked(shared, holder, 0o666):
        yield


@contextmanager
def _locked(path: Path, holder: Holder, mode: int = 0o600) -> Iterator[None]:
    with _open(path, mode) as file:
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if attempt + 1 == _LOCK_ATTEMPTS:
                    raise Controlled(
                        f"another controller is at work: {_holder_of(path) or path}; it is given orders by "
                        "rollout pause, resume and abort"
                    ) from error
                time.sleep(_LOCK_PAUSE_S)
            else:
                break
        file.seek(0)
        file.truncate()
        file.write(orjson.dumps(asdict(holder)))
        file.flush()
        yield


def _shared_folder() -> Path:
    """The same one for every user of this host."""
    for folder in _SHARED_FOLDERS:
        with contextlib.suppress(OSError):
            if folder.stat().st_mode & stat.S_IWOTH:
                return folder
    raise FolderError(
        f"none of {', '.join(map(str, _SHARED_FOLDERS))} may be written to by everybody; make one"
    )


def _open(path: Path, mode: int) -> IO[bytes]:
    """The file, made where it is not there. With O_CREAT the kernel refuses one that another user made."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            number = os.open(path, flags)
        except FileNotFoundError:
            number = os.open(path, flags | os.O_CREAT, mode)
            os.fchmod(number, mode)  # whatever the umask is
        return os.fdopen(number, "r+b")
    except OSError as error:
        raise FolderError(f"{path} cannot be opened ({error.strerror})") from error


def _holder_of(path: Path) -> Holder | None:
    """Raises FolderError where it cannot be told."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Holder(**json.loads(file.read()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    except OSError as error:
        raise FolderError(
            f"who controls this rollout cannot be told: {path} cannot be opened ({error.strerror}); ask as "
            "the user whose it is"
        ) from error
    return None


def _canonical(balancer: str) -> str:
    return str(Path(balancer).resolve()) if "/" in balancer else balancer
