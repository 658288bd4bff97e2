"""The description and the running service agree: parameters, answers, headers, and what fuzzing finds."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from aiohttp import ClientResponse
from jsonschema import Draft202012Validator
from prometheus_client import REGISTRY

from app.auth.api_keys import key_hash
from app.domain.access import (
    CONFIG_ADMIN,
    INDEX_ADMIN,
    INSTRUMENTS_READ,
    INSTRUMENTS_WRITE,
    PROFILES_READ,
    PROFILES_WRITE,
)
from app.domain.profile import ProfileDocument
from app.store.api_keys import add_key
from app.store.postgres import Connection
from app.web.console.assets import VERSION
from app.web.endpoint import Endpoint
from app.web.routes import ENDPOINTS
from tests.integration.conftest import Client, Import, WaitLevel, get_json, running_api

KEY = {"X-API-Key": "fuzzer"}
PROFILES = "/v1/subscription-profiles"
PINS = "/v1/search-pins"
INSTRUMENTS = "/v1/instruments"
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "10")
"""How many requests fuzzing makes of each endpoint in each of its phases."""
SEED = os.environ.get("FUZZ_SEED", "1")
FUZZ_TIMEOUT_S = 300 + 10 * int(EXAMPLES)
FULL = {
    "symbol": "SIE",
    "name": "Siemens",
    "asset_class": "equity",
    "mic": "XETR",
    "exchange": "GER",
    "currency": "EUR",
    "country": "DE",
    "sector": "Industrials",
    "industry": "Machines",
    "isin": "DE0007236101",
    "cfi": "ESNTFR",
    "aliases": "SIEMENS AG",
    "listed_on": "1999-01-31",
    "tick_size": "0.0001",
    "lot_size": "100",
    "contract": '{"underlying": "X", "strike": "1.5"}',
    "attributes": '{"website": "siemens.com"}',
}
HTTP_HEADERS = {"Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Date", "Server"}
"""Of any HTTP response; OpenAPI describes the first by other means."""

Description: TypeAlias = dict[str, Any]


@pytest.fixture
async def api(
    database_url: str, redis_url: str, indexer: WaitLevel, import_instruments: Import
) -> AsyncIterator[Client]:
    """The API over some instruments, with a key for everything that is described."""
    await import_instruments([FULL, {"symbol": "AAPL", "asset_class": "equity", "delisted_on": "2020-01-31"}])
    await indexer()
    scopes = (INSTRUMENTS_READ, INSTRUMENTS_WRITE, PROFILES_READ, PROFILES_WRITE, INDEX_ADMIN, CONFIG_ADMIN)
    await add_key(database_url, owner="fuzzer", scopes=scopes, secret_sha256=key_hash("fuzzer"))
    async with running_api(database_url, redis_url, anonymous_scopes=()) as client:
        yield client


@pytest.fixture
async def description(api: Client) -> Description:
    described: Description = await get_json(api, "/openapi.json")
    return described


async def created_profile(api: Client, **changes: Any) -> str:
    """The id of a profile like the one that the description shows."""
    (example,) = ProfileDocument.model_json_schema()["examples"]
    async with api.post(PROFILES, json={**example, **changes}, headers=KEY) as response:
        assert response.status == HTTPStatus.CREATED, await response.text()
        return str((await response.json())["id"])


async def created_pin(api: Client, query: str) -> str:
    """The id of a pin."""
    async with api.post(PINS, json={"query": query, "instruments": ["ins_1"]}, headers=KEY) as response:
        assert response.status == HTTPStatus.CREATED, await response.text()
        return str((await response.json())["id"])


async def check(description: Description, endpoint: Endpoint, response: ClientResponse) -> None:
    """Whether status, headers and body of a response are as described."""

    def followed(value: dict[str, Any]) -> dict[str, Any]:
        """What a reference points to, or the value itself."""
        for step in value.get("$ref", "#").split("/")[1:]:
            value = value[step] if step in value else description[step]
        return value

    operation = description["paths"][endpoint.path][endpoint.method.lower()]
    described = followed(operation["responses"][str(response.status)])
    always = {name.lower() for name, header in described["headers"].items() if followed(header)["required"]}
    names = {name.lower() for name in response.headers} - {name.lower() for name in HTTP_HEADERS}
    assert always <= names <= {name.lower() for name in described["headers"]}
    for name, header in described["headers"].items():
        if name in response.headers and followed(header)["schema"].get("type", "string") == "string":
            Draft202012Validator(followed(header)["schema"]).validate(response.headers[name])
    content = described.get("content")
    if not content:
        assert await response.read() == b""
        return
    assert response.content_type in content
    schema = {**content[response.content_type]["schema"], "components": description["components"]}
    is_json = response.content_type.endswith(("/json", "+json"))
    body = await (response.json(content_type=None) if is_json else response.text())
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    validator.validate(body)


async def test_answers_are_as_described(api: Client, description: Description) -> None:
    """Every endpoint, with each status that it answers when nothing is wrong, and some refusals."""
    profile = f"{PROFILES}/{await created_profile(api)}"
    listed = await created_profile(api, name="L", selection={"instruments": ["ins_1"]})
    members = f"{PROFILES}/{listed}/instruments"
    body = {"name": "Q", "channels": ["trades"], "selection": {"instruments": ["ins_1"]}}
    aliases, pin = "/v1/instruments/ins_1/aliases", {"query": "x", "instruments": ["ins_1"]}
    match, known = {"If-Match": "*"}, {"If-None-Match": "*"}
    once = {"Idempotency-Key": "k"}
    new = {"symbol": "NEW", "name": "N", "asset_class": "etf"}
    ndjson = {"Content-Type": "application/x-ndjson"}
    job = {"idType": "TICKER", "idValue": "SIE"}
    identifiers = [{"type": "isin", "value": "DE0007236101"}, {"type": "isin", "value": "X"}, {"type": "x"}]
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("search", "/v1/instruments/search?status=active&status=delisted&limit=1", {}),
        ("search", "/v1/instruments/search?facets=mic,sector&facets=status&facet_limit=1", {}),
        ("search", "/v1/instruments/search?limit=0", {}),
        ("search", "/v1/instruments/search", {"headers": {"X-API-Key": "unknown"}}),
        ("suggest", "/v1/instruments/suggest?q=sie", {}),
        ("export", "/v1/instruments/export", {}),
        ("changes", "/v1/instruments/changes", {}),
        ("changes", "/v1/instruments/changes?since=x", {}),
        ("lookup", "/v1/instruments/lookup", {"json": {"identifiers": identifiers}}),
        ("lookup", "/v1/instruments/lookup", {"json": {"identifiers": []}}),
        ("figi_mapping", "/v3/mapping", {"json": [{**job, "idValue": value} for value in ("SIE", "-", "")]}),
        ("figi_mapping", "/v3/mapping", {"json": [job] * 101}),
        ("figi_mapping", "/v3/mapping", {"json": {}}),
        ("figi_search", "/v3/search", {"json": {"query": "sie"}}),
        ("figi_search", "/v3/search", {"json": {"query": "sie", "exchCode": "QQ"}}),
        ("figi_filter", "/v3/filter", {"json": {"exchCode": "GY"}}),
        ("figi_filter", "/v3/filter", {"json": {"marketSecDes": "Govt"}}),
        ("figi_values", "/v3/mapping/values/idType", {}),
        ("figi_values", "/v3/mapping/values/x", {}),
        ("instrument", "/v1/instruments/ins_1", {}),
        ("instrument", "/v1/instruments/ins_2", {"headers": {"Cache-Control": "no-cache"}}),
        ("instrument", "/v1/instruments/ins_1", {"headers": known}),
        ("instrument", "/v1/instruments/ins_9", {}),
        ("history", "/v1/instruments/ins_1/history", {}),
        ("add_alias", aliases, {"json": {"alias": "FB", "kind": "symbol", "valid_to": "2022-06-09"}}),
        ("add_alias", aliases, {"json": {"alias": "fb", "kind": "symbol"}}),
        ("add_alias", aliases, {"json": {}}),
        ("add_alias", aliases, {"json": {"alias": "x", "kind": "name"}, "headers": {"If-Match": '"77"'}}),
        ("aliases", aliases, {}),
        ("aliases", "/v1/instruments/ins_9/aliases", {}),
        ("remove_alias", f"{aliases}/fb?valid_from=none", {}),
        ("remove_alias", f"{aliases}/fb", {}),
        ("create_search_pin", PINS, {"json": pin}),
        ("create_search_pin", PINS, {"json": pin}),
        ("create_search_pin", PINS, {"json": {}}),
        ("search_pins", PINS, {}),
        ("search_pin", f"{PINS}/pin_1", {}),
        ("search_pin", f"{PINS}/pin_1", {"headers": known}),
        ("replace_search_pin", f"{PINS}/pin_1", {"json": {**pin, "note": "x"}, "headers": match}),
        ("replace_search_pin", f"{PINS}/pin_1", {"json": pin}),
        ("delete_search_pin", f"{PINS}/pin_1", {"headers": match}),
        ("search_pin_events", f"{PINS}/pin_1/events", {}),
        ("search_pin_events", f"{PINS}/pin_9/events", {}),
        ("create_instrument", INSTRUMENTS, {"json": new, "headers": once}),
        ("create_instrument", INSTRUMENTS, {"json": new, "headers": once}),
        ("create_instrument", INSTRUMENTS, {"json": new}),
        ("create_instrument", INSTRUMENTS, {"json": {**new, "name": None}}),
        ("patch_instrument", f"{INSTRUMENTS}/ins_3", {"json": {"name": "M"}, "headers": match}),
        ("patch_instrument", f"{INSTRUMENTS}/ins_3", {"json": {"name": "M"}}),
        ("patch_instrument", f"{INSTRUMENTS}/ins_3", {"json": {}, "headers": {"If-Match": '"77"'}}),
        ("bulk_write", f"{INSTRUMENTS}/bulk", {"data": b"{}", "headers": ndjson}),
        ("bulk_write", f"{INSTRUMENTS}/bulk?atomic=false", {"data": b"{}", "headers": ndjson}),
        ("bulk_write", f"{INSTRUMENTS}/bulk", {"json": new}),
        ("delist_instrument", f"{INSTRUMENTS}/ins_3", {"headers": match}),
        ("delist_instrument", f"{INSTRUMENTS}/ins_3?effective_at=2020-01-01", {"headers": match}),
        ("create_profile", PROFILES, {"json": body, "headers": once}),
        ("create_profile", PROFILES, {"json": body, "headers": once}),
        ("create_profile", PROFILES, {"json": {**body, "name": "R"}, "headers": once}),
        ("create_profile", PROFILES, {"json": body}),
        ("create_profile", PROFILES, {"data": b"x"}),
        ("profiles", PROFILES, {}),
        ("profile", profile, {}),
        ("profile", profile, {"headers": known}),
        ("replace_profile", profile, {"json": {**body, "name": "S"}, "headers": match}),
        ("replace_profile", profile, {"json": body}),
        ("patch_profile", profile, {"json": {"selection": {"query": {"q": "x"}}}, "headers": match}),
        ("patch_profile", profile, {"json": {"status": "paused"}, "headers": match}),
        ("patch_profile", profile, {"json": {}, "headers": {"If-Match": '"77"'}}),
        ("edit_members", members, {"json": {"add": ["ins_1"]}, "headers": once}),
        ("edit_members", members, {"json": {"add": ["ins_1"]}, "headers": once}),
        ("edit_members", members, {"json": {"add": ["ins_2"], "remove": ["ins_1"], "atomic": False}}),
        ("edit_members", members, {"json": {"add": ["ins_2"]}}),
        ("edit_members", members, {"json": {"add": ["ins_1"]}, "headers": {"If-Match": '"77"'}}),
        ("edit_members", f"{profile}/instruments", {"json": {"add": ["ins_1"]}}),
        ("profile_instruments", members, {}),
        ("profile_instruments", f"{profile}/instruments", {}),
        ("profile_stream", f"{profile}/stream?last_event_id=x", {}),
        ("delete_profile", profile, {"headers": match}),
        ("profile_events", f"{profile}/events", {}),
        ("config", "/v1/admin/config", {}),
        ("config", "/v1/admin/config", {"headers": {"X-API-Key": "unknown"}}),
        ("live", "/health/live", {}),
        ("ready", "/health/ready", {}),
        ("metrics", "/metrics", {}),
        ("openapi", "/openapi.json", {}),
        ("openapi", "/openapi.json", {"headers": known}),
        ("caller", "/v1/caller", {}),
        ("caller", "/v1/caller", {"headers": {"X-API-Key": "unknown"}}),
        ("console", "/", {}),
        ("console", "/", {"headers": known}),
        ("docs", "/docs", {}),
        ("asset", f"/assets/{VERSION}/icon.svg", {}),
        ("asset", f"/assets/{VERSION}/main.js", {"headers": known}),
        ("asset", f"/assets/{VERSION}/no.js", {}),
    ]
    endpoints = {endpoint.name: endpoint for endpoint in ENDPOINTS}
    seen = await answers_to(requests, api, description)
    async with api.get(f"{PROFILES}/{listed}/stream", headers=KEY) as response:
        async with api.delete(f"{PROFILES}/{listed}", headers={**KEY, **match}) as deleted:
            assert deleted.status == HTTPStatus.NO_CONTENT
        await check(description, endpoints["profile_stream"], response)  # to its end, which that was
        seen.add(("profile_stream", response.status))
    assert {answer for answer in promised() if "index" not in answer[0]} <= seen


async def test_answers_about_the_index_are_as_described(
    database_url: str, redis_url: str, database: Connection
) -> None:
    """Without an indexer, so that jobs wait."""
    index, job = "/v1/admin/index", "/v1/admin/index/jobs/1"
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("index", index, {}),
        ("rebuild_index", f"{index}/rebuild", {}),
        ("rebuild_index", f"{index}/rebuild", {}),
        ("index_jobs", f"{index}/jobs", {}),
        ("index_job", job, {}),
        ("index_job", f"{index}/jobs/9", {}),
        ("cancel_index_job", job, {}),
        ("cancel_index_job", job, {}),
        ("roll_back_index", f"{index}/rollback", {}),
    ]
    await add_key(database_url, owner="fuzzer", scopes=(INDEX_ADMIN,), secret_sha256=key_hash("fuzzer"))
    async with running_api(database_url, redis_url) as api:
        seen = await answers_to(requests, api, await get_json(api, "/openapi.json"))
    assert {answer for answer in promised() if "index" in answer[0]} <= seen


async def answers_to(
    requests: list[tuple[str, str, dict[str, Any]]], api: Client, description: Description
) -> set[tuple[str, int]]:
    """The endpoints and statuses of these requests, whose answers are as described."""
    endpoints = {endpoint.name: endpoint for endpoint in ENDPOINTS}
    seen = set()
    for name, path, options in requests:
        headers = {**KEY, **options.pop("headers", {})}
        async with api.request(endpoints[name].method, path, headers=headers, **options) as response:
            await check(description, endpoints[name], response)
            seen.add((name, response.status))
    return seen


async def test_a_service_without_its_servers_answers_as_described() -> None:
    (ready,) = (endpoint for endpoint in ENDPOINTS if endpoint.name == "ready")
    async with running_api("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1") as api:
        description = await get_json(api, "/openapi.json")
        async with api.get("/health/ready") as response:
            assert response.status == HTTPStatus.SERVICE_UNAVAILABLE
            await check(description, ready, response)


async def test_the_query_fields_are_those_that_are_read(api: Client, description: Description) -> None:
    """A parser names what it knows when it meets anything else."""
    profile = await created_profile(api)
    for endpoint in ENDPOINTS:
        operation = description["paths"][endpoint.path][endpoint.method.lower()]
        described = [
            parameter["name"] for parameter in operation["parameters"] if parameter.get("in") == "query"
        ]
        path = endpoint.path.replace("{id}", profile if PROFILES in endpoint.path else "ins_1")
        path = path.replace("{alias}", "x")
        body: dict[str, Any] = {}
        if endpoint.body is not None:
            body = {"data": b"{}", "headers": {"Content-Type": endpoint.media_types[0]}}
        headers = {**KEY, **body.pop("headers", {})}
        async with api.request(endpoint.method, f"{path}?nosuch=1", headers=headers, **body) as response:
            refusal = await response.text()
        if described:
            assert f'known are {", ".join(described)}"' in refusal
        else:
            assert "nosuch" not in refusal, endpoint.name


def promised() -> set[tuple[str, int]]:
    """Every endpoint with every status below 400 that it may answer."""
    return {
        (endpoint.name, answer.status.value)
        for endpoint in ENDPOINTS
        for answer in endpoint.answers
        if answer.status < HTTPStatus.BAD_REQUEST
    }


def answered() -> dict[tuple[str, int], float]:
    """How often this process gave each promised answer, but for streams, whose time is not measured."""
    endpoints = {endpoint.name: endpoint for endpoint in ENDPOINTS if not endpoint.is_stream}
    counted = {}
    for name, status in promised():
        if (endpoint := endpoints.get(name)) is None:
            continue
        labels = {"method": endpoint.method, "route": endpoint.path, "status": str(status)}
        counted[name, status] = REGISTRY.get_sample_value("registry_http_request_seconds_count", labels) or 0
    return counted


async def test_fuzzing_finds_nothing(api: Client, tmp_path: Path) -> None:
    """schemathesis, in a process of its own: what it makes of the description, right and wrong."""
    known, victim = await created_profile(api), await created_profile(api, name="victim")
    listed = await created_profile(api, name="listed", selection={"instruments": ["ins_1"]})
    pin, pin_victim = await created_pin(api, "pin"), await created_pin(api, "victim")
    before = answered()
    url = api._base_url
    assert url is not None
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("schemathesis"), "--no-color"),
        *("--config-file", Path(__file__).with_name("fuzz.toml")),
        *("run", str(url.with_path("/openapi.json")), "--max-examples", EXAMPLES, "--seed", SEED),
        cwd=tmp_path,
        env={
            **os.environ,
            "FUZZ_PROFILE": known,
            "FUZZ_VICTIM": victim,
            "FUZZ_LISTED": listed,
            "FUZZ_PIN": pin,
            "FUZZ_PIN_VICTIM": pin_victim,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(FUZZ_TIMEOUT_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    # The first two only while a job runs, and while none does; no generator makes bodies of the last's type.
    chance = {
        ("cancel_index_job", HTTPStatus.ACCEPTED),
        ("roll_back_index", HTTPStatus.ACCEPTED),
        ("bulk_write", HTTPStatus.OK),
    }
    missed = [answer for answer, times in answered().items() if times == before[answer]]
    missed = [answer for answer in missed if answer not in chance]
    assert not missed, f"fuzzing never got {missed}"


async def test_it_is_sent_again_only_when_it_changed(api: Client) -> None:
    async with api.get("/openapi.json") as first:
        tag = first.headers["ETag"]
    async with api.get("/openapi.json", headers={"If-None-Match": tag}) as again:
        assert (again.status, await again.read()) == (HTTPStatus.NOT_MODIFIED, b"")
    async with api.get("/openapi.json", headers={"If-None-Match": '"other"'}) as other:
        assert other.status == HTTPStatus.OK
