"""What is said in two places is the same in both: errors and statuses, code and documentation."""

import asyncio
import re
from http import HTTPStatus
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from app import metrics
from app.commands.rollout import RolloutSettings
from app.commands.running_service import ServiceSettings
from app.domain import errors
from app.domain.access import SCOPES, Quota
from app.domain.errors import (
    AuthFailure,
    BulkRefused,
    FieldError,
    InFlight,
    InvalidInput,
    JobUnderWay,
    NotAuthenticated,
    PreconditionFailed,
    RateLimited,
    RegistryError,
    SymbolTaken,
)
from app.environment import EnvironmentModel, variable_name
from app.main import make_app
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.store.locks import Lock
from app.store.quality import REASONS
from app.web.openapi import MEANINGS, PROBLEM_HEADERS
from app.web.problems import CONTENT_TYPE, problem_of
from app.web.routes import ENDPOINTS

ROOT = Path(__file__).parents[2]


def all_errors(kind: type[RegistryError] = RegistryError) -> list[type[RegistryError]]:
    return [found for sub in kind.__subclasses__() for found in (sub, *all_errors(sub))]


@pytest.mark.parametrize("kind", [e for e in all_errors() if e.__module__ == errors.__name__])
def test_every_error_has_a_status(kind: type[RegistryError]) -> None:
    bulk = FieldError("name", "is bad", line=3)
    special: dict[type[RegistryError], RegistryError] = {
        InvalidInput: InvalidInput(FieldError("q", "is bad")),
        BulkRefused: BulkRefused([bulk, bulk]),
        SymbolTaken: SymbolTaken("A", "XNYS", "ins_1"),
        NotAuthenticated: NotAuthenticated("why", reason="missing"),
        RateLimited: RateLimited(Quota(5, 0, 9)),
        PreconditionFailed: PreconditionFailed(3),
        JobUnderWay: JobUnderWay("why", 3),
    }
    error = special.get(kind) or kind("why")
    response = problem_of(error, "id")
    assert 400 <= response.status < 600 and response.status != 500
    assert response.content_type == CONTENT_TYPE
    assert (response.status in (429, 503) or kind is InFlight) == ("Retry-After" in response.headers)
    described = PROBLEM_HEADERS.get(HTTPStatus(response.status), ())
    names = {name.lower() for name in response.headers} - {"content-type", "content-length"}
    assert {header.name.lower() for header in described if header.always} <= names
    assert names <= {header.name.lower() for header in described}
    assert HTTPStatus(response.status) in MEANINGS


def test_the_error_tree_is_drawn_in_full() -> None:
    drawing = errors.__doc__ or ""
    assert all(kind.__name__ in drawing for kind in all_errors() if kind.__module__ == errors.__name__)


def test_every_route_declares_a_known_scope_or_is_meant_to_be_open() -> None:
    open_routes = {endpoint.name for endpoint in ENDPOINTS if endpoint.scope is None}
    assert open_routes == {"caller", "live", "ready", "metrics", "openapi", "console", "docs", "asset"}
    assert all(endpoint.scope in SCOPES for endpoint in ENDPOINTS if endpoint.scope)
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)
    assert len({endpoint.handler for endpoint in ENDPOINTS}) == len(ENDPOINTS)


async def test_every_route_of_the_application_is_one_of_the_table() -> None:
    """However it came in: a route that the table does not name has no scope."""
    settings = Settings(database_url=SecretStr("postgresql://u@host/d"), redis_url=SecretStr("redis://host"))
    app = make_app(settings, Parameters(), asyncio.get_running_loop().create_future())
    served = [
        (
            route.method,
            route.resource.canonical if route.resource else None,
            vars(route.handler).get("__wrapped__"),
        )
        for route in app.router.routes()
    ]
    declared = [(endpoint.method, endpoint.path, endpoint.handler) for endpoint in ENDPOINTS]
    heads = [
        ("HEAD", endpoint.path, endpoint.handler)
        for endpoint in ENDPOINTS
        if endpoint.method == "GET" and not endpoint.is_stream
    ]
    assert [endpoint.name for endpoint in ENDPOINTS if endpoint.is_stream] == ["export", "profile_stream"]
    assert sorted(served, key=str) == sorted(declared + heads, key=str)


def test_every_reason_of_refusal_is_documented() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    paragraph = page.partition("Reasons of refusal: ")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", paragraph)) == set(get_args(AuthFailure))


def test_every_reason_of_suspicion_is_documented() -> None:
    page = (ROOT / "docs/quality.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(REASONS)


def test_every_metric_is_documented_and_nothing_else() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    documented = set(re.findall(r"^\| `(registry_\w+)`", page, re.MULTILINE))
    exported = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith("registry_")
    }
    assert metrics.HTTP_REQUEST_SECONDS is not None
    assert documented == exported


def test_every_setting_is_documented_with_its_default_and_nothing_else() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text()
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    models: tuple[type[EnvironmentModel], ...] = (Settings, Parameters, ServiceSettings)
    fields = {
        variable_name(model, name): field for model in models for name, field in model.model_fields.items()
    }
    assert set(rows) == set(fields)
    for name, field in fields.items():
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            row = rows[name]
            assert f"{field.default:g}" in row.replace(",", "") or f"{field.default}" in row, row


def test_every_setting_of_a_rollout_is_documented() -> None:
    page = (ROOT / "docs/rollout.md").read_text()
    rows = [row for row in page.splitlines() if row.startswith("| `REGISTRY_")]
    documented = {row.split("`")[1] for row in rows}
    assert documented == {variable_name(RolloutSettings, name) for name in RolloutSettings.model_fields}


def test_every_route_is_documented() -> None:
    page = (ROOT / "docs/reference/endpoints.md").read_text()
    assert all(endpoint.path in page for endpoint in ENDPOINTS)


def test_locks_by_number_are_told_apart_in_one_place() -> None:
    for folder in ("app", "indexer", "migrations"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".sql"):
                assert not re.search(r"advisory\w*\([0-9-]", file.read_text(encoding="utf-8")), file
    assert len(set(Lock)) == len(Lock.__members__)
