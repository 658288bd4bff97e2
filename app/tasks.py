"""Ending background tasks for sure."""

import asyncio
from typing import Any

_AGAIN_AFTER_S = 0.5


async def end_tasks(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel the tasks and wait until they have ended; what they raise is left to whoever asks them.

    A cancellation can get lost: before Python 3.12 `asyncio.wait_for`, which drivers use, returns a
    result that came at the same moment instead. So it is said again until it was heard.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_AFTER_S)
