"""A client of the Instrument Registry, on asyncio; `instrument_registry_client.sync` is the same without."""

from instrument_registry_client.client import RegistryClient
from instrument_registry_client.errors import (
    ClientError,
    Conflict,
    CursorExpired,
    FieldProblem,
    IncompleteAnswer,
    InvalidInput,
    KeyReused,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
    UnexpectedAnswer,
    Unreachable,
)
from instrument_registry_client.feeds import Export
from instrument_registry_client.results import Event, SearchPage, Versioned
from instrument_registry_client.retries import RetryPolicy

__all__ = [
    "ClientError",
    "Conflict",
    "CursorExpired",
    "Event",
    "Export",
    "FieldProblem",
    "IncompleteAnswer",
    "InvalidInput",
    "KeyReused",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "PreconditionFailed",
    "PreconditionRequired",
    "RateLimited",
    "RegistryClient",
    "RequestRefused",
    "RetryPolicy",
    "SearchPage",
    "ServiceUnavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "Versioned",
]
