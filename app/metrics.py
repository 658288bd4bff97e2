"""Every metric that this project exports, by prometheus_client; `docs/metrics.md` lists them for people."""

from enum import StrEnum
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.09, 0.1, 0.11, 0.12, 0.15),
    *(0.25, 0.5, 1.0, 2.5, 5.0),
)
"""With bounds at exactly the latencies that releases are judged by: 90, 100, 110, 120 and 150 ms."""

HTTP_REQUEST_SECONDS: Final = Histogram(
    "registry_http_request_seconds",
    "Time from the request's head until its response is ready, by route template, method and status.",
    ("route", "method", "status"),
    buckets=LATENCY_BUCKETS_S,
)
HTTP_REQUESTS_IN_PROGRESS: Final = Gauge(
    "registry_http_requests_in_progress", "Requests that are being answered now."
)
AUTH_FAILURES: Final = Counter(
    "registry_auth_failures", "Requests refused for who sent them, by reason.", ("reason",)
)
RATE_LIMITED: Final = Counter(
    "registry_rate_limited",
    "Requests refused because a limit was used up, by what is limited.",
    ("limited",),
)
SEARCH_SECONDS: Final = Histogram(
    "registry_search_seconds",
    "Time that Redis took to answer a search, its transport included, by how it was searched.",
    ("plan",),
    buckets=LATENCY_BUCKETS_S,
)
SEARCHES_CUT_SHORT: Final = Counter(
    "registry_searches_cut_short", "Searches that a limit cut short, by reason.", ("reason",)
)
CACHE_REQUESTS: Final = Counter(
    "registry_cache_requests",
    "Searches and suggestions that were looked for among the answers kept, by result: `hit`; `stale`: given "
    "once more while it was made anew; or `miss`.",
    ("result",),
)
CACHE_EVICTIONS: Final = Counter(
    "registry_cache_evictions",
    "Answers that are kept no longer, by reason: `expired`, `changed` (the index), `entries`, `bytes`.",
    ("reason",),
)
CACHE_ENTRIES: Final = Gauge("registry_cache_entries", "Answers that are kept.")
CACHE_BYTES: Final = Gauge("registry_cache_bytes", "Memory that answers take that are kept, about.")
LOOKUP_CACHE_REQUESTS: Final = Counter(
    "registry_lookup_cache_requests",
    "Identifiers of batches that were looked for among those kept, by result: `hit` or `miss`.",
    ("result",),
)
LOOKUPS: Final = Counter(
    "registry_lookups",
    "Identifiers of batches that were looked up, mapping jobs among them, by result: `found`, `not_found`, "
    "or `refused`: it could not be used.",
    ("result",),
)
DEGRADED_SEARCHES: Final = Counter(
    "registry_degraded_searches",
    "Searches for which the index could not be asked, by what Postgres made of them: `answered`, `failed`, "
    "or `refused`: as many as it may answer at a time were under way.",
    ("result",),
)
REDIS_CIRCUIT_OPEN: Final = Gauge(
    "registry_redis_circuit_open", "1 while searches do not ask Redis, because it did not answer, else 0."
)
POSTGRES_CONNECTIONS_IN_USE: Final = Gauge(
    "registry_postgres_connections_in_use", "Connections of the API's Postgres pool that are in use."
)
POSTGRES_CONNECTIONS_MAX: Final = Gauge(
    "registry_postgres_connections_max", "Size of the API's Postgres pool."
)
POSTGRES_ACQUIRES_WAITING: Final = Gauge(
    "registry_postgres_acquires_waiting", "Requests and tasks that wait for a connection of the API's pool."
)
POSTGRES_ACQUIRE_SECONDS: Final = Histogram(
    "registry_postgres_acquire_seconds",
    "Time until a connection of the API's pool was given out, or refused.",
    buckets=LATENCY_BUCKETS_S,
)
POSTGRES_ACQUIRES: Final = Counter(
    "registry_postgres_acquires",
    "How often a connection to Postgres was asked for, by what came of it: `given` or `failed`.",
    ("result",),
)
POSTGRES_STATEMENT_TIMEOUTS: Final = Counter(
    "registry_postgres_statement_timeouts", "Statements that were given up because they took too long."
)
SLOW_QUERIES: Final = Counter(
    "registry_slow_queries",
    "Searches and statements of requests that took longer than REGISTRY_SLOW_QUERY_MS, by kind: `search`, "
    "`statement`.",
    ("kind",),
)
INDEX_AGE_SECONDS: Final = Gauge(
    "registry_index_age_seconds", "Seconds since the live index last equalled Postgres, as the API sees it."
)
INDEX_GENERATION: Final = Gauge("registry_index_generation", "Number of the live index generation.")
STREAM_LISTENERS: Final = Gauge("registry_stream_listeners", "Streams of profiles' events that are open now.")
STREAM_EVENTS_SENT: Final = Counter(
    "registry_stream_events_sent", "Events that were sent to listeners of profiles, by kind.", ("kind",)
)
STREAM_LISTENERS_DROPPED: Final = Counter(
    "registry_stream_listeners_dropped", "Streams that were ended by the service, by reason.", ("reason",)
)
PROFILES_COMPARED: Final = Counter(
    "registry_profiles_compared",
    "How often a profile that somebody listens to was looked through for changes after a refresh.",
)
INDEXER_LEADING: Final = Gauge("registry_indexer_leading", "1 while this indexer holds the lease, else 0.")
REFRESH_SECONDS: Final = Histogram(
    "registry_refresh_seconds",
    "Duration of a refresh of the live index.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REBUILD_SECONDS: Final = Histogram(
    "registry_rebuild_seconds",
    "Duration of a rebuild, from its job's start to the swap.",
    buckets=(1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
)
DOCUMENTS_WRITTEN: Final = Counter(
    "registry_index_documents_written", "Documents that refreshes wrote to the live index."
)
DOCUMENTS_REMOVED: Final = Counter(
    "registry_index_documents_removed", "Documents that refreshes removed from the live index."
)
PROFILE_OPERATIONS: Final = Counter(
    "registry_profile_operations",
    "Requests about profiles, by operation and result: `done`, `not_modified`, `replayed`, or an error.",
    ("operation", "result"),
)
INDEX_ROWS_SAMPLED: Final = Counter(
    "registry_index_rows_sampled", "Rows whose documents were looked at, by samples taken every few minutes."
)
INDEX_SAMPLE_DRIFT: Final = Gauge(
    "registry_index_sample_drift", "Rows of the last sample whose documents were missing or stale."
)
INDEX_ROWS: Final = Gauge("registry_index_rows", "Rows in Postgres that the index should hold.")
INDEX_DOCUMENTS: Final = Gauge(
    "registry_index_documents",
    "Documents of the live generation, and of the one that is kept.",
    ("generation",),
)
INDEX_OLDEST_UNINDEXED_SECONDS: Final = Gauge(
    "registry_index_oldest_unindexed_seconds",
    "For how long the oldest change waits that the live generation does not have; 0: it has all.",
)
REDIS_MEMORY_BYTES: Final = Gauge("registry_redis_memory_bytes", "Memory that Redis uses for its data.")
INDEX_ROWS_PARKED: Final = Gauge(
    "registry_index_rows_parked",
    "Rows that no documents can be made of; the live index lacks them, or has them as they were before.",
)
WATERMARK_HELD_SECONDS: Final = Gauge(
    "registry_index_watermark_held_seconds",
    "How long one transaction that still runs has made every refresh read again what changed since it began.",
)
PROFILE_READS: Final = Counter(
    "registry_profile_reads",
    "Readings of one profile, by source: its copy in Redis, or Postgres.",
    ("source",),
)
PROFILE_WRITE_GROUPS: Final = Histogram(
    "registry_profile_write_group_size",
    "Writes of profiles in one transaction, by result: `committed`, or `failed`: then each was done alone.",
    ("result",),
    buckets=(1, 2, 4, 8, 16),
)
PROFILE_COPIES_READABLE: Final = Gauge(
    "registry_profile_copies_readable",
    "1 while profiles are read from their copies in Redis, 0 while Postgres answers all reads.",
)
PARAMETER_INFO: Final = Gauge(
    "registry_parameter_info",
    "1 for the source that a parameter has its value from, else 0.",
    ("parameter", "source"),
)
PARAMETER_VALUE: Final = Gauge(
    "registry_parameter_value", "A parameter's value, in its unit; flags are 0 or 1.", ("parameter",)
)
PARAMETER_PROBLEM: Final = Gauge(
    "registry_parameter_problem",
    "1 while the configuration service has no usable value of a parameter, and the environment none, else 0.",
    ("parameter",),
)
CONFIG_SERVICE_UP: Final = Gauge(
    "registry_config_service_up",
    "1 while the configuration service answers, else 0; no sample where none is set.",
    ("service",),
)
CONFIG_SERVICE_AGE_SECONDS: Final = Gauge(
    "registry_config_service_age_seconds",
    "Seconds since the configuration service was last read; until it first was, since the start.",
    ("service",),
)
WORKERS: Final = Gauge("registry_workers", "Worker processes of the API that serve.")
WORKERS_ENDED: Final = Counter("registry_workers_ended", "Worker processes that ended without being told to.")
RELOADS: Final = Counter(
    "registry_reloads",
    "Reloads by SIGHUP, by result: `done`, or `failed`: the workers before it go on.",
    ("result",),
)
OF_SUPERVISOR: Final = ("registry_workers", "registry_workers_ended", "registry_reloads")
"""What the supervisor counts; it does nothing of what the others are of."""


class Merging(StrEnum):
    """How a gauge of several processes becomes one."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


MERGED: Final = {
    "registry_http_requests_in_progress": Merging.SUM,
    "registry_cache_entries": Merging.SUM,
    "registry_cache_bytes": Merging.SUM,
    "registry_redis_circuit_open": Merging.MAX,
    "registry_postgres_connections_in_use": Merging.SUM,
    "registry_postgres_connections_max": Merging.SUM,
    "registry_postgres_acquires_waiting": Merging.SUM,
    "registry_index_age_seconds": Merging.MAX,
    "registry_index_generation": Merging.MAX,
    "registry_stream_listeners": Merging.SUM,
    "registry_profile_copies_readable": Merging.MIN,
    "registry_parameter_info": Merging.MAX,
    "registry_parameter_value": Merging.MAX,
    "registry_parameter_problem": Merging.MAX,
    "registry_config_service_up": Merging.MIN,
    "registry_config_service_age_seconds": Merging.MAX,
    "registry_workers": Merging.SUM,
}
"""The gauges of the API's processes, by name: what is shared out is summed, and of what each sees for itself
the worst counts. Those of the indexer stay at 0 here."""
