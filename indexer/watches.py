"""Tells those who listen to profiles what a refresh brought: once for each profile, however many listen."""

from functools import partial
from typing import Final

import structlog
from redis.asyncio import Redis

from app import metrics
from app.domain.errors import RegistryError, Unavailable
from app.store.matches import read_matches
from app.store.postgres import STATEMENT_TIMEOUT_S, open_connection, postgres_errors
from app.store.profile_changes import SQL, tell_instruments, tell_membership

PROFILES_AT_ONCE: Final = 50
"""Profiles whose writers wait for each other while their members are looked through."""

log = structlog.get_logger(__name__)


async def tell_listeners(database_url: str, client: Redis, generation: int, timeout_ms: int) -> bool:
    """Look for changes of the instruments of every profile that is listened to; whether all were told.

    Dynamic ones are compared with what `generation` holds now. Raises Unavailable.
    """
    complete = True
    async with open_connection(database_url, statement_timeout_s=STATEMENT_TIMEOUT_S) as connection:
        with postgres_errors():
            listened = await connection.fetch(SQL["listened"])
            ids = [record["profile_id"] for record in listened]
            metrics.PROFILES_COMPARED.inc(len(ids))
            # Members first: what leaves a selection now was in it until now.
            for start in range(0, len(ids), PROFILES_AT_ONCE):
                async with connection.transaction():
                    await tell_instruments(connection, ids[start : start + PROFILES_AT_ONCE])
            read = partial(read_matches, client, generation, timeout_ms=timeout_ms)
            for profile_id in [record["profile_id"] for record in listened if record["is_dynamic"]]:
                try:
                    async with connection.transaction():
                        await tell_membership(connection, profile_id, read)
                except Unavailable:
                    raise
                except RegistryError as error:
                    log.warning("selection not compared", profile=str(profile_id), reason=str(error))
                    complete = False
    return complete
