"""The one tree of errors that users of the client meet.

    ClientError
    ├── InvalidInput              400: what was sent cannot be used; `fields` names each field
    ├── NotAuthenticated          401: no key or token, or one that is not valid
    ├── NotAllowed                403: a valid one without the scope
    ├── NotFound                  404
    ├── Conflict                  409: the thing is in a state that does not allow it
    ├── CursorExpired             410: begin again without the cursor
    ├── PreconditionFailed        412: somebody else wrote first; `etag` is the current one
    ├── KeyReused                 422: an Idempotency-Key came again with another body
    ├── PreconditionRequired      428: a write without If-Match
    ├── RateLimited               429: `retry_after_s` says when to come back
    ├── ServiceUnavailable        5xx: the service, or a server that it needs, is away
    ├── RequestRefused            any other status
    ├── Unreachable               no answer: no connection, a broken one, or none in time
    ├── UnexpectedAnswer          an answer that an instrument registry does not give
    └── IncompleteAnswer          a list that the service could not give to its end

Those with a status are problem details (RFC 9457); the others have `status` None.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that is wrong, and the way out."""

    field: str
    message: str
    line: int | None = None
    """Of a bulk write: in which line, counted from 1."""


class ClientError(Exception):
    """Root of the tree. `str(error)` is one sentence that a user may read."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        problem: Mapping[str, Any] | None = None,
        etag: str | None = None,
        location: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem: Mapping[str, Any] = problem or {}
        """The problem details as they were sent."""
        self.etag = etag
        """Of what there is now, where a precondition failed."""
        self.location = location
        """Of a refused request for an index job: where the one in its way is."""
        self.retry_after_s = retry_after_s
        """After how many seconds the service asks to be tried again."""
        self.outcome_unknown = False
        """Whether an attempt of this write may have been carried out all the same."""

    @property
    def fields(self) -> tuple[FieldProblem, ...]:
        """The fields at fault, where there are any."""
        return tuple(
            FieldProblem(error["field"], error["message"], error.get("line"))
            for error in self.problem.get("errors", ())
        )

    @property
    def request_id(self) -> str | None:
        """Finds the request in the service's logs."""
        return self.problem.get("instance")


class InvalidInput(ClientError):
    pass


class NotAuthenticated(ClientError):
    pass


class NotAllowed(ClientError):
    pass


class NotFound(ClientError):
    pass


class Conflict(ClientError):
    pass


class CursorExpired(ClientError):
    pass


class PreconditionFailed(ClientError):
    pass


class KeyReused(ClientError):
    pass


class PreconditionRequired(ClientError):
    pass


class RateLimited(ClientError):
    pass


class ServiceUnavailable(ClientError):
    pass


class RequestRefused(ClientError):
    pass


class Unreachable(ClientError):
    pass


class UnexpectedAnswer(ClientError):
    pass


class IncompleteAnswer(ClientError):
    pass


STATUSES: Final[Mapping[int, type[ClientError]]] = {
    400: InvalidInput,
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    410: CursorExpired,
    412: PreconditionFailed,
    422: KeyReused,
    428: PreconditionRequired,
    429: RateLimited,
}


def error_of(
    status: int, body: bytes, headers: Mapping[str, str], retry_after_s: float | None
) -> ClientError:
    """The error for an answer that is none of the good ones."""
    try:
        problem = json.loads(body)
        message = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        problem, message = None, f"the answer was {status}, without saying why"
    kind = STATUSES.get(status) or (ServiceUnavailable if status >= 500 else RequestRefused)
    return kind(
        message,
        status=status,
        problem=problem,
        etag=headers.get("ETag"),
        location=headers.get("Location"),
        retry_after_s=retry_after_s,
    )
