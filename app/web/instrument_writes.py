"""Handlers for writes of instruments: create, patch, delist. Each is answered from the row it left."""

from datetime import UTC, datetime
from typing import Final

from aiohttp import hdrs, web

from app.domain.instrument import public_id
from app.domain.instrument_write import delist_instrument, parse_instrument, parse_patch, patch_instrument
from app.domain.write_query import parse_delisting
from app.store.instrument_writes import change_instrument, create_instrument
from app.store.instruments import StoredInstrument
from app.web.finished import FinishedResponse
from app.web.instruments import number_of
from app.web.json_body import read_json
from app.web.once import once_of, replay_headers
from app.web.preconditions import entity_tag, required_match
from app.web.query_string import query_pairs
from app.web.services import SERVICES, writer_of

PATH: Final = "/v1/instruments"


async def create(request: web.Request) -> web.Response:
    document, raw = await read_json(request)
    new = parse_instrument(document, datetime.now(UTC))
    postgres = request.app[SERVICES].postgres
    answer = await create_instrument(postgres, writer_of(request), new, once_of(request, raw))
    headers = {
        hdrs.LOCATION: f"{PATH}/{public_id(answer.subject.int)}",
        hdrs.ETAG: entity_tag(answer.version),
        **replay_headers(answer),
    }
    return FinishedResponse(answer.body, status=201, headers=headers)


async def patch(request: web.Request) -> web.Response:
    number, accepts = number_of(request), required_match(request)
    document, _ = await read_json(request)
    given = parse_patch(document, public_id(number))
    return _shown(
        await change_instrument(
            request.app[SERVICES].postgres,
            writer_of(request),
            number,
            accepts,
            lambda stored: patch_instrument(stored, given, datetime.now(UTC)),
        )
    )


async def delist(request: web.Request) -> web.Response:
    effective = parse_delisting(query_pairs(request))
    return _shown(
        await change_instrument(
            request.app[SERVICES].postgres,
            writer_of(request),
            number_of(request),
            required_match(request),
            lambda stored: delist_instrument(stored, effective, datetime.now(UTC)),
        )
    )


def _shown(instrument: StoredInstrument) -> web.Response:
    headers = {hdrs.ETAG: entity_tag(instrument.version)}
    return FinishedResponse(instrument.json, headers=headers)
