"""SIGINT, SIGTERM and SIGHUP as one KeyboardInterrupt, raised only where it does no harm.

Raised inside an event loop it tears through drivers' callbacks, and a cancellation, which asyncio makes
of it, can get lost in them. So while a coroutine runs a signal is only noted; the coroutine is ended for
sure, and the KeyboardInterrupt comes afterwards. Elsewhere it may strike in a finalizer, where Python
reports and drops what is raised: it is raised again, a moment later.
"""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from app.tasks import end_tasks

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
"""The last is of ourselves: another one, dropped by Python, once more."""
_POLL_S: Final = 0.1
_AGAIN_S: Final = 0.01

T = TypeVar("T")


class Interrupts:
    """Takes the signals over, for the rest of the process; to be made in the main thread."""

    def __init__(self) -> None:
        self._noted = False
        self._running = False
        for name in _SIGNALS:
            signal.signal(name, self._on_signal)
        sys.unraisablehook = self._on_unraisable

    def ignore(self) -> None:
        """Let nothing disturb what is to come."""
        for name in _SIGNALS:
            signal.signal(name, signal.SIG_IGN)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """`asyncio.run`, ended by a signal; then raises KeyboardInterrupt."""
        self._running = True
        try:
            task = asyncio.run(self._until_noted(work))
        finally:
            self._running = False
        if self._noted:
            raise KeyboardInterrupt
        return task.result()

    def _on_signal(self, *_: object) -> None:
        self._noted = True
        if not self._running:
            raise KeyboardInterrupt

    def _on_unraisable(self, unraisable: "sys.UnraisableHookArgs") -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            sys.__unraisablehook__(unraisable)

    async def _until_noted(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """The task of the work, ended: by itself, or because of a signal."""
        task = asyncio.ensure_future(work)
        while not task.done() and not self._noted:
            await asyncio.wait((task,), timeout=_POLL_S)
        await end_tasks(task)
        return task
