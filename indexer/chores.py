"""What the leader does now and then, beside refreshes and jobs."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from app.domain.errors import Conflict, Unavailable

log = structlog.get_logger(__name__)


async def repeat(name: str, chore: Callable[[], Awaitable[None]], interval_s: float) -> None:
    """Do it at once and then at every interval, for ever; what fails waits for the next."""
    while True:
        try:
            await chore()
        except (Unavailable, Conflict) as error:
            log.warning("chore failed", chore=name, reason=str(error))
        await asyncio.sleep(interval_s)
