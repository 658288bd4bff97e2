"""What a rollout leaves in its folder: state, decisions, summary, orders; and who controls it."""

import fcntl
import hashlib
import json
import os
import socket
import tempfile
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
        """One line; after a line that a dead controller left unfinished, on a line of its own."""
        with (self.path / DECISIONS_FILE).open("ab+") as file:
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
        try:
            self._replace(f"{_ORDERS}/{file.name}", asdict(order))
        except OSError as error:
            raise FolderError(f"{file} cannot be written ({error.strerror})") from error
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
        replace_file(self.path / name, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")

    def holder(self) -> Holder | None:
        """Who controls this rollout now, None if nobody does."""
        return _holder_of(self.path / LOCK_FILE)


@contextmanager
def control(folder: Folder, balancer: str, backend: str) -> Iterator[None]:
    """Be the one controller of this folder, and on this host of this balancer's backend.

    Raises Controlled. The kernel ends both locks with the process, however that ends.
    """
    digest = hashlib.sha256(f"{_canonical(balancer)} {backend}".encode()).hexdigest()[:16]
    shared = Path(tempfile.gettempdir()) / f"registry-rollout-{os.getuid()}-{digest}.lock"
    holder = Holder(socket.gethostname(), os.getpid(), str(folder.path.resolve()), utc_now())
    with _locked(folder.path / LOCK_FILE, holder), _locked(shared, holder):
        yield


@contextmanager
def _locked(path: Path, holder: Holder) -> Iterator[None]:
    with _open(path) as file:
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


def _open(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as error:
        raise FolderError(f"{path} cannot be opened ({error.strerror})") from error


def _holder_of(path: Path) -> Holder | None:
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Holder(**json.loads(file.read()))
    except (OSError, ValueError, TypeError):
        return None
    return None


def _canonical(balancer: str) -> str:
    return str(Path(balancer).resolve()) if "/" in balancer else balancer
