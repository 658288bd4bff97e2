"""The leader's housekeeping: what has had its time is removed from Postgres."""

import structlog

from app.store.postgres import STATEMENT_TIMEOUT_S, open_connection
from app.store.removal import remove_expired

log = structlog.get_logger(__name__)


async def keep_house(database_url: str, events_kept_s: float) -> None:
    """Raises PostgresUnavailable."""
    async with open_connection(database_url, statement_timeout_s=STATEMENT_TIMEOUT_S) as connection:
        removed = await remove_expired(connection, events_kept_s)
    if removed.answers or removed.events or removed.watches:
        log.info("expired removed", answers=removed.answers, events=removed.events, watches=removed.watches)
