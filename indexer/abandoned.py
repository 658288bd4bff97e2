"""Removes what versions of the code with another schema left in Redis, when none of them has run for long.

A canary and the stable version run side by side, each with generations of its own. Whichever of them is
given up does not come back to tidy.
"""

from typing import Final

import structlog
from redis.asyncio import Redis

from app.search.generation import IndexNames
from app.store.index_jobs import IndexJobs
from app.store.index_writer import IndexWriter, shown_token
from app.store.lease import Lease, abandoned
from app.store.postgres import STATEMENT_TIMEOUT_S, Connection, open_connection

LEASE_S: Final = 600.0
"""Long enough to remove all of them; a version that comes back meanwhile waits for so long at most."""

log = structlog.get_logger(__name__)


async def remove_abandoned(database_url: str, client: Redis, holder: str, after_s: float) -> None:
    """Raises Unavailable, and LeaseLost where a version came back meanwhile."""
    async with open_connection(database_url, statement_timeout_s=STATEMENT_TIMEOUT_S) as connection:
        for names in await abandoned(connection, after_s):
            await _remove(connection, client, holder, names)


async def _remove(connection: Connection, client: Redis, holder: str, names: IndexNames) -> None:
    lease = Lease(connection, holder, LEASE_S, names)
    token = await lease.acquire(await shown_token(client, names))
    if token is None:  # it has come back
        return
    writer = IndexWriter(client, token, names)
    await writer.claim()
    await writer.retire()
    for number in await writer.generations():
        await writer.drop_generation(number)
    await writer.disappear()
    await IndexJobs(connection, names.fingerprint).record_all_dropped()
    await lease.remove(token)
    log.info("abandoned generations removed", fingerprint=names.fingerprint)
