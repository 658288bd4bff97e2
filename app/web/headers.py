"""The headers that callers send and get, each with its meaning."""

from dataclasses import dataclass, field, replace
from typing import Final

from app.domain.query_schema import EVENT_NUMBER, SINCE, Schema
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
    example: str | int = field(kw_only=True)

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
    example='"3"',
)
IF_NONE_MATCH: Final = Header(
    "If-None-Match", "the ETag that is known; answered by 304 if it is current", example='"3"'
)
READ_FRESH: Final = Header(
    "Cache-Control",
    "`no-cache` reads an instrument from Postgres, for those about to write, and has a search or a batch "
    "lookup made anew",
    example="no-cache",
)
IDEMPOTENCY_KEY: Final = Header(
    "Idempotency-Key",
    f"a retry with the same key and body within {KEPT_HOURS} hours is answered as the first was, "
    "without a second effect",
    {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
    example="4f6a1c0e-apples",
)
CHANGES_SINCE: Final = Header(
    "X-Changes-Since",
    "`since` for the changes that follow what was exported",
    always=True,
    example=SINCE["examples"][0],
)
LAST_EVENT_ID: Final = Header(
    "Last-Event-ID",
    "the number of the last event that was seen; takes precedence over `last_event_id`",
    EVENT_NUMBER,
    example=EVENT_NUMBER["examples"][0],
)
PROPOSED_REQUEST_ID: Final = Header(
    REQUEST_ID_HEADER,
    "the caller's own; any other text than described is replaced by an id of ours",
    example="nightly-copy.17",
)

REQUEST_ID: Final = Header(
    REQUEST_ID_HEADER, "finds the request in the logs", always=True, example="5b1f0c9a7d3e0000002a"
)
ETAG: Final = Header("ETag", "names the version", _ENTITY_TAG, always=True, example='"3"')
LOCATION: Final = Header(
    "Location",
    "where it is",
    {"type": "string", "format": "uri-reference"},
    always=True,
    example="/v1/instruments/ins_272",
)
REPLAYED: Final = Header(
    "Idempotent-Replayed",
    "`true`: the answer of an earlier request with this key",
    {"const": "true"},
    example="true",
)
SEARCH_SOURCE: Final = Header(
    "X-Search-Source",
    "where it was read",
    {"enum": ["cache", "redis", "postgres"]},
    always=True,
    example="redis",
)
PROFILE_SOURCE: Final = Header(
    "X-Profile-Source", "where it was read", {"enum": ["redis", "postgres"]}, always=True, example="redis"
)
INDEX_GENERATION: Final = Header(
    "X-Index-Generation",
    "which generation of the index answered; `none`: Postgres did",
    always=True,
    example="4",
)
INDEX_AGE: Final = Header(
    "X-Index-Age",
    "seconds since the index last equalled Postgres; `inf` if that is not known any more",
    {"type": "string", "pattern": r"^(\d+\.\d|inf)$"},
    always=True,
    example="0.4",
)
SERVER_TIMING: Final = Header(
    "Server-Timing",
    "where the answer is from, how it was searched (`desc`), and the milliseconds that took (`dur`)",
    always=True,
    example='redis;desc="ranked";dur=0.83',
)
VARY: Final = Header(
    "Vary",
    "which request headers have a say in the form of the answer",
    always=True,
    example="Accept-Encoding",
)
CACHE_CONTROL: Final = Header(
    "Cache-Control", "how long the answer may be kept", always=True, example="no-cache"
)
CONTENT_SECURITY_POLICY: Final = Header(
    "Content-Security-Policy",
    "what a page may load: our own files alone",
    always=True,
    example="default-src 'none'; script-src 'self'; style-src 'self'",
)
NO_SNIFFING: Final = Header(
    "X-Content-Type-Options", "the type is as it says", {"const": "nosniff"}, always=True, example="nosniff"
)
REFERRER_POLICY: Final = Header(
    "Referrer-Policy",
    "links tell nobody where they were followed",
    {"const": "no-referrer"},
    always=True,
    example="no-referrer",
)
UNBUFFERED: Final = Header(
    "X-Accel-Buffering", "proxies pass events on at once", {"const": "no"}, always=True, example="no"
)
RETRY_AFTER: Final = Header("Retry-After", "seconds after which a retry makes sense", _COUNT, example=1)
WWW_AUTHENTICATE: Final = Header(
    "WWW-Authenticate", "how to authenticate", always=True, example='Bearer error="invalid_token"'
)
RATE_LIMITS: Final = (
    Header(
        "RateLimit-Limit", "requests that the caller may make in a minute", _COUNT, always=True, example=600
    ),
    Header(
        "RateLimit-Remaining", "how many are left in the current window", _COUNT, always=True, example=599
    ),
    Header("RateLimit-Reset", "seconds until the window ends", _COUNT, always=True, example=42),
)


def generation_text(generation: int | None) -> str:
    """The value of INDEX_GENERATION."""
    return "none" if generation is None else str(generation)
