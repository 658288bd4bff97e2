"""The leader's housekeeping: now and then, what has had its time is removed from Postgres."""

import asyncio
from typing import Final

import structlog

from app.domain.errors import PostgresUnavailable
from app.store.postgres import STATEMENT_TIMEOUT_S, open_connection
from app.store.removal import remove_expired

INTERVAL_S: Final = 60.0

log = structlog.get_logger(__name__)


async def keep_house(database_url: str, events_kept_s: float) -> None:
    """Remove what has expired, at once and then every minute, for ever; what fails waits for the next."""
    while True:
        try:
            async with open_connection(database_url, statement_timeout_s=STATEMENT_TIMEOUT_S) as connection:
                removed = await remove_expired(connection, events_kept_s)
        except PostgresUnavailable as error:
            log.warning("expired not removed", reason=str(error))
        else:
            if removed.answers or removed.events or removed.watches:
                log.info(
                    "expired removed", answers=removed.answers, events=removed.events, watches=removed.watches
                )
        await asyncio.sleep(INTERVAL_S)
