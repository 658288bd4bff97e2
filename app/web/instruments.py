"""Handlers for instruments: search, suggest, one, history."""

from collections.abc import Awaitable, Iterator, Sequence
from functools import partial
from typing import Any

import orjson
from aiohttp import hdrs, web

from app.domain.access import INDEX_ADMIN
from app.domain.cursor import decode_cursor, encode_cursor
from app.domain.identifiers import mistyped
from app.domain.instrument import no_such_instrument, parse_public_id, public_id
from app.domain.query import Search, parse_page, parse_search, parse_suggest
from app.search.explanation import explanation
from app.search.facets import facets_of
from app.search.highlight import highlights
from app.search.page import Page
from app.store.instruments import StoredInstrument, read_history, read_instrument
from app.store.source import Source
from app.web.admission import check_scope
from app.web.answer_cache import Answer
from app.web.asked import Asked, Parse, read_asked
from app.web.finished import FinishedResponse
from app.web.headers import SEARCH_SOURCE
from app.web.pages import newest_first
from app.web.preconditions import entity_tag, is_known
from app.web.query_string import query_pairs
from app.web.search_answers import answered, partial_fields, wants_fresh
from app.web.services import SERVICES, Services


def _read_asked(request: web.Request, parse: Parse) -> Asked:
    max_limit = request.app[SERVICES].parameters.max_results_per_page
    return read_asked(parse, request.rel_url.raw_query_string, max_limit)


def search(request: web.Request) -> Awaitable[web.Response]:
    services = request.app[SERVICES]
    asked = _read_asked(request, parse_search)
    if asked.search.explain:
        check_scope(request, INDEX_ADMIN)
    return answered(request, asked, partial(_search, services, asked.search))


async def _search(services: Services, search: Search) -> Answer:
    cursor = decode_cursor(search.cursor, search) if search.cursor is not None else None
    page = await services.searches.search(search, cursor)
    profiles = await services.searches.profiles(page) if search.explain else []
    next_cursor = encode_cursor(page.next, search) if page.next else None
    body = b'{"hits":[%b],"total":%d,"total_is_exact":%b,"next_cursor":%b%b%b}' % (
        b",".join(_only_fields(page.hits, search.fields)),
        page.total,
        b"true" if page.total_is_exact else b"false",
        orjson.dumps(next_cursor),
        b"".join(b",%b:%b" % (orjson.dumps(name), value) for name, value in _more(search, page, profiles)),
        partial_fields(page.partial),
    )
    return _answer_of(page, body)


def _more(query: Search, page: Page, profiles: Sequence[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """What is said besides, by name."""
    if page.did_you_mean:
        yield "did_you_mean", orjson.dumps(page.did_you_mean)
    if (warning := mistyped(query.text)) is not None:
        yield "warning", orjson.dumps(warning)
    if query.highlight:
        text = page.did_you_mean or query.text
        yield "highlights", orjson.dumps([highlights(text, orjson.loads(hit)) for hit in page.hits])
    if page.counts:
        yield "facets", orjson.dumps(facets_of(page.counts, query.facet_limit))
    if query.explain:
        explained = [explanation(*hit) for hit in zip(page.found, page.hits, strict=True)]
        yield "explanations", orjson.dumps(explained)
        yield "plan", orjson.dumps({"name": page.plan, "searches": profiles})


def _only_fields(hits: Sequence[bytes], fields: Sequence[str]) -> Sequence[bytes]:
    """The hits with these fields alone, in that order; without any, as they are."""
    if not fields:
        return hits
    decoded = map(orjson.loads, hits)
    return [orjson.dumps({field: hit[field] for field in fields}) for hit in decoded]


def suggest(request: web.Request) -> Awaitable[web.Response]:
    services = request.app[SERVICES]
    asked = _read_asked(request, parse_suggest)
    return answered(request, asked, partial(_suggest, services, asked.search))


async def _suggest(services: Services, search: Search) -> Answer:
    page = await services.searches.suggest(search)
    body = b'{"suggestions":[%b]%b}' % (b",".join(page.hits), partial_fields(page.partial))
    return _answer_of(page, body)


def _answer_of(page: Page, body: bytes) -> Answer:
    is_whole = page.partial is None and page.is_lasting
    return Answer(body, page.generation, page.age_s, page.plan, is_whole)


async def one(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    number = number_of(request)
    instrument, source = await _read(services, number, fresh=wants_fresh(request))
    headers = {hdrs.ETAG: entity_tag(instrument.version), SEARCH_SOURCE.name: source.value}
    if is_known(request, instrument.version):
        return web.Response(status=304, headers=headers)
    return FinishedResponse(instrument.json, headers=headers)


async def history(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    number = number_of(request)
    limit, before = parse_page(query_pairs(request), max_limit=services.parameters.max_results_per_page)
    entries = await read_history(services.postgres, number, limit=limit, before=before)
    if not entries and before is None:
        raise no_such_instrument(request.match_info["id"])
    return newest_first("history", entries, "version", limit)


async def _read(services: Services, number: int, *, fresh: bool) -> tuple[StoredInstrument, Source]:
    """An instrument and where it was read: Postgres if asked for, or where the index does not have it."""
    found, source = (None, Source.REDIS) if fresh else await services.searches.instrument(number)
    if found is None and source is Source.REDIS:
        async with services.postgres.connection() as connection:
            found, source = await read_instrument(connection, number), Source.POSTGRES
    if found is None:
        raise no_such_instrument(public_id(number))
    return found, source


def number_of(request: web.Request) -> int:
    """The number behind the path's id. Raises NotFound where no instrument can have it."""
    number = parse_public_id(request.match_info["id"])
    if number is None:
        raise no_such_instrument(request.match_info["id"])
    return number
