"""What the drivers raise when a server is gone becomes the project's error, whichever way they say it."""

import asyncpg
import pytest

from app.domain.errors import PostgresUnavailable
from app.store.postgres import postgres_errors


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        TimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_connection_that_is_gone_is_postgres_being_away(error: Exception) -> None:
    with pytest.raises(PostgresUnavailable), postgres_errors():
        raise error
