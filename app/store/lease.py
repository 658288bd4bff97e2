"""Who may write the index: a lease in Postgres, on the database's clock, with a token that only grows."""

import asyncio
from typing import Final

from app.domain.errors import LeaseLost, PostgresUnavailable
from app.store.postgres import Connection, postgres_errors
from app.store.statements import Statements

SQL: Final = Statements("leases.sql")
LEASE_NAME: Final = "index"


class Lease:
    """One holder's view of the lease. Raises PostgresUnavailable from every method."""

    def __init__(self, connection: Connection, holder: str, duration_s: float) -> None:
        self._connection = connection
        self._holder = holder
        self._duration_s = duration_s

    async def acquire(self, shown: int = 0) -> int | None:
        """Take or renew the lease; its token, or None while somebody else holds it.

        `shown` is the highest token that Redis has seen; a new token is greater.
        """
        with postgres_errors():
            token = await self._connection.fetchval(
                SQL["acquire"], LEASE_NAME, self._holder, self._duration_s, shown
            )
        return None if token is None else int(token)

    async def keep(self, token: int) -> None:
        """Renew the lease until it is lost; then raise LeaseLost. To be run beside what needs the lease."""
        while True:
            await asyncio.sleep(self._duration_s / 3)
            try:
                async with asyncio.timeout(self._duration_s / 3):
                    renewed = await self.acquire()
            except (PostgresUnavailable, TimeoutError) as error:
                raise LeaseLost(f"the lease could not be renewed: {error or 'no answer in time'}") from error
            if renewed != token:
                raise LeaseLost("another indexer has taken the lease")

    async def release(self) -> None:
        """Let the next indexer lead at once."""
        with postgres_errors():
            await self._connection.execute(SQL["release"], LEASE_NAME, self._holder)


async def current_holder(connection: Connection) -> str | None:
    """Who leads now; None if nobody does."""
    with postgres_errors():
        record = await connection.fetchrow(SQL["holder"], LEASE_NAME)
    return None if record is None else str(record["holder"])
