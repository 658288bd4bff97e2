"""The endpoint of batch lookups."""

from typing import Final

from app.domain.access import INSTRUMENTS_READ
from app.domain.lookup import LookupDocument
from app.web import answers_lookup, lookup
from app.web.endpoint import JSON, OPTIONAL_INDEX_HEADERS, Answer, Endpoint
from app.web.headers import READ_FRESH

ENDPOINTS: Final = (
    Endpoint(
        "lookup",
        "POST",
        "/v1/instruments/lookup",
        lookup.look_up,
        INSTRUMENTS_READ,
        JSON,
        summary="Find the instruments that up to 1 000 identifiers name",
        body=LookupDocument,
        headers=(READ_FRESH,),
        answers=(Answer(answers_lookup.LookupResults, headers=OPTIONAL_INDEX_HEADERS),),
    ),
)
