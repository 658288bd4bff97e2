"""The OpenAPI 3.1 description of the service, made once at start from the route table and its models.

Nothing is listed here by endpoint: what an endpoint may answer follows from what `Endpoint` says of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from app.domain import errors
from app.domain.profile import ProfileLimits
from app.domain.query_schema import Schema
from app.web import headers
from app.web.answers import Problem
from app.web.endpoint import Answer, Endpoint
from app.web.examples import PROBLEMS, example_of
from app.web.headers import Header
from app.web.problems import CONTENT_TYPE, TEXT_TYPE, status_of
from app.web.schemas import SCHEMAS, body_name, schemas_of

MEANINGS: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.BAD_REQUEST: "Something sent cannot be used; `errors` names each field and the way out",
    HTTPStatus.UNAUTHORIZED: "No credential, or one that is not valid",
    HTTPStatus.FORBIDDEN: "The credential does not have the scope",
    HTTPStatus.NOT_FOUND: "There is no such thing, or it is another owner's",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come in time",
    HTTPStatus.CONFLICT: "The state of things does not allow it, or the same request is under way",
    HTTPStatus.GONE: "The cursor's generation is gone; restart without it",
    HTTPStatus.PRECONDITION_FAILED: "It was changed meanwhile; `ETag` names its version now",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large, or holds too many jobs",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The URL is too long",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is of a type that is not accepted",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The Idempotency-Key was used for another body",
    HTTPStatus.PRECONDITION_REQUIRED: "A write needs If-Match with the ETag that was read",
    HTTPStatus.TOO_MANY_REQUESTS: "The requests of this minute are used up, or the streams of this owner",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "A header is too long",
    HTTPStatus.SERVICE_UNAVAILABLE: "A server behind this one does not answer; try again",
    HTTPStatus.GATEWAY_TIMEOUT: "The search took too long; narrow it down",
}

PROBLEM_HEADERS: Final[Mapping[HTTPStatus, tuple[Header, ...]]] = {
    HTTPStatus.UNAUTHORIZED: (headers.WWW_AUTHENTICATE,),
    HTTPStatus.CONFLICT: (headers.RETRY_AFTER, headers.LOCATION.optional()),
    HTTPStatus.PRECONDITION_FAILED: (headers.ETAG,),
    HTTPStatus.TOO_MANY_REQUESTS: (headers.RETRY_AFTER,),
    HTTPStatus.SERVICE_UNAVAILABLE: (headers.RETRY_AFTER,),
}
"""What problems of these statuses carry besides the headers of every answer."""

_OF_ANY_REQUEST: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.REQUEST_URI_TOO_LONG,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    }
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a description says of one running service."""

    version: str
    max_limit: int
    profile_limits: ProfileLimits
    anonymous_scopes: AbstractSet[str]


def describe(endpoints: Sequence[Endpoint], facts: Facts) -> dict[str, Any]:
    """The OpenAPI document as a JSON value."""
    schemas = schemas_of(endpoints, facts.profile_limits)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, facts, schemas)
    problems = {(status, one.errors_as_text) for one in endpoints for status in errors_of(one)}
    answered = [header for endpoint in endpoints for answer in endpoint.answers for header in answer.headers]
    of_problems = [header for status, _ in problems for header in _headers_of_problem(status)]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Instrument Registry",
            "version": facts.version,
            "description": "Financial instruments and subscription profiles. Errors are problem details "
            "(RFC 9457). Every answer of 500 is a defect, and therefore not described.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                _problem_name(status, as_text=as_text): _problem(status, as_text=as_text)
                for status, as_text in sorted(problems)
            },
            "parameters": {
                header.component: {"name": header.name, "in": "header", **_header(header)}
                for endpoint in endpoints
                for header in (headers.PROPOSED_REQUEST_ID, *endpoint.headers)
            },
            "headers": {
                header.component: _header(header)
                for header in (headers.REQUEST_ID, *headers.RATE_LIMITS, *answered, *of_problems)
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a JWT"},
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": headers.API_KEY_HEADER,
                    "description": "An API key",
                },
                "openfigi": {
                    "type": "apiKey",
                    "in": "header",
                    "name": headers.OPENFIGI_KEY_HEADER,
                    "description": "An API key, as clients of OpenFIGI send theirs",
                },
            },
        },
    }


def errors_of(endpoint: Endpoint) -> frozenset[HTTPStatus]:
    """Every status of a problem that an endpoint may answer."""
    kinds = set(endpoint.errors)
    statuses = set(_OF_ANY_REQUEST)
    if endpoint.admits:
        kinds |= {errors.NotAuthenticated, errors.RateLimited, errors.Unavailable}
    if endpoint.scope is not None:
        kinds.add(errors.NotAllowed)
    if endpoint.identifiers:
        kinds.add(errors.NotFound)
    if headers.IF_MATCH in endpoint.headers:
        kinds |= {errors.PreconditionRequired, errors.PreconditionFailed}
    if headers.IDEMPOTENCY_KEY in endpoint.headers:
        kinds |= {errors.InFlight, errors.KeyReused}
    if endpoint.media_types:
        statuses.add(HTTPStatus.REQUEST_TIMEOUT)
    return frozenset(statuses | {status_of(kind) for kind in kinds})


def _operation(endpoint: Endpoint, facts: Facts, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [_tag(endpoint.path)],
        "security": _security(endpoint, facts.anonymous_scopes),
        "parameters": [
            *(
                _parameter(name, "path", schema, required=True)
                for name, schema in endpoint.identifiers.items()
            ),
            *_query_parameters(endpoint, facts),
            *(
                {"$ref": f"#/components/parameters/{header.component}"}
                for header in (*endpoint.headers, headers.PROPOSED_REQUEST_ID)
            ),
        ],
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body is not None:
        schema = {"$ref": SCHEMAS + body_name(endpoint, endpoint.body)}
        body = {"schema": schema, "example": example_of(schema, schemas)}
        content = dict.fromkeys(endpoint.media_types, body)
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(endpoint: Endpoint, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    limits = headers.RATE_LIMITS if endpoint.admits else ()
    responses: dict[str, Any] = {}
    for answer in endpoint.answers:
        described = responses.setdefault(
            str(answer.status.value),
            {"description": answer.status.phrase, "headers": _headers((*answer.headers, *limits))},
        )
        if content := _content(answer, schemas):
            described.setdefault("content", {}).update(content)
    if headers.IF_NONE_MATCH in endpoint.headers:
        responses[str(HTTPStatus.NOT_MODIFIED.value)] = {
            "description": "The version that If-None-Match names is current",
            "headers": _headers((*endpoint.answers[0].headers, *limits)),
        }
    for status in sorted(errors_of(endpoint)):
        name = _problem_name(status, as_text=endpoint.errors_as_text)
        responses[str(status.value)] = {"$ref": f"#/components/responses/{name}"}
    return responses


def _content(answer: Answer, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    if answer.media_type is None:
        return {}
    if answer.model is None:
        return {answer.media_type: {"schema": {"type": "string"}}}
    schema = {"$ref": SCHEMAS + answer.model.__name__}
    example = example_of(schema, schemas)
    return {
        answer.media_type: {
            "schema": schema,
            "example": {**example, **answer.example} if answer.example else example,
        }
    }


def _problem(status: HTTPStatus, *, as_text: bool) -> dict[str, Any]:
    content: dict[str, Any] = (
        {TEXT_TYPE: {"schema": {"type": "string"}, "example": PROBLEMS[status]["detail"]}}
        if as_text
        else {CONTENT_TYPE: {"schema": {"$ref": SCHEMAS + Problem.__name__}, "example": PROBLEMS[status]}}
    )
    return {
        "description": MEANINGS[status],
        "headers": _headers(_headers_of_problem(status)),
        "content": content,
    }


def _headers_of_problem(status: HTTPStatus) -> tuple[Header, ...]:
    """Limits are told once the request was counted; endpoints that are open to everybody count none."""
    return (*PROBLEM_HEADERS.get(status, ()), *(header.optional() for header in headers.RATE_LIMITS))


def _problem_name(status: HTTPStatus, *, as_text: bool) -> str:
    return status.phrase.replace(" ", "").replace("-", "") + ("Text" if as_text else "")


def _header(header: Header) -> dict[str, Any]:
    return {
        "description": header.meaning,
        "required": header.always,
        "schema": header.schema,
        "example": header.example,
    }


def _headers(shown: Iterable[Header]) -> dict[str, Any]:
    return {
        header.name: {"$ref": f"#/components/headers/{header.component}"}
        for header in (headers.REQUEST_ID, *shown)
    }


def _query_parameters(endpoint: Endpoint, facts: Facts) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    query = endpoint.query(facts.max_limit)
    return [
        _parameter(name, "query", schema, required=name in query["required"])
        for name, schema in query["properties"].items()
    ]


def _parameter(name: str, where: str, schema: Schema, *, required: bool) -> dict[str, Any]:
    meaning = {"description": schema["description"]} if "description" in schema else {}
    return {
        "name": name,
        "in": where,
        "required": required,
        "schema": schema,
        "example": example_of(schema, {}),
        **meaning,
    }


def _security(endpoint: Endpoint, anonymous_scopes: AbstractSet[str]) -> list[dict[str, list[str]]]:
    """An empty requirement: callers without a credential are served as well."""
    if not endpoint.admits:
        return []
    scopes = [] if endpoint.scope is None else [endpoint.scope]
    credentials = [{scheme: scopes} for scheme in ("bearer", "key", "openfigi")]
    return [*credentials, {}] if anonymous_scopes >= set(scopes) else credentials


def _tag(path: str) -> str:
    """The collection that a path is of."""
    _, area, *rest = path.split("/")
    if area == "v3":
        return "openfigi"
    return rest[0] if area == "v1" else "operations"
