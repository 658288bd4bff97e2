"""The one tree of errors that callers of this project meet.

    RegistryError
    ├── InvalidInput          what was sent cannot be used; names each field
    ├── NotAuthenticated      no credential, or one that is not valid
    ├── NotAllowed            a valid credential without the scope
    ├── NotFound              no such thing
    ├── Conflict              the thing is in a state that does not allow it
    │   └── LeaseLost         this indexer no longer leads
    ├── CursorExpired         the generation that a cursor points into is gone
    ├── SearchTimedOut        Redis gave up after SEARCH_TIMEOUT
    └── Unavailable           a server that is needed does not answer
        ├── PostgresUnavailable
        ├── RedisUnavailable
        └── IndexNotReady     no generation is live yet

Drivers' errors are wrapped once, in `app.store`, with `from`. HTTP statuses live in
`app.web.problems` alone.
"""

from dataclasses import dataclass


class RegistryError(Exception):
    """Root of the tree. `str(error)` is one sentence that a user may read."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong, and the way out."""

    field: str
    message: str


class InvalidInput(RegistryError):
    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors

    @classmethod
    def of(cls, field: str, message: str) -> "InvalidInput":
        return cls(FieldError(field, message))


class NotAuthenticated(RegistryError):
    pass


class NotAllowed(RegistryError):
    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs the scope {scope}, which the credential does not have")


class NotFound(RegistryError):
    pass


class Conflict(RegistryError):
    pass


class LeaseLost(Conflict):
    pass


class CursorExpired(RegistryError):
    pass


class SearchTimedOut(RegistryError):
    pass


class Unavailable(RegistryError):
    """`retry_after_s`: after how many seconds a retry makes sense."""

    retry_after_s = 1


class PostgresUnavailable(Unavailable):
    pass


class RedisUnavailable(Unavailable):
    pass


class IndexNotReady(Unavailable):
    pass
