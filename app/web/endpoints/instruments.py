"""The endpoints of instruments."""

from typing import Final

from app.domain import errors, query_schema
from app.domain.access import INSTRUMENTS_READ
from app.web import answers, feeds, headers, instruments
from app.web.endpoint import INDEX_HEADERS, Answer, Endpoint, id_of

_KEPT_HEADERS: Final = (*INDEX_HEADERS, headers.ETAG, headers.VARY)
_ID: Final = id_of(answers.InstrumentId)

ENDPOINTS: Final = (
    Endpoint(
        "search",
        "GET",
        "/v1/instruments/search",
        instruments.search,
        INSTRUMENTS_READ,
        summary="Find instruments by text, by filters, or by both",
        query=query_schema.search,
        headers=(headers.IF_NONE_MATCH, headers.READ_FRESH),
        answers=(Answer(answers.SearchResult, headers=_KEPT_HEADERS),),
        errors=(errors.CursorExpired, errors.SearchTimedOut),
    ),
    Endpoint(
        "suggest",
        "GET",
        "/v1/instruments/suggest",
        instruments.suggest,
        INSTRUMENTS_READ,
        summary="Suggest instruments as somebody types",
        query=query_schema.suggest,
        headers=(headers.IF_NONE_MATCH, headers.READ_FRESH),
        answers=(Answer(answers.Suggestions, headers=_KEPT_HEADERS),),
    ),
    Endpoint(
        "export",
        "GET",
        "/v1/instruments/export",
        feeds.export,
        INSTRUMENTS_READ,
        summary="Send all instruments as they are at one moment, an object in each line",
        answers=(Answer(None, headers=(headers.CHANGES_SINCE,), media_type=feeds.MEDIA_TYPE),),
        is_stream=True,
    ),
    Endpoint(
        "changes",
        "GET",
        "/v1/instruments/changes",
        feeds.changes,
        INSTRUMENTS_READ,
        summary="List what changed in all instruments since a position; without one, where to follow from",
        query=query_schema.changes,
        answers=(Answer(answers.Changes),),
        errors=(errors.CursorExpired,),
    ),
    Endpoint(
        "instrument",
        "GET",
        "/v1/instruments/{id}",
        instruments.one,
        INSTRUMENTS_READ,
        summary="Read an instrument",
        identifiers=_ID,
        headers=(headers.IF_NONE_MATCH, headers.READ_FRESH),
        answers=(Answer(answers.Instrument, headers=(headers.ETAG, headers.SEARCH_SOURCE)),),
    ),
    Endpoint(
        "history",
        "GET",
        "/v1/instruments/{id}/history",
        instruments.history,
        INSTRUMENTS_READ,
        summary="List an instrument's changes, newest first",
        identifiers=_ID,
        query=query_schema.newest_first,
        answers=(Answer(answers.InstrumentHistory),),
    ),
)
