"""Handlers for instruments: search, suggest, one, history."""

import time
from typing import Final

import orjson
from aiohttp import hdrs, web

from app.domain.cursor import decode_cursor, encode_cursor
from app.domain.errors import IndexNotReady, NotFound, RedisUnavailable
from app.domain.instrument import parse_public_id, public_id
from app.domain.query import parse_page, parse_search, parse_suggest
from app.search.expression import search_plan, suggest_plan
from app.store.instruments import StoredInstrument, read_history, read_instrument
from app.store.search_index import Page
from app.web.headers import INDEX_AGE, INDEX_GENERATION, SEARCH_SOURCE, SERVER_TIMING
from app.web.pages import newest_first
from app.web.preconditions import entity_tag, is_known
from app.web.query_string import query_pairs
from app.web.services import SERVICES, Services

_JSON: Final = "application/json"


async def search(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    parameters = services.parameters
    query = parse_search(query_pairs(request), max_limit=parameters.max_results_per_page)
    cursor = decode_cursor(query.cursor, query) if query.cursor is not None else None
    started = time.perf_counter()
    page = await services.index.search(
        "search",
        search_plan(query),
        limit=query.limit,
        offset=query.offset,
        cursor=cursor,
        timeout_ms=parameters.search_timeout,
    )
    next_cursor = encode_cursor(page.next, query) if page.next else None
    body = b'{"hits":[%b],"total":%d,"total_is_exact":%b,"next_cursor":%b%b}' % (
        b",".join(page.hits),
        page.total,
        b"false" if page.partial else b"true",
        orjson.dumps(next_cursor),
        partial_fields(page.partial),
    )
    return _found(page, body, started)


async def suggest(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    parameters = services.parameters
    query = parse_suggest(query_pairs(request), max_limit=parameters.max_results_per_page)
    started = time.perf_counter()
    page = await services.index.search(
        "suggest",
        suggest_plan(query),
        limit=query.limit,
        offset=0,
        cursor=None,
        timeout_ms=parameters.search_timeout,
    )
    return _found(
        page, b'{"suggestions":[%b]%b}' % (b",".join(page.hits), partial_fields(page.partial)), started
    )


async def one(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    number = _number(request)
    instrument, source = await _read(services, number, fresh=_wants_fresh(request))
    headers = {hdrs.ETAG: entity_tag(instrument.version), SEARCH_SOURCE.name: source}
    if is_known(request, instrument.version):
        return web.Response(status=304, headers=headers)
    return web.Response(body=instrument.json, content_type=_JSON, headers=headers)


async def history(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    number = _number(request)
    limit, before = parse_page(query_pairs(request), max_limit=services.parameters.max_results_per_page)
    entries = await read_history(services.postgres, number, limit=limit, before=before)
    if not entries and before is None:
        raise _not_found(request)
    return newest_first("history", entries, "version", limit)


async def _read(services: Services, number: int, *, fresh: bool) -> tuple[StoredInstrument, str]:
    """An instrument and where it was read: Postgres if asked for, or where the index does not have it."""
    if not fresh:
        try:
            found = await services.index.read_instrument(number)
        except (IndexNotReady, RedisUnavailable):
            found = None
        if found is not None:
            return StoredInstrument(*found), "redis"
    stored = await read_instrument(services.postgres, number)
    if stored is None:
        raise NotFound(f"there is no instrument {public_id(number)!r}")
    return stored, "postgres"


def _number(request: web.Request) -> int:
    number = parse_public_id(request.match_info["id"])
    if number is None:
        raise _not_found(request)
    return number


def _not_found(request: web.Request) -> NotFound:
    return NotFound(f"there is no instrument {request.match_info['id'][:40]!r}; ids look like {public_id(1)}")


def _wants_fresh(request: web.Request) -> bool:
    return "no-cache" in request.headers.get(hdrs.CACHE_CONTROL, "").lower()


def partial_fields(reason: str | None) -> bytes:
    """What an answer that was cut short says besides; nothing for one that was not."""
    return b',"partial":true,"partial_reason":%b' % orjson.dumps(reason) if reason else b""


def _found(page: Page, body: bytes, started: float) -> web.Response:
    headers = {
        SEARCH_SOURCE.name: "redis",
        INDEX_GENERATION.name: str(page.generation),
        INDEX_AGE.name: f"{page.age_s:.1f}",
        SERVER_TIMING.name: f"redis;dur={(time.perf_counter() - started) * 1000:.2f}",
    }
    return web.Response(body=body, content_type=_JSON, headers=headers)
