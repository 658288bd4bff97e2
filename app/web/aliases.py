"""Handlers for the aliases of an instrument: list, add, remove."""

from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from app.domain.alias import Alias, parse_alias, parse_which
from app.store import aliases
from app.web.instruments import number_of
from app.web.json_answer import json_answer
from app.web.json_body import read_json
from app.web.preconditions import entity_tag, optional_match
from app.web.query_string import query_pairs
from app.web.services import SERVICES, writer_of


async def listed(request: web.Request) -> web.Response:
    stored = await aliases.read_aliases(request.app[SERVICES].postgres, number_of(request))
    today = _today()
    shown = [_shown(alias, today) for alias in stored.aliases.all]
    return json_answer({"aliases": shown}, headers={hdrs.ETAG: entity_tag(stored.version)})


async def add(request: web.Request) -> web.Response:
    """If-Match is optional, for additions of different aliases commute; as removals do."""
    number, accepts = number_of(request), optional_match(request)
    document, _ = await read_json(request)
    new = parse_alias(document)
    version = await aliases.add(request.app[SERVICES].postgres, writer_of(request), number, new, accepts)
    return json_answer(_shown(new, _today()), HTTPStatus.CREATED, {hdrs.ETAG: entity_tag(version)})


async def remove(request: web.Request) -> web.Response:
    version = await aliases.remove(
        request.app[SERVICES].postgres,
        writer_of(request),
        number_of(request),
        parse_which(request.match_info["alias"], query_pairs(request)),
        optional_match(request),
    )
    return web.Response(status=HTTPStatus.NO_CONTENT, headers={hdrs.ETAG: entity_tag(version)})


def _shown(alias: Alias, today: date) -> dict[str, Any]:
    return {
        "alias": alias.alias,
        "kind": alias.kind,
        "valid_from": alias.valid_from,
        "valid_to": alias.valid_to,
        "in_force": alias.is_in_force(today),
    }


def _today() -> date:
    """As the database has it, whose days are those of UTC."""
    return datetime.now(UTC).date()
