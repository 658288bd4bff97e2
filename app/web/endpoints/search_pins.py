"""The endpoints of search pins."""

from http import HTTPStatus
from typing import Final

from app.domain import errors, query_schema
from app.domain.access import INSTRUMENTS_READ, INSTRUMENTS_WRITE
from app.domain.search_pin import SearchPinDocument
from app.web import answers_search_pins, headers, search_pins
from app.web.endpoint import JSON, Answer, Endpoint, id_of

_PIN: Final = search_pins.PATH + "/{id}"
_ID: Final = id_of(answers_search_pins.PinId)
_SHOWN: Final = Answer(answers_search_pins.SearchPin, headers=(headers.ETAG,))

ENDPOINTS: Final = (
    Endpoint(
        "create_search_pin",
        "POST",
        search_pins.PATH,
        search_pins.create,
        INSTRUMENTS_WRITE,
        JSON,
        summary="Pin instruments: they come first for a query, by relevance, if its filters let them through",
        body=SearchPinDocument,
        answers=(
            Answer(answers_search_pins.SearchPin, HTTPStatus.CREATED, (headers.LOCATION, headers.ETAG)),
        ),
        errors=(errors.QueryPinned,),
    ),
    Endpoint(
        "search_pins",
        "GET",
        search_pins.PATH,
        search_pins.page,
        INSTRUMENTS_READ,
        summary="List search pins in the order of their creation",
        query=query_schema.by_cursor,
        answers=(Answer(answers_search_pins.SearchPins),),
    ),
    Endpoint(
        "search_pin",
        "GET",
        _PIN,
        search_pins.one,
        INSTRUMENTS_READ,
        summary="Read a search pin",
        identifiers=_ID,
        headers=(headers.IF_NONE_MATCH,),
        answers=(_SHOWN,),
    ),
    Endpoint(
        "replace_search_pin",
        "PUT",
        _PIN,
        search_pins.replace,
        INSTRUMENTS_WRITE,
        JSON,
        summary="Replace a search pin",
        identifiers=_ID,
        body=SearchPinDocument,
        headers=(headers.IF_MATCH,),
        answers=(_SHOWN,),
        errors=(errors.QueryPinned,),
    ),
    Endpoint(
        "delete_search_pin",
        "DELETE",
        _PIN,
        search_pins.delete,
        INSTRUMENTS_WRITE,
        summary="Delete a search pin; its events stay",
        identifiers=_ID,
        headers=(headers.IF_MATCH,),
        answers=(Answer(None, HTTPStatus.NO_CONTENT, media_type=None),),
    ),
    Endpoint(
        "search_pin_events",
        "GET",
        _PIN + "/events",
        search_pins.events,
        INSTRUMENTS_READ,
        summary="List what happened to a search pin, newest first, also when it is deleted",
        identifiers=_ID,
        query=query_schema.newest_first,
        answers=(Answer(answers_search_pins.SearchPinEvents),),
    ),
)
