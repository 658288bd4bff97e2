"""The endpoints in OpenFIGI's shapes."""

from typing import Final

from app.domain import errors
from app.domain.access import INSTRUMENTS_READ
from app.domain.openfigi import VALUES
from app.domain.openfigi_query import FigiFilter, FigiSearch, MappingJobs
from app.web import answers_openfigi, openfigi
from app.web.endpoint import OPTIONAL_INDEX_HEADERS, Answer, Endpoint
from app.web.headers import READ_FRESH

_JSON: Final = ("application/json", "text/json")
"""The second is what OpenFIGI's own examples send."""

ENDPOINTS: Final = (
    Endpoint(
        "figi_mapping",
        "POST",
        "/v3/mapping",
        openfigi.mapping,
        INSTRUMENTS_READ,
        _JSON,
        summary="Map identifiers to FIGIs, as OpenFIGI does",
        body=MappingJobs,
        headers=(READ_FRESH,),
        answers=(Answer(answers_openfigi.MappingResults, headers=OPTIONAL_INDEX_HEADERS),),
        errors=(errors.TooManyJobs,),
        errors_as_text=True,
    ),
    Endpoint(
        "figi_search",
        "POST",
        "/v3/search",
        openfigi.search,
        INSTRUMENTS_READ,
        _JSON,
        summary="Search by text, as OpenFIGI does",
        body=FigiSearch,
        answers=(Answer(answers_openfigi.SearchAnswer, headers=OPTIONAL_INDEX_HEADERS),),
        errors=(errors.CursorExpired, errors.SearchTimedOut),
        errors_as_text=True,
    ),
    Endpoint(
        "figi_filter",
        "POST",
        "/v3/filter",
        openfigi.filtered,
        INSTRUMENTS_READ,
        _JSON,
        summary="Search by text and filters, and count, as OpenFIGI does",
        body=FigiFilter,
        answers=(Answer(answers_openfigi.FilterAnswer, headers=OPTIONAL_INDEX_HEADERS),),
        errors=(errors.CursorExpired, errors.SearchTimedOut),
        errors_as_text=True,
    ),
    Endpoint(
        "figi_values",
        "GET",
        "/v3/mapping/values/{key}",
        openfigi.values,
        INSTRUMENTS_READ,
        summary="List what a field of a mapping job may be",
        identifiers={"key": {"type": "string", "enum": list(VALUES)}},
        answers=(Answer(answers_openfigi.FigiValues),),
        errors_as_text=True,
    ),
)
