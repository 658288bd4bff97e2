"""Handlers for search pins: create, list, read, replace, delete, and their audit trail."""

from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from app.domain.cursor import decode_token, encode_token
from app.domain.errors import InvalidInput, NotFound
from app.domain.query import parse_cursor_page, parse_page
from app.domain.search_pin import parse_pin_id, parse_search_pin, pin_document, public_pin_id
from app.store.search_pins import StoredPin
from app.web.json_answer import json_answer
from app.web.json_body import read_json
from app.web.pages import newest_first
from app.web.preconditions import entity_tag, is_known, required_match
from app.web.query_string import query_pairs
from app.web.services import SERVICES, writer_of

PATH: Final = "/v1/search-pins"


async def create(request: web.Request) -> web.Response:
    document, _ = await read_json(request)
    stored = await request.app[SERVICES].search_pins.create(writer_of(request), parse_search_pin(document))
    headers: dict[str, str] = {
        hdrs.LOCATION: f"{PATH}/{public_pin_id(stored.id)}",
        hdrs.ETAG: entity_tag(stored.version),
    }
    return json_answer(_shown(stored), HTTPStatus.CREATED, headers)


async def page(request: web.Request) -> web.Response:
    """One page in the order of creation; the cursor is the last id seen."""
    services = request.app[SERVICES]
    limit, cursor = parse_cursor_page(
        query_pairs(request), max_limit=services.parameters.max_results_per_page
    )
    after = 0 if cursor is None else _decode_cursor(cursor)
    found = await services.search_pins.page(after=after, limit=limit + 1)
    shown = found[:limit]
    next_cursor = encode_token(orjson.dumps(shown[-1].id)) if len(found) > limit else None
    return json_answer({"pins": [_shown(stored) for stored in shown], "next_cursor": next_cursor})


async def one(request: web.Request) -> web.Response:
    stored = await request.app[SERVICES].search_pins.read(_number(request))
    if is_known(request, stored.version):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={hdrs.ETAG: entity_tag(stored.version)})
    return json_answer(_shown(stored), headers={hdrs.ETAG: entity_tag(stored.version)})


async def replace(request: web.Request) -> web.Response:
    number, accepts = _number(request), required_match(request)
    document, _ = await read_json(request)
    stored = await request.app[SERVICES].search_pins.replace(
        writer_of(request), number, parse_search_pin(document), accepts
    )
    return json_answer(_shown(stored), headers={hdrs.ETAG: entity_tag(stored.version)})


async def delete(request: web.Request) -> web.Response:
    await request.app[SERVICES].search_pins.delete(
        writer_of(request), _number(request), required_match(request)
    )
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def events(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    limit, before = parse_page(query_pairs(request), max_limit=services.parameters.max_results_per_page)
    entries = await services.search_pins.events(_number(request), before=before, limit=limit)
    if not entries and before is None:
        raise _not_found(request)
    return newest_first("events", entries, "version", limit)


def _number(request: web.Request) -> int:
    number = parse_pin_id(request.match_info["id"])
    if number is None:
        raise _not_found(request)
    return number


def _not_found(request: web.Request) -> NotFound:
    return NotFound(f"there is no pin {request.match_info['id'][:40]!r}; ids look like {public_pin_id(1)}")


def _shown(stored: StoredPin) -> dict[str, Any]:
    return {
        "id": public_pin_id(stored.id),
        "version": stored.version,
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
        **pin_document(stored.pin),
    }


def _decode_cursor(text: str) -> int:
    try:
        after = orjson.loads(decode_token(text))
        if type(after) is not int or not 0 < after < 2**63:
            raise ValueError("not a position")
    except ValueError as error:
        raise InvalidInput.of("cursor", "is not a cursor of this list; start again without it") from error
    return after
