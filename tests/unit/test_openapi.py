"""The description is OpenAPI 3.1 and says of every route what the route table does."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson
import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.domain.access import INSTRUMENTS_READ
from app.domain.profile import ProfileLimits
from app.web.examples import example_of
from app.web.openapi import Facts, describe
from app.web.routes import ENDPOINTS, route_table

LIMITS = ProfileLimits(profiles_per_owner=5, members=6, name_length=17)
EVERYWHERE = {400, 413, 414, 415, 431}
SCOPED = EVERYWHERE | {401, 403, 429, 503}


@cache
def description(anonymous_scopes: frozenset[str] = frozenset()) -> Any:
    """As callers get it."""
    return orjson.loads(orjson.dumps(describe(ENDPOINTS, Facts("1.2.3", 8, LIMITS, anonymous_scopes))))


@cache
def operations() -> dict[str, Any]:
    return {
        operation["operationId"]: operation
        for path in description()["paths"].values()
        for operation in path.values()
    }


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(description()).validate()


def test_it_describes_what_is_routed_and_nothing_else() -> None:
    app = web.Application()
    app.add_routes(route_table())
    routed = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {
        (method.upper(), path) for path, methods in description()["paths"].items() for method in methods
    }
    assert described == routed


def test_it_names_the_scope_of_each_operation() -> None:
    assert operations()["caller"]["security"] == [{"bearer": []}, {"key": []}, {"openfigi": []}, {}]
    for endpoint in ENDPOINTS:
        if endpoint.name != "caller":
            assert operations()[endpoint.name]["security"] == (
                [{scheme: [endpoint.scope]} for scheme in ("bearer", "key", "openfigi")]
                if endpoint.scope
                else []
            )


def test_it_says_where_no_credential_is_needed() -> None:
    paths = description(frozenset({INSTRUMENTS_READ}))["paths"]
    assert {} in paths["/v1/instruments/search"]["get"]["security"]
    assert {} not in paths["/v1/subscription-profiles"]["get"]["security"]


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("live", EVERYWHERE | {200}),
        ("caller", EVERYWHERE | {200, 401, 429, 503}),
        ("console", EVERYWHERE | {200, 304}),
        ("asset", EVERYWHERE | {200, 304, 404}),
        ("ready", EVERYWHERE | {200, 503}),
        ("openapi", EVERYWHERE | {200, 304}),
        ("search", SCOPED | {200, 304, 410, 504}),
        ("suggest", SCOPED | {200, 304}),
        ("instrument", SCOPED | {200, 304, 404}),
        ("add_alias", SCOPED | {201, 404, 408, 409, 412}),
        ("remove_alias", SCOPED | {204, 404, 409, 412}),
        ("create_search_pin", SCOPED | {201, 408, 409}),
        ("replace_search_pin", SCOPED | {200, 404, 408, 409, 412, 428}),
        ("create_instrument", SCOPED | {201, 408, 409, 422}),
        ("patch_instrument", SCOPED | {200, 404, 408, 409, 412, 428}),
        ("delist_instrument", SCOPED | {200, 404, 409, 412, 428}),
        ("bulk_write", SCOPED | {200, 408, 409, 422}),
        ("lookup", SCOPED | {200, 408}),
        ("figi_mapping", SCOPED | {200, 408}),
        ("figi_search", SCOPED | {200, 408, 410, 504}),
        ("figi_values", SCOPED | {200, 404}),
        ("profiles", SCOPED | {200}),
        ("create_profile", SCOPED | {201, 408, 409, 422}),
        ("patch_profile", SCOPED | {200, 404, 408, 409, 412, 428}),
        ("delete_profile", SCOPED | {204, 404, 412, 428}),
    ],
)
def test_statuses_follow_from_the_table(name: str, statuses: set[int]) -> None:
    assert {int(status) for status in operations()[name]["responses"]} == statuses


def test_every_variable_part_of_a_path_is_described() -> None:
    for endpoint in ENDPOINTS:
        assert set(endpoint.identifiers) == set(re.findall(r"{(\w+)}", endpoint.path)), endpoint.name


def test_every_body_is_described() -> None:
    for endpoint in ENDPOINTS:
        assert (endpoint.body is not None) == bool(endpoint.media_types), endpoint.name
        content = operations()[endpoint.name].get("requestBody", {"content": {}})["content"]
        assert tuple(content) == endpoint.media_types


def exemplified(document: Any) -> Iterator[tuple[str, Any]]:
    """Everything that needs an example, with its place: parameters, headers, bodies, answers, problems."""
    components = document["components"]
    for section in ("parameters", "headers"):
        yield from ((f"{section} {name}", one) for name, one in components[section].items())
    yield from json_answers(components["responses"])
    for name, operation in operations().items():
        given = [one for one in operation["parameters"] if "$ref" not in one]
        yield from ((f"{name} {parameter['name']}", parameter) for parameter in given)
        content = operation.get("requestBody", {"content": {}})["content"]
        yield from ((f"{name} {media_type}", body) for media_type, body in content.items())
        answers = {f"{name} {status}": one for status, one in operation["responses"].items()}
        yield from json_answers(answers)


def json_answers(responses: Any) -> Iterator[tuple[str, Any]]:
    """And problems that are told as a text."""
    for place, response in responses.items():
        for media_type, content in response.get("content", {}).items():
            if media_type in ("application/json", "application/problem+json") or place.endswith("Text"):
                yield f"{place} {media_type}", content


def test_everything_has_an_example_that_is_valid() -> None:
    document = description()
    places = dict(exemplified(document))
    assert {"search q", "parameters optional-If-None-Match", "headers RateLimit-Limit"} <= set(places)
    assert {"search 200 application/json", "NotFound application/problem+json"} <= set(places)
    assert {"create_profile application/json", "NotFoundText text/plain"} <= set(places)
    for place, one in places.items():
        assert "example" in one, place
        schema = {**one["schema"], "components": document["components"]}
        validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        assert not list(validator.iter_errors(one["example"])), place


def test_examples_of_problems_say_what_their_statuses_do() -> None:
    for name, response in description()["components"]["responses"].items():
        for content in response["content"].values():
            if isinstance(example := content["example"], dict):
                assert example["title"].replace(" ", "").replace("-", "") == name
                assert example["detail"]


def test_a_field_without_an_example_is_named() -> None:
    with pytest.raises(LookupError, match=r"give an example of .*string"):
        example_of({"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}, {})


def test_nothing_shared_is_unused() -> None:
    document = orjson.dumps(description()).decode()
    for section, components in description()["components"].items():
        if section != "securitySchemes":
            for name in components:
                assert f'"#/components/{section}/{name}"' in document, name


def test_bounds_are_those_of_the_running_service() -> None:
    limits = [
        parameter["schema"]
        for (name, operation) in operations().items()
        for parameter in operation["parameters"]
        if parameter.get("name") == "limit" and name != "changes"  # whose pages are no results of a search
    ]
    assert limits and all((limit["maximum"], limit["default"]) == (8, 8) for limit in limits)
    schemas = description()["components"]["schemas"]
    assert schemas["ProfileDocument"]["properties"]["name"]["maxLength"] == 17
    assert schemas["Selection"]["properties"]["instruments"]["anyOf"][0]["maxItems"] == 6


@pytest.mark.parametrize(
    ("patch", "valid"),
    [
        ({}, True),
        ({"status": None, "description": None}, True),
        ({"selection": {"instruments": ["ins_1"], "query": None}}, True),
        ({"selection": {"query": {"mic": None}}}, True),
        ({"unknown": None}, True),
        ({"unknown": 1}, False),
        ({"status": "asleep"}, False),
        ({"selection": {"query": {"asset_class": "house"}}}, False),
        ([], False),
    ],
)
def test_a_merge_patch_may_leave_out_or_null_any_field(patch: object, valid: bool) -> None:
    document = description()
    schema = {"$ref": "#/components/schemas/ProfileDocumentPatch", "components": document["components"]}
    assert Draft202012Validator(schema).is_valid(patch) == valid
