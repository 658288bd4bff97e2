"""The endpoints of operations: the index, the parameters, who calls, health, metrics, the description."""

from http import HTTPStatus
from typing import Final

from app.domain import errors, query_schema
from app.domain.access import CONFIG_ADMIN, INDEX_ADMIN
from app.web import answers_operations, caller, headers, index_admin, operations, paths
from app.web.endpoint import Answer, Endpoint

_JOB: Final = paths.INDEX_JOBS + "/{id}"
_JOB_ID: Final = {"id": {"type": "string", "pattern": index_admin.JOB_ID_PATTERN, "examples": ["17"]}}
_ASKED: Final = (
    Answer(
        answers_operations.IndexJob,
        HTTPStatus.ACCEPTED,
        (headers.LOCATION,),
        example={
            "state": "queued",
            "started_at": None,
            "phase": None,
            "done": 0,
            "total": None,
            "rate": None,
            "eta_s": None,
        },
    ),
)

ENDPOINTS: Final = (
    Endpoint(
        "index",
        "GET",
        paths.INDEX,
        index_admin.state,
        INDEX_ADMIN,
        summary="Show the search index: what is live, how far behind, who leads",
        answers=(Answer(answers_operations.IndexState),),
    ),
    Endpoint(
        "rebuild_index",
        "POST",
        paths.INDEX + "/rebuild",
        index_admin.rebuild,
        INDEX_ADMIN,
        summary="Ask for the next generation, built beside the live one",
        answers=_ASKED,
        errors=(errors.JobUnderWay,),
    ),
    Endpoint(
        "roll_back_index",
        "POST",
        paths.INDEX + "/rollback",
        index_admin.rollback,
        INDEX_ADMIN,
        summary="Ask to go back to the generation that was live before",
        answers=_ASKED,
        errors=(errors.JobUnderWay,),
    ),
    Endpoint(
        "index_jobs",
        "GET",
        paths.INDEX_JOBS,
        index_admin.jobs,
        INDEX_ADMIN,
        summary="List what the indexer was asked for, newest first",
        query=query_schema.newest_first,
        answers=(Answer(answers_operations.IndexJobs),),
    ),
    Endpoint(
        "index_job",
        "GET",
        _JOB,
        index_admin.job,
        INDEX_ADMIN,
        summary="Read a job: how far it is, what was verified",
        identifiers=_JOB_ID,
        answers=(Answer(answers_operations.IndexJob),),
    ),
    Endpoint(
        "cancel_index_job",
        "DELETE",
        _JOB,
        index_admin.cancel,
        INDEX_ADMIN,
        summary="Cancel a job, unless it swaps already",
        identifiers=_JOB_ID,
        answers=(Answer(answers_operations.IndexJob, HTTPStatus.ACCEPTED),),
        errors=(errors.Conflict,),
    ),
    Endpoint(
        "config",
        "GET",
        "/v1/admin/config",
        operations.config,
        CONFIG_ADMIN,
        summary="Show the parameters, and where each has its value from",
        answers=(Answer(answers_operations.Config),),
    ),
    Endpoint(
        "caller",
        "GET",
        "/v1/caller",
        caller.caller,
        None,
        summary="Tell who calls, and what it may do",
        answers=(Answer(answers_operations.Caller),),
        looks_at_callers=True,
    ),
    Endpoint(
        "live",
        "GET",
        "/health/live",
        operations.live,
        None,
        summary="Tell that the process is up",
        answers=(Answer(answers_operations.Liveness),),
    ),
    Endpoint(
        "ready",
        "GET",
        "/health/ready",
        operations.ready,
        None,
        summary="Tell whether searches can be answered, and what is degraded",
        answers=(
            Answer(answers_operations.Readiness),
            Answer(
                answers_operations.Readiness,
                HTTPStatus.SERVICE_UNAVAILABLE,
                example={
                    "status": "unavailable",
                    "postgres": "down",
                    "redis": "down",
                    "index": "unknown",
                    "index_generation": None,
                    "index_age_s": None,
                },
            ),
        ),
    ),
    Endpoint(
        "metrics",
        "GET",
        "/metrics",
        operations.prometheus,
        None,
        summary="Show metrics in Prometheus's text format",
        answers=(Answer(None, media_type="text/plain"),),
        errors=(errors.Unavailable,),
    ),
    Endpoint(
        "openapi",
        "GET",
        "/openapi.json",
        operations.openapi,
        None,
        summary="Show this description",
        headers=(headers.IF_NONE_MATCH,),
        answers=(Answer(answers_operations.Description, headers=(headers.ETAG, headers.CACHE_CONTROL)),),
    ),
)
