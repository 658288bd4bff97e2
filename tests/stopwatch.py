"""How long something takes, without the pauses of a machine that is shared with others."""

import threading
import time
from types import TracebackType
from typing import Final, Self

_TICK_S: Final = 0.005
_LONGEST_TICK_S: Final = 0.05


class Stopwatch:
    """Runs inside `with`, in ticks: of a tick that took long, the machine was elsewhere for the rest."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    @property
    def seconds(self) -> float:
        return self._seconds

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _tick(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(_TICK_S):
            now = time.monotonic()
            self._seconds += min(now - before, _LONGEST_TICK_S)
            before = now
