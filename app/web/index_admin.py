"""Handlers for operations on the search index: what it is like, and what the indexer shall do with it."""

import re
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs, web

from app.domain.errors import Conflict, JobUnderWay, NotFound
from app.domain.query import parse_page
from app.store.index_jobs import IndexJobs, Job, JobKind
from app.store.index_view import read_index_view
from app.web.json_answer import json_answer
from app.web.pages import newest_first
from app.web.paths import INDEX_JOBS
from app.web.query_string import query_pairs
from app.web.services import PRINCIPAL, SERVICES

JOB_ID_PATTERN: Final = "^[1-9][0-9]{0,17}$"
_JOB_ID: Final = re.compile(JOB_ID_PATTERN)


async def state(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    async with services.postgres.connection() as connection:
        return json_answer(asdict(await read_index_view(connection, services.primary)))


async def rebuild(request: web.Request) -> web.Response:
    return await _request(request, JobKind.REBUILD)


async def rollback(request: web.Request) -> web.Response:
    return await _request(request, JobKind.ROLLBACK)


async def jobs(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    limit, before = parse_page(query_pairs(request), max_limit=services.parameters.max_results_per_page)
    async with services.postgres.connection() as connection:
        found = await IndexJobs(connection).page(before=before, limit=limit)
    return newest_first("jobs", found, "id", limit)


async def job(request: web.Request) -> web.Response:
    async with request.app[SERVICES].postgres.connection() as connection:
        return json_answer(_shown(await _read(IndexJobs(connection), request)))


async def cancel(request: web.Request) -> web.Response:
    async with request.app[SERVICES].postgres.connection() as connection:
        index_jobs = IndexJobs(connection)
        wanted = await _read(index_jobs, request)
        if not await index_jobs.cancel(wanted.id, request[PRINCIPAL].name):
            raise Conflict(f"job {wanted.id} has ended and cannot be cancelled")
        return json_answer(_shown(await _read(index_jobs, request)), HTTPStatus.ACCEPTED)


async def _request(request: web.Request, kind: JobKind) -> web.Response:
    async with request.app[SERVICES].postgres.connection() as connection:
        index_jobs = IndexJobs(connection)
        requested = await index_jobs.request(kind, request[PRINCIPAL].name)
        if not requested.created:
            raise JobUnderWay(f"job {requested.id}, a {requested.kind}, is under way", requested.id)
        created = await index_jobs.read(requested.id)
    location: dict[str, str] = {hdrs.LOCATION: f"{INDEX_JOBS}/{requested.id}"}
    return json_answer(_shown(created), HTTPStatus.ACCEPTED, location)


async def _read(index_jobs: IndexJobs, request: web.Request) -> Job:
    text = request.match_info["id"]
    found = await index_jobs.read(int(text)) if _JOB_ID.fullmatch(text) else None
    if found is None:
        raise NotFound(f"there is no job {text[:40]!r}")
    return found


def _shown(shown: Job | None) -> dict[str, Any]:
    assert shown is not None  # noqa: S101 - jobs are never removed
    return asdict(shown)
