"""The endpoints that write instruments."""

from dataclasses import replace
from http import HTTPStatus
from typing import Final

from app.domain import errors
from app.domain.access import INSTRUMENTS_WRITE
from app.domain.bulk_line import BulkLine
from app.domain.instrument_document import InstrumentDocument
from app.domain.write_query import bulk_schema, delisting_schema
from app.web import answers, bulk_writes, headers, instrument_writes
from app.web.endpoint import JSON, MERGE_PATCH, NDJSON, Answer, Endpoint, id_of

_INSTRUMENT: Final = instrument_writes.PATH + "/{id}"
_ID: Final = id_of(answers.InstrumentId)
_SHOWN: Final = Answer(answers.Instrument, headers=(headers.ETAG,))

ENDPOINTS: Final = (
    Endpoint(
        "create_instrument",
        "POST",
        instrument_writes.PATH,
        instrument_writes.create,
        INSTRUMENTS_WRITE,
        JSON,
        summary="Create an instrument",
        body=InstrumentDocument,
        headers=(headers.IDEMPOTENCY_KEY,),
        answers=(
            Answer(
                answers.Instrument,
                HTTPStatus.CREATED,
                (headers.LOCATION, headers.ETAG, headers.REPLAYED),
            ),
        ),
        errors=(errors.SymbolTaken,),
    ),
    Endpoint(
        "patch_instrument",
        "PATCH",
        _INSTRUMENT,
        instrument_writes.patch,
        INSTRUMENTS_WRITE,
        MERGE_PATCH,
        summary="Change parts of an instrument, by a merge patch (RFC 7396)",
        identifiers=_ID,
        body=InstrumentDocument,
        headers=(headers.IF_MATCH,),
        answers=(_SHOWN,),
        errors=(errors.SymbolTaken,),
    ),
    Endpoint(
        "delist_instrument",
        "DELETE",
        _INSTRUMENT,
        instrument_writes.delist,
        INSTRUMENTS_WRITE,
        summary="Delist an instrument, now or at a time that lies ahead; it stays readable",
        identifiers=_ID,
        query=delisting_schema,
        headers=(headers.IF_MATCH,),
        answers=(replace(_SHOWN, example={"status": "delisted", "delisted_on": "2026-01-31"}),),
        errors=(errors.Conflict,),
    ),
    Endpoint(
        "bulk_write",
        "POST",
        instrument_writes.PATH + "/bulk",
        bulk_writes.bulk,
        INSTRUMENTS_WRITE,
        NDJSON,
        summary="Create, change and delist many instruments: all lines or none, or line by line",
        query=bulk_schema,
        body=BulkLine,
        headers=(headers.IDEMPOTENCY_KEY,),
        answers=(Answer(answers.BulkReport, headers=(headers.REPLAYED,)),),
        errors=(errors.Conflict,),
        is_bulk=True,
    ),
)
