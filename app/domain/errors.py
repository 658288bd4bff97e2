"""The one tree of errors that callers of this project meet.

    RegistryError
    ├── InvalidInput          what was sent cannot be used; names each field
    ├── NotAuthenticated      no credential, or one that is not valid
    ├── NotAllowed            a valid credential without the scope
    ├── TooManyStreams        the owner listens to as many streams as it may
    ├── RateLimited           the caller's requests of this minute are used up; carries the quota
    ├── NotFound              no such thing
    ├── Conflict              the thing is in a state that does not allow it
    │   ├── LeaseLost         this indexer no longer leads
    │   ├── NameTaken         the owner has another profile of that name
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
        ├── IndexNotReady     no generation is live yet
        ├── StreamsExhausted  this process serves as many streams as it may
        └── ExportsExhausted  this process makes as many exports as it may

Drivers' errors are wrapped once, in `app.store`, with `from`. HTTP statuses live in
`app.web.problems` alone.
"""

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


class IndexNotReady(Unavailable):
    pass


class StreamsExhausted(Unavailable):
    retry_after_s = 5


class ExportsExhausted(Unavailable):
    retry_after_s = 30
