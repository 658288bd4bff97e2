"""The endpoints of instruments' aliases."""

from http import HTTPStatus
from typing import Final

from app.domain import errors
from app.domain.access import INSTRUMENTS_READ, INSTRUMENTS_WRITE
from app.domain.alias import AliasDocument, which_schema
from app.web import aliases, answers, answers_aliases, headers
from app.web.endpoint import JSON, Answer, Endpoint, id_of

_ALIASES: Final = "/v1/instruments/{id}/aliases"
_ID: Final = id_of(answers.InstrumentId)

ENDPOINTS: Final = (
    Endpoint(
        "aliases",
        "GET",
        _ALIASES,
        aliases.listed,
        INSTRUMENTS_READ,
        summary="List an instrument's aliases and former symbols, with their dates",
        identifiers=_ID,
        answers=(Answer(answers_aliases.Aliases, headers=(headers.ETAG,)),),
    ),
    Endpoint(
        "add_alias",
        "POST",
        _ALIASES,
        aliases.add,
        INSTRUMENTS_WRITE,
        JSON,
        summary="Add an alias or a former symbol; ETag is the instrument's",
        identifiers=_ID,
        body=AliasDocument,
        headers=(headers.IF_MATCH.optional(),),
        answers=(Answer(answers_aliases.Alias, HTTPStatus.CREATED, (headers.ETAG,)),),
        errors=(errors.PreconditionFailed, errors.Conflict),
    ),
    Endpoint(
        "remove_alias",
        "DELETE",
        _ALIASES + "/{alias}",
        aliases.remove,
        INSTRUMENTS_WRITE,
        summary="Remove an alias or a former symbol; ETag is the instrument's",
        identifiers={
            **_ID,
            "alias": {
                "type": "string",
                "minLength": 1,
                "description": "in any case; percent-encoded",
                "examples": ["FB"],
            },
        },
        query=which_schema,
        headers=(headers.IF_MATCH.optional(),),
        answers=(Answer(None, HTTPStatus.NO_CONTENT, (headers.ETAG,), media_type=None),),
        errors=(errors.PreconditionFailed, errors.Conflict),
    ),
)
