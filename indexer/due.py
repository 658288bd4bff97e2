"""What takes effect by itself: delistings that lay ahead, and aliases that begin or end to be valid."""

import structlog

from app.store.instrument_writes import take_effect_of_due
from app.store.postgres import STATEMENT_TIMEOUT_S, open_connection
from app.store.writing import Writer

ACTOR = Writer("schedule")
"""In the history."""

log = structlog.get_logger(__name__)


async def take_effect(database_url: str) -> None:
    """Raises PostgresUnavailable."""
    async with open_connection(database_url, statement_timeout_s=STATEMENT_TIMEOUT_S) as connection:
        count = await take_effect_of_due(connection, ACTOR)
    if count:
        log.info("due took effect", instruments=count)
