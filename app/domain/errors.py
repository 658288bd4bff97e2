"""The one tree of errors that callers of this project meet.

    RegistryError
    ├── InvalidInput          what was sent cannot be used; names each field
    │   └── BulkRefused       a bulk write of which nothing was applied; names each line
    ├── NotAuthenticated      no credential, or one that is not valid
    ├── NotAllowed            a valid credential without the scope
    ├── TooManyJobs           more mapping jobs at once than the caller may send
    ├── TooManyStreams        the owner listens to as many streams as it may
    ├── RateLimited           the caller's requests of this minute are used up; carries the quota
    ├── NotFound              no such thing
    ├── Conflict              the thing is in a state that does not allow it
    │   ├── LeaseLost         this indexer no longer leads
    │   ├── NameTaken         the owner has another profile of that name
    │   ├── QueryPinned       there is another pin for that query
    │   ├── SymbolTaken       another living instrument has that symbol at that venue
    │   ├── InFlight          the same request is still being carried out
    │   └── JobUnderWay       the indexer is busy; carries the job in the way
    ├── KeyReused             an Idempotency-Key came again with another body
    ├── PreconditionRequired  a write without If-Match
    ├── PreconditionFailed    a write that lost a race; carries the current version
    ├── CursorExpired         the generation that a cursor points into is gone
    ├── SearchTimedOut        Redis gave up after SEARCH_TIMEOUT
    └── Unavailable           a server that is needed does not answer
        ├── PostgresUnavailable
        ├── RedisUnavailable
        ├── ProviderUnavailable   no key of the OpenID provider is known
        ├── ConfigServiceUnavailable  the parameters cannot be read or registered
        ├── IndexNotReady     no generation is live yet
        ├── SearchesExhausted this process makes as many searches as it may
        ├── StreamsExhausted  this process serves as many streams as it may
        ├── ExportsExhausted  this process makes as many exports as it may
        ├── BulkWritesExhausted   this process receives as many bulk writes as it may
        └── BulkUnderWay      an import or another bulk write is being applied

Drivers' errors are wrapped once, in `app.store`, with `from`. HTTP statuses live in
`app.web.problems` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.domain.access import Quota

AuthFailure: TypeAlias = Literal[
    "missing",
    "malformed_header",
    "malformed_key",
    "unknown_key",
    "expired_key",
    "revoked_key",
    "tokens_not_accepted",
    "malformed_token",
    "algorithm",
    "unknown_signing_key",
    "bad_signature",
    "wrong_issuer",
    "wrong_audience",
    "missing_claim",
    "not_yet_valid",
    "expired_token",
    "scope",
]
"""Why a caller was refused, as the metric counts it; `scope` is a caller that is known and not allowed."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong, and the way out."""

    field: str
    message: str
    line: int | None = None
    """Of a bulk write: in which line, counted from 1."""


class RegistryError(Exception):
    """Root of the tree. `str(error)` is one sentence that a user may read."""

    errors: tuple[FieldError, ...] = ()
    """The fields at fault, where there are any."""
    retry_after_s: int | None = None
    """After how many seconds a retry makes sense; None: it makes none by itself."""


class InvalidInput(RegistryError):
    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors

    @classmethod
    def of(cls, field: str, message: str) -> "InvalidInput":
        return cls(FieldError(field, message))


class BulkRefused(InvalidInput):
    """`errors` are those of the first lines at fault."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(*errors)
        first = errors[0]
        self.args = (
            f"nothing was applied: line {first.line}: {first.field} {first.message}"
            + (f"; {len(errors) - 1} more in errors" if len(errors) > 1 else ""),
        )


class NotAuthenticated(RegistryError):
    def __init__(self, message: str, *, reason: AuthFailure) -> None:
        super().__init__(message)
        self.reason = reason


class NotAllowed(RegistryError):
    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs the scope {scope}, which the credential does not have")


class RateLimited(RegistryError):
    def __init__(self, quota: Quota) -> None:
        super().__init__(
            f"the limit of {quota.limit} requests per minute is used up; try again in {quota.reset_s} s"
        )
        self.quota = quota
        self.retry_after_s = quota.reset_s


class TooManyJobs(RegistryError):
    pass


class TooManyStreams(RegistryError):
    retry_after_s = 10


class NotFound(RegistryError):
    pass


class Conflict(RegistryError):
    pass


class LeaseLost(Conflict):
    pass


class NameTaken(Conflict):
    def __init__(self, name: str) -> None:
        message = f"you have a profile named {name!r} already; choose another name, or change that one"
        super().__init__(message)
        self.errors = (FieldError("name", "is taken by another profile of yours"),)


class QueryPinned(Conflict):
    """`pin` is the public id of the one that there is."""

    def __init__(self, pin: str) -> None:
        super().__init__(f"{pin} is for that query already; change that one, or choose another query")
        self.errors = (FieldError("query", f"is that of {pin}"),)


class SymbolTaken(Conflict):
    """`holder` is the public id of the instrument that has it."""

    def __init__(self, symbol: str, venue: str, holder: str) -> None:
        where = f"at {venue}" if venue else "without a venue"
        super().__init__(
            f"the symbol {symbol} {where} is that of {holder}; choose another, or change or delist that one"
        )
        self.errors = (FieldError("symbol", f"is that of {holder}"),)


class InFlight(Conflict):
    retry_after_s = 1


class JobUnderWay(Conflict):
    """`job` is the id of the one in the way."""

    def __init__(self, message: str, job: int) -> None:
        super().__init__(message)
        self.job = job


class KeyReused(RegistryError):
    pass


class PreconditionRequired(RegistryError):
    pass


class PreconditionFailed(RegistryError):
    def __init__(self, version: int) -> None:
        super().__init__(
            f"it was changed meanwhile and has version {version} now; read it again, then repeat the change"
        )
        self.version = version


class CursorExpired(RegistryError):
    pass


class SearchTimedOut(RegistryError):
    pass


class Unavailable(RegistryError):
    retry_after_s = 1


class PostgresUnavailable(Unavailable):
    pass


class RedisUnavailable(Unavailable):
    pass


class ProviderUnavailable(Unavailable):
    """Comes from `app.auth.tokens`, which alone speaks to the provider."""

    retry_after_s = 10


class ConfigServiceUnavailable(Unavailable):
    """The commands `config` meet it; a running process keeps the values that it has."""


class IndexNotReady(Unavailable):
    pass


class SearchesExhausted(Unavailable):
    pass


class StreamsExhausted(Unavailable):
    retry_after_s = 5


class ExportsExhausted(Unavailable):
    retry_after_s = 30


class BulkWritesExhausted(Unavailable):
    retry_after_s = 30


class BulkUnderWay(Unavailable):
    retry_after_s = 5
