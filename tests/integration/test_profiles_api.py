"""Profiles over HTTP: statuses, headers, preconditions, retries, and a clear problem for each bad input."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app.auth.api_keys import key_hash
from app.domain.access import PROFILES_ADMIN, PROFILES_READ, PROFILES_WRITE
from app.store.api_keys import add_key
from app.store.postgres import Connection
from tests.integration.conftest import Client, eventually, running_api

PATH = "/v1/subscription-profiles"
BOTH = (PROFILES_READ, PROFILES_WRITE)
ALICE, BOB, OPS, READER = ({"X-API-Key": name} for name in ("alice", "bob", "ops", "reader"))
JSON = {"Content-Type": "application/json"}
GOOD: dict[str, Any] = {"name": "P", "channels": ["trades"], "selection": {"instruments": ["ins_1", "ins_2"]}}


def nested(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


@pytest.fixture
async def api(database_url: str, database: Connection, redis_url: str) -> AsyncIterator[Client]:
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, 'N', 'equity' FROM generate_series(1, 3) AS n"
    )
    for owner, scopes in (
        ("alice", BOTH),
        ("bob", BOTH),
        ("ops", (*BOTH, PROFILES_ADMIN)),
        ("reader", (PROFILES_READ,)),
    ):
        await add_key(database_url, owner=owner, scopes=scopes, secret_sha256=key_hash(owner))
    async with running_api(
        database_url, redis_url, max_profile_members=2, max_request_bytes=50_000
    ) as client:
        yield client


async def call(
    api: Client, method: str, path: str, key: dict[str, str] = ALICE, **options: Any
) -> tuple[int, Any, Any]:
    """Status, headers and JSON of an answer."""
    headers = {**key, **options.pop("headers", {})}
    async with api.request(method, path, headers=headers, **options) as response:
        content = await response.json(content_type=None) if await response.read() else None
        return response.status, response.headers, content


async def created(api: Client, **changes: Any) -> str:
    status, headers, content = await call(api, "POST", PATH, json={**GOOD, **changes})
    assert status == 201, content
    assert headers["Location"] == f"{PATH}/{content['id']}"
    return str(headers["Location"])


async def test_a_profile_lives_its_life(api: Client) -> None:
    status, headers, profile = await call(api, "POST", PATH, json=GOOD)
    assert (status, headers["ETag"]) == (201, '"1"')
    assert profile["selection"] == GOOD["selection"] and profile["owner"] == "key:alice"
    path = headers["Location"]
    assert (await call(api, "GET", path))[2] == profile
    assert (await call(api, "GET", path, headers={"If-None-Match": '"1"'}))[0] == 304
    replaced = {**GOOD, "name": "Q", "selection": {"query": {"asset_class": "etf"}}}
    status, headers, profile = await call(api, "PUT", path, json=replaced, headers={"If-Match": '"1"'})
    assert (status, headers["ETag"], profile["instrument_count"]) == (200, '"2"', None)
    status, _, profile = await call(
        api, "PATCH", path, json={"status": "paused", "description": "x"}, headers={"If-Match": '"1", "2"'}
    )
    assert (status, profile["status"], profile["name"], profile["version"]) == (200, "paused", "Q", 3)
    assert (await call(api, "DELETE", path, headers={"If-Match": '"3"'}))[0] == 204
    assert (await call(api, "GET", path))[0] == 404
    events = (await call(api, "GET", f"{path}/events"))[2]["events"]
    assert [event["kind"] for event in events] == ["deleted", "updated", "updated", "created"]
    assert events[1]["detail"]["changes"]["status"] == {"from": "active", "to": "paused"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_writes_need_the_version_that_was_read(api: Client, method: str) -> None:
    path = await created(api)
    body = {} if method == "DELETE" else {"json": GOOD}
    assert (await call(api, method, path, **body))[0] == 428
    for stale in ('"7"', 'W/"1"', '"7", "8"', '"7,"', ' "7" ,"1,"'):
        status, headers, _ = await call(api, method, path, headers={"If-Match": stale}, **body)
        assert (status, headers["ETag"]) == (412, '"1"')
    assert (await call(api, "GET", path))[2]["version"] == 1


@pytest.mark.parametrize("given", ["1", '"1', '"1" "2"', "", "abc"])
async def test_what_is_no_entity_tag_is_refused_by_name(api: Client, given: str) -> None:
    path = await created(api)
    status, _, problem = await call(api, "PATCH", path, json={"name": "N"}, headers={"If-Match": given})
    assert (status, problem["errors"][0]["field"]) == (400, "If-Match")


async def test_a_retry_is_answered_as_before(api: Client) -> None:
    once = {"Idempotency-Key": "k1"}
    first = await call(api, "POST", PATH, json=GOOD, headers=once)
    again = await call(api, "POST", PATH, json=GOOD, headers=once)
    assert first[0] == again[0] == 201 and first[2] == again[2]
    assert first[1]["Location"] == again[1]["Location"]
    assert "Idempotent-Replayed" not in first[1] and again[1]["Idempotent-Replayed"] == "true"
    assert (await call(api, "POST", PATH, json={**GOOD, "name": "Z"}, headers=once))[0] == 422
    assert (await call(api, "POST", PATH, BOB, json=GOOD, headers=once))[0] == 201
    assert (await call(api, "POST", PATH, json=GOOD, headers={"Idempotency-Key": "x" * 256}))[0] == 400


async def test_owners_see_their_own(api: Client) -> None:
    path = await created(api)
    for suffix in ("", "/events"):
        mine, missing = (
            await call(api, "GET", path + suffix, BOB),
            await call(
                api, "GET", f"{PATH}/prf_{hashlib.md5(b'', usedforsecurity=False).hexdigest()}{suffix}", BOB
            ),
        )
        assert mine[0] == missing[0] == 404
        assert mine[2]["detail"].split("prf_")[0] == missing[2]["detail"].split("prf_")[0]
        assert (await call(api, "GET", path + suffix, OPS))[0] == 200
    assert (await call(api, "DELETE", path, BOB, headers={"If-Match": "*"}))[0] == 404
    assert (await call(api, "GET", PATH, BOB))[2]["profiles"] == []
    assert (await call(api, "GET", f"{PATH}?owner=key:alice", BOB))[2]["profiles"] == []
    assert len((await call(api, "GET", f"{PATH}?owner=key:alice", OPS))[2]["profiles"]) == 1
    assert (await call(api, "POST", PATH, READER, json=GOOD))[0] == 403
    assert (await call(api, "POST", PATH, {}, json=GOOD))[0] == 401


async def test_lists_are_paged(api: Client) -> None:
    paths = [await created(api, name=f"P{n}") for n in range(5)]
    seen, cursor = [], ""
    while True:
        page = (await call(api, "GET", f"{PATH}?limit=2{cursor}"))[2]
        seen += [f"{PATH}/{profile['id']}" for profile in page["profiles"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == paths


@pytest.mark.parametrize(
    ("options", "status", "field"),
    [
        ({"json": {**GOOD, "channels": ["news"]}}, 400, "channels[0]"),
        ({"json": {**GOOD, "selection": {}}}, 400, "selection"),
        (
            {"json": {**GOOD, "selection": {"instruments": ["ins_1", "ins_9"]}}},
            400,
            "selection.instruments[1]",
        ),
        ({"json": {**GOOD, "selection": {"instruments": ["ins_1"] * 3}}}, 400, "selection.instruments"),
        ({"json": {**GOOD, "selection": {"query": {"x": "1"}}}}, 400, "selection.query.x"),
        ({"json": {**GOOD, "name": "taken"}}, 409, "name"),
        ({"json": {**GOOD, "selection": {"query": dict.fromkeys(map(str, range(1001)))}}}, 400, "body"),
        ({"data": b"[" * 2000, "headers": {"Content-Type": "application/json"}}, 400, "body"),
        ({"json": {**GOOD, "name": nested(32)}}, 400, "body"),
        ({"json": {**GOOD, "name": nested(31)}}, 400, "name"),
        ({"data": b'{"name":"\xff"}', "headers": {"Content-Type": "application/json"}}, 400, "body"),
        ({"data": b"no", "headers": {**JSON, "Content-Encoding": "gzip"}}, 400, "body"),
        ({"data": b"no", "headers": {**JSON, "Content-Encoding": "br"}}, 400, "body"),
        ({"data": b"", "headers": {"Content-Type": "application/json"}}, 400, "body"),
        ({"data": b"x" * 100_000, "headers": {"Content-Type": "application/json"}}, 413, None),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, None),
    ],
)
async def test_bad_input_is_a_clear_problem(
    api: Client, options: dict[str, Any], status: int, field: str | None
) -> None:
    await created(api, name="taken")
    answered, headers, problem = await call(api, "POST", PATH, **options)
    assert (answered, headers["Content-Type"]) == (status, "application/problem+json")
    assert [error["field"] for error in problem.get("errors", [])] == ([field] if field else [])
    assert len((await call(api, "GET", PATH))[2]["profiles"]) == 1


async def test_a_caller_who_leaves_is_no_defect_of_ours(api: Client) -> None:
    def refused(status: int) -> float:
        labels = {"method": "POST", "route": PATH, "status": str(status)}
        return REGISTRY.get_sample_value("registry_http_request_seconds_count", labels) or 0

    refused_before, failed_before = refused(400), refused(500)
    base = api._base_url
    assert base is not None and base.host and base.port
    reader, writer = await asyncio.open_connection(base.host, base.port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-API-Key: alice\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 50\r\n\r\n{{".encode())
    async with asyncio.timeout(5):
        assert b"100 Continue" in await reader.readline()
    writer.close()

    async def is_refused() -> bool:
        return refused(400) > refused_before

    await eventually(is_refused)
    assert refused(500) == failed_before


@pytest.mark.parametrize(
    "query", ["status=asleep", "cursor=%00", "cursor=AAAA", "owner=%00", "limit=0", "x=1"]
)
async def test_bad_lists_are_refused_by_field(api: Client, query: str) -> None:
    status, _, problem = await call(api, "GET", f"{PATH}?{query}", OPS)
    assert (status, problem["errors"][0]["field"]) == (400, query.partition("=")[0])
