"""The headers that callers send and get, each with its meaning."""

from dataclasses import dataclass, field, replace
from typing import Final

from app.domain.query_schema import EVENT_NUMBER, Schema
from app.store.idempotency import KEPT_HOURS

API_KEY_HEADER: Final = "X-API-Key"
OPENFIGI_KEY_HEADER: Final = "X-OPENFIGI-APIKEY"
REQUEST_ID_HEADER: Final = "X-Request-ID"

_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_ENTITY_TAG: Final[Schema] = {"type": "string", "pattern": '^(W/)?"[^"]+"$'}


@dataclass(frozen=True, slots=True)
class Header:
    """`always`: required in a request, or present in every answer that may have it."""

    name: str
    meaning: str
    schema: Schema = field(default_factory=lambda: _TEXT)
    always: bool = False

    @property
    def component(self) -> str:
        """Names it in the description."""
        return self.name if self.always else f"optional-{self.name}"

    def optional(self) -> "Header":
        return replace(self, always=False)


IF_MATCH: Final = Header(
    "If-Match",
    "the ETag that was read, or several; `*` for whichever version there is",
    {
        "type": "string",
        "pattern": r'^(\*|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$',
        "examples": ["*", '"3"'],
    },
    always=True,
)
IF_NONE_MATCH: Final = Header("If-None-Match", "the ETag that is known; answered by 304 if it is current")
READ_FRESH: Final = Header(
    "Cache-Control",
    "`no-cache` reads an instrument from Postgres, for those about to write, and has a search made anew",
)
IDEMPOTENCY_KEY: Final = Header(
    "Idempotency-Key",
    f"a retry with the same key and body within {KEPT_HOURS} hours is answered as the first was, "
    "without a second effect",
    {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
)
CHANGES_SINCE: Final = Header(
    "X-Changes-Since", "`since` for the changes that follow what was exported", always=True
)
LAST_EVENT_ID: Final = Header(
    "Last-Event-ID",
    "the number of the last event that was seen; takes precedence over `last_event_id`",
    EVENT_NUMBER,
)
PROPOSED_REQUEST_ID: Final = Header(
    REQUEST_ID_HEADER, "the caller's own; any other text than described is replaced by an id of ours", _TEXT
)

REQUEST_ID: Final = Header(REQUEST_ID_HEADER, "finds the request in the logs", _TEXT, always=True)
ETAG: Final = Header("ETag", "names the version", _ENTITY_TAG, always=True)
LOCATION: Final = Header(
    "Location", "where it is", {"type": "string", "format": "uri-reference"}, always=True
)
REPLAYED: Final = Header(
    "Idempotent-Replayed", "`true`: the answer of an earlier request with this key", {"const": "true"}
)
SEARCH_SOURCE: Final = Header(
    "X-Search-Source", "where it was read", {"enum": ["cache", "redis", "postgres"]}, always=True
)
PROFILE_SOURCE: Final = Header(
    "X-Profile-Source", "where it was read", {"enum": ["redis", "postgres"]}, always=True
)
INDEX_GENERATION: Final = Header(
    "X-Index-Generation",
    "which generation of the index answered; `none`: Postgres did",
    {"type": "string"},
    always=True,
)
INDEX_AGE: Final = Header(
    "X-Index-Age",
    "seconds since the index last equalled Postgres; `inf` if that is not known any more",
    {"type": "string", "pattern": r"^(\d+\.\d|inf)$"},
    always=True,
)
SERVER_TIMING: Final = Header(
    "Server-Timing",
    "where the answer is from, how it was searched (`desc`), and the milliseconds that took (`dur`)",
    always=True,
)
VARY: Final = Header("Vary", "which request headers have a say in the form of the answer", always=True)
CACHE_CONTROL: Final = Header("Cache-Control", "how long the answer may be kept", always=True)
CONTENT_SECURITY_POLICY: Final = Header(
    "Content-Security-Policy", "what a page may load: our own files alone", always=True
)
NO_SNIFFING: Final = Header(
    "X-Content-Type-Options", "the type is as it says", {"const": "nosniff"}, always=True
)
REFERRER_POLICY: Final = Header(
    "Referrer-Policy", "links tell nobody where they were followed", {"const": "no-referrer"}, always=True
)
UNBUFFERED: Final = Header(
    "X-Accel-Buffering", "proxies pass events on at once", {"const": "no"}, always=True
)
RETRY_AFTER: Final = Header("Retry-After", "seconds after which a retry makes sense", _COUNT)
WWW_AUTHENTICATE: Final = Header("WWW-Authenticate", "how to authenticate", always=True)
RATE_LIMITS: Final = (
    Header("RateLimit-Limit", "requests that the caller may make in a minute", _COUNT, always=True),
    Header("RateLimit-Remaining", "how many are left in the current window", _COUNT, always=True),
    Header("RateLimit-Reset", "seconds until the window ends", _COUNT, always=True),
)


def generation_text(generation: int | None) -> str:
    """The value of INDEX_GENERATION."""
    return "none" if generation is None else str(generation)
