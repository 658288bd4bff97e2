"""Child processes that never outlive their parent.

A child runs in a session of its own, so that Ctrl-C reaches the parent alone, which then stops its
children in order. On Linux the kernel signals a child whose parent was killed, so not even SIGKILL
leaves an orphan.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_POLL_S: Final = 0.05
_LOG_TAIL_LINES: Final = 8


class EmbeddedError(Exception):
    """Something on this machine keeps the embedded servers from running; `str(error)` has the way out."""


@dataclass(slots=True)
class Child:
    """A running child process. `stop_signal` asks it to end in good order."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    stop_signal: signal.Signals

    @property
    def exited(self) -> bool:
        return self.process.poll() is not None

    def stop(self, grace_s: float = 20.0) -> None:
        """Ask the child to end, and kill it if it has not after `grace_s` seconds."""
        if not self.exited:
            self.process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        if not self.exited:
            self.process.kill()
        self.process.wait()

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `ready()`; raises EmbeddedError if the child ends or time runs out."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.exited:
                raise EmbeddedError(f"{self.name} ended at once: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.name} was not ready after {timeout_s:.0f} s; its log is {self.log}"
                )
            time.sleep(_POLL_S)

    def log_tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-_LOG_TAIL_LINES:]) or "it left no log"


def start_child(
    name: str,
    command: Sequence[str | Path],
    log: Path,
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
) -> Child:
    """Start `command` with its output in `log`. To be called in the main thread."""
    parent = os.getpid()

    def follow_parent() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, stop_signal)
            if os.getppid() != parent:  # it died before the line above took effect
                os._exit(1)

    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=follow_parent,
            env=None if environment is None else dict(environment),
        )
    return Child(name, process, log, stop_signal)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_on_free_port(
    start: Callable[[int], Child], ready: Callable[[int], bool], timeout_s: float
) -> tuple[Child, int]:
    """Start a server on a free port, again on another if somebody else took that one meanwhile."""
    attempts_left = 3
    while True:
        attempts_left -= 1
        port = free_port()
        child = start(port)
        try:
            child.wait_until(lambda port=port: ready(port), timeout_s)  # type: ignore[misc]
        except BaseException as error:
            child.stop()
            taken = isinstance(error, EmbeddedError) and "in use" in child.log_tail()
            if attempts_left == 0 or not taken:
                raise
        else:
            return child, port
