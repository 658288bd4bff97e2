"""Who may write the index: a lease in Postgres, on the database's clock, with a token that only grows."""

import asyncio
from typing import Final

from app.domain.errors import LeaseLost, PostgresUnavailable
from app.search.generation import LEASE_PREFIX, OWN, IndexNames
from app.store.postgres import Connection, postgres_errors
from app.store.statements import Statements

SQL: Final = Statements("leases.sql")


class Lease:
    """One holder's view of the lease. Raises PostgresUnavailable from every method."""

    def __init__(
        self, connection: Connection, holder: str, duration_s: float, names: IndexNames = OWN
    ) -> None:
        self._name = names.lease
        self._connection = connection
        self._holder = holder
        self._duration_s = duration_s

    async def acquire(self, shown: int = 0) -> int | None:
        """Take or renew the lease; its token, or None while somebody else holds it.

        `shown` is the highest token that Redis has seen; a new token is greater.
        """
        with postgres_errors():
            token = await self._connection.fetchval(
                SQL["acquire"], self._name, self._holder, self._duration_s, shown
            )
        return None if token is None else int(token)

    async def keep(self, token: int) -> None:
        """Renew the lease until it is lost; then raise LeaseLost. To be run beside what needs the lease.

        What is led may take minutes, and begins anew where it ends so: a server that pauses for less than the
        lease lasts does not end it.
        """
        while True:
            await asyncio.sleep(self._duration_s / 3)
            try:
                async with asyncio.timeout(self._duration_s * 2 / 3):
                    is_held = await self._renew(token)
            except TimeoutError as error:
                raise LeaseLost("the lease could not be renewed: Postgres does not answer in time") from error
            except PostgresUnavailable as error:
                raise LeaseLost(f"the lease could not be renewed: {error}") from error
            if not is_held:
                raise LeaseLost("another indexer has taken the lease")

    async def _renew(self, token: int) -> bool:
        """Whether it is still held."""
        with postgres_errors():
            renewed = await self._connection.fetchval(
                SQL["renew"], self._name, self._holder, self._duration_s, token
            )
        return renewed is not None

    async def remove(self, token: int) -> None:
        """Forget the lease, if it is still held: nobody needs it any more."""
        with postgres_errors():
            await self._connection.execute(SQL["remove"], self._name, self._holder, token)

    async def release(self) -> None:
        """Let the next indexer lead at once."""
        with postgres_errors():
            await self._connection.execute(SQL["release"], self._name, self._holder)


async def current_holder(connection: Connection) -> str | None:
    """Who leads now; None if nobody does."""
    with postgres_errors():
        record = await connection.fetchrow(SQL["holder"], OWN.lease)
    return None if record is None else str(record["holder"])


async def abandoned(connection: Connection, after_s: float) -> list[IndexNames]:
    """Other schemas' generations that nobody has written for `after_s` seconds."""
    with postgres_errors():
        records = await connection.fetch(SQL["abandoned"], LEASE_PREFIX, after_s)
    found = [IndexNames(record["name"].removeprefix(LEASE_PREFIX)) for record in records]
    return [names for names in found if names != OWN]
