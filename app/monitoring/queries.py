"""What a release is judged by, asked of Prometheus. Every query answers once for each track.

Windows are arguments: rehearsals shorten them. Counts are increases over the window. Prometheus stretches
them to its ends, numerator and denominator of a share alike. What a counter had counted when it was first
scraped is not part of its increase.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client.utils import floatToGoString

JOB: Final = "registry"
STABLE: Final = "stable"
CANARY: Final = "canary"
TRACKS: Final = (STABLE, CANARY)

_NO_USERS: Final = (
    "/|/assets/.*|/health/.*|/metrics|/openapi.json|/docs.*|/v1/caller|/v1/admin/.*"
    "|/v1/instruments/(bulk|export|changes)|.*/stream"
)
USER_ROUTES: Final = f'route!~"{_NO_USERS}|unmatched"'
"""Routes that users wait for: streams, bulk and admin routes are left out."""
USERS: Final = f'{USER_ROUTES},status!~"401|403|429"'
"""Requests by which a version is judged: who is sent away at the door sees nothing of it, and quickly."""
ERRORS: Final = 'status=~"5.."'
_ANY_ANSWERS: Final = f'route!~"{_NO_USERS}"'
"""Refusals too, and requests of no route: a version may have lost one."""
_REFUSED: Final = 'status=~"4.."'

HISTOGRAM: Final = "registry_http_request_seconds"


def together(parts: Mapping[str, str]) -> str:
    """Several queries as one, each answer with the label `part`.

    Counts that belong together must be asked for together: between two queries a scrape may come, and a share
    of their answers would be off by as much.
    """
    return " or ".join(f'label_replace({query}, "part", "{name}", "", "")' for name, query in parts.items())


def within(bound_s: float) -> str:
    """The selector of a bucket: Prometheus compares bounds as text, and the service writes 1 as 1.0."""
    return f'le="{floatToGoString(bound_s)}"'  # type: ignore[no-untyped-call]


def requests(window_s: int) -> str:
    """How many requests users made, but for those that were refused for who made them."""
    return _increase(f"{HISTOGRAM}_count", USERS, window_s)


def errors(window_s: int) -> str:
    """How many of them were answered with 5xx; a track without any is missing."""
    return _increase(f"{HISTOGRAM}_count", f"{USERS},{ERRORS}", window_s)


def requests_within(bound_s: float, window_s: int) -> str:
    """How many of them took at most `bound_s`, which must be a bound of the histogram's buckets."""
    return _increase(f"{HISTOGRAM}_bucket", f"{USERS},{within(bound_s)}", window_s)


def answers(window_s: int) -> str:
    """How many answers there were, whatever they said."""
    return _increase(f"{HISTOGRAM}_count", _ANY_ANSWERS, window_s)


def refusals(window_s: int) -> str:
    """How many of them were 4xx; a track without any is missing."""
    return _increase(f"{HISTOGRAM}_count", f"{_ANY_ANSWERS},{_REFUSED}", window_s)


def p95(window_s: int) -> str:
    """The 95th percentile in seconds, interpolated in its bucket: to compare tracks, not for gates."""
    buckets = f'sum by (track, le) (rate({HISTOGRAM}_bucket{{job="{JOB}",{USERS}}}[{window_s}s]))'
    return f"histogram_quantile(0.95, {buckets})"


def connections_asked(window_s: int) -> str:
    """How often a connection to Postgres was asked for."""
    return _increase("registry_postgres_acquires_total", "", window_s)


def connections_failed(window_s: int) -> str:
    """How often none was given; a track without any is missing."""
    return _increase("registry_postgres_acquires_total", 'result="failed"', window_s)


def series_known() -> str:
    """How many series of requests there are, of any route."""
    return f'count by (track) ({HISTOGRAM}_count{{job="{JOB}"}})'


def targets_up() -> str:
    """How many processes Prometheus reaches."""
    return f'sum by (track) (up{{job="{JOB}"}})'


def _increase(metric: str, selector: str, window_s: int) -> str:
    matchers = ",".join(filter(None, (f'job="{JOB}"', selector)))
    return f"sum by (track) (increase({metric}{{{matchers}}}[{window_s}s]))"
