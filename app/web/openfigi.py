"""Handlers that answer as OpenFIGI's API does, version 3, so that its clients need another URL alone."""

import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from app.domain.access import ANONYMOUS
from app.domain.cursor import Cursor, decode_cursor, encode_cursor
from app.domain.errors import InvalidInput
from app.domain.json_model import read_model
from app.domain.openfigi import VALUES, listing_record
from app.domain.openfigi_query import (
    MAX_JOBS,
    MAX_JOBS_WITHOUT_KEY,
    FigiFilter,
    FigiSearch,
    Job,
    parse_jobs,
    parse_page,
)
from app.domain.query import Search
from app.search.lookup_match import Matches
from app.web.finished import FinishedResponse
from app.web.json_body import read_json
from app.web.lookup import looked_up
from app.web.search_answers import index_headers, source_of
from app.web.services import PRINCIPAL, SERVICES

NOT_FOUND: Final = {"warning": "No identifier found."}
"""Word for word what OpenFIGI says: there are clients that compare it."""


async def mapping(request: web.Request) -> web.Response:
    """One result for each job, in order."""
    document, _ = await read_json(request)
    most = MAX_JOBS_WITHOUT_KEY if request[PRINCIPAL].name == ANONYMOUS else MAX_JOBS
    jobs = parse_jobs(document, most)
    sought = [job.sought for job in jobs if isinstance(job, Job)]
    matches, headers = await looked_up(request, sought, refused=len(jobs) - len(sought))
    results = [_mapped(job, next(matches)) if isinstance(job, Job) else {"error": str(job)} for job in jobs]
    return _answer(results, headers)


def _mapped(job: Job, matches: Matches) -> dict[str, Any]:
    records = job.records([orjson.loads(match.json) for match in matches.instruments])
    return {"data": records} if records else NOT_FOUND


async def search(request: web.Request) -> web.Response:
    """One page of what a text finds."""
    document, _ = await read_json(request)
    return await _page(request, read_model(FigiSearch, document), is_counted=False)


async def filtered(request: web.Request) -> web.Response:
    """One page of what a text and filters let through, and how many there are."""
    document, _ = await read_json(request)
    return await _page(request, read_model(FigiFilter, document), is_counted=True)


async def values(request: web.Request) -> web.Response:
    """What a field of a question may be."""
    key = request.match_info["key"]
    if key not in VALUES:
        raise InvalidInput.of("key", f"must be one of {', '.join(VALUES)}")
    return _answer({"values": VALUES[key]}, {})


async def _page(request: web.Request, question: FigiFilter, *, is_counted: bool) -> web.Response:
    services = request.app[SERVICES]
    started = time.perf_counter()
    try:
        query = parse_page(question, max_limit=services.parameters.max_results_per_page)
        cursor = _position(question.start, query) if query and question.start else None
    except InvalidInput as error:
        return _answer({"error": str(error)}, {})
    if query is None:
        return _answer({"data": [], "total": 0} if is_counted else {"data": []}, {})
    page = await services.searches.search(query, cursor, guess=False)
    content: dict[str, Any] = {"data": [listing_record(orjson.loads(hit)) for hit in page.hits]}
    if page.next is not None:
        content["next"] = encode_cursor(page.next, query)
    if is_counted:
        content["total"] = page.total
    return _answer(
        content, index_headers(source_of(page.generation), page.generation, page.age_s, page.plan, started)
    )


def _position(start: str, query: Search) -> Cursor:
    try:
        return decode_cursor(start, query)
    except InvalidInput as error:
        raise InvalidInput.of("start", error.errors[0].message) from error


def _answer(content: object, headers: Mapping[str, str]) -> web.Response:
    return FinishedResponse(orjson.dumps(content), headers=headers)
