"""Traces as a collector gets them: the caller's own for each request, with what servers were asked in it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from aiohttp import ClientSession, web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.system import System
from tests.integration.conftest import Import, WaitLevel, eventually
from tests.integration.openid import AUDIENCE, ISSUER, RSA_KEY, jwk, signed

CALLER: Final = "00f067aa0ba902b7"
"""The span of whoever calls."""


@dataclass(slots=True)
class Collector:
    """Takes spans as OpenTelemetry's own collector does; publishes keys as an OpenID provider does."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)
    asked_for_keys: list[str | None] = field(default_factory=list)
    """The trace contexts that came with it."""

    async def take(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest()
        message.ParseFromString(await request.read())
        for of_resource in message.resource_spans:
            self.resources.append(
                {one.key: one.value.string_value for one in of_resource.resource.attributes}
            )
            for of_scope in of_resource.scope_spans:
                self.spans += of_scope.spans
        return web.Response()

    async def publish(self, request: web.Request) -> web.Response:
        self.asked_for_keys.append(request.headers.get("traceparent"))
        return web.json_response({"keys": [jwk(RSA_KEY, "rsa")]})

    async def trace(self, number: int, *names: str) -> dict[str, Any]:
        """The spans of a trace by name, once all of `names` are there."""

        def found() -> dict[str, Any]:
            return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id(number)}

        async def are_there() -> bool:
            return set(names) <= set(found())

        try:
            await eventually(are_there)
        except TimeoutError:
            pytest.fail(f"{names} are not all among {sorted(found())}")
        return found()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    app.router.add_get("/keys", collector.publish)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield collector
    await runner.cleanup()


def trace_id(number: int) -> str:
    return f"{number:032x}"


def context_of(number: int, *, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id(number)}-{CALLER}-0{int(sampled)}"}


def attributes_of(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


async def test_a_request_is_one_trace_from_its_caller_to_the_servers(
    database_url: str,
    redis_url: str,
    indexer: WaitLevel,
    import_instruments: Import,
    collector: Collector,
    tmp_path: Path,
) -> None:
    await import_instruments([{"symbol": "AAA", "name": "Alpha", "asset_class": "equity", "mic": "XNAS"}])
    await indexer()
    system = System(
        tmp_path,
        database_url,
        redis_url,
        tracing="true",
        jwks_url=f"{collector.url}/keys",
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
    )
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    try:
        api = await system.start_api(variables)
        async with ClientSession(api.base_url) as client:
            search = "/v1/instruments/search?q=alpha&mic=XNAS"
            async with client.get(search, headers=context_of(1)) as response:
                (hit,) = (await response.json())["hits"]
            async with client.get(search, headers=context_of(2, sampled=False)) as response:
                assert response.status == 200
            fresh = {**context_of(3), "Cache-Control": "no-cache"}
            async with client.get(f"/v1/instruments/{hit['id']}", headers=fresh) as response:
                assert response.status == 200
            bearer = {**context_of(4), "Authorization": f"Bearer {signed(scope='instruments:read')}"}
            async with client.get(search, headers=bearer) as response:
                assert response.status == 200
            async with client.get("/nothing/here", headers=context_of(5)) as response:
                assert response.status == 404
        await _check_traces(collector)
    finally:
        system.stop()
    requests = [
        line
        for line in map(orjson.loads, api.child.log.read_bytes().splitlines())
        if line["event"] == "request" and line["route"] != "/health/live"
    ]
    assert [line["trace_id"] for line in requests] == [trace_id(number) for number in (1, 2, 3, 4, 5)]
    shown = b"".join(span.SerializeToString() for span in collector.spans)
    assert b"alpha" not in shown and b"AAA" not in shown


async def _check_traces(collector: Collector) -> None:
    route = "GET /v1/instruments/search"
    spans = await collector.trace(1, route, "PIPELINE FT.SEARCH", "EVALSHA")
    (served, searched, counted) = (spans[name] for name in (route, "PIPELINE FT.SEARCH", "EVALSHA"))
    assert served.parent_span_id.hex() == CALLER
    assert (
        attributes_of(served).items()
        >= {
            "http.route": "/v1/instruments/search",
            "http.response.status_code": 200,
            "registry.principal": "anonymous",
        }.items()
    )
    for inner in (searched, counted):
        assert inner.parent_span_id == served.span_id
        assert attributes_of(inner)["db.system.name"] == "redis"
        assert served.start_time_unix_nano <= inner.start_time_unix_nano
        assert inner.end_time_unix_nano <= served.end_time_unix_nano

    route = "GET /v1/instruments/{id}"
    spans = await collector.trace(3, route, "instruments.one")
    asked = spans["instruments.one"]
    assert asked.parent_span_id == spans[route].span_id
    assert attributes_of(asked)["db.system.name"] == "postgresql"
    assert "$1" in attributes_of(asked)["db.query.text"]

    spans = await collector.trace(4, "GET /v1/instruments/search", "GET")
    assert collector.asked_for_keys[-1] == f"00-{trace_id(4)}-{spans['GET'].span_id.hex()}-01"

    await collector.trace(5, "GET unmatched")
    traces = {span.trace_id.hex() for span in collector.spans}
    assert trace_id(2) not in traces, "its caller does not want it kept"
    roots = {span.name for span in collector.spans if not span.parent_span_id}
    assert roots == {"GET /health/live"}, "what is done for nobody's request has no trace"
    assert collector.resources[0]["service.name"] == "instrument-registry"


async def test_a_collector_that_is_away_harms_nobody(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    system = System(tmp_path, database_url, redis_url, tracing="true")
    try:
        away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        api = await system.start_api(away)
        async with ClientSession(api.base_url) as client:
            for _ in range(20):
                async with client.get("/health/live") as response:
                    assert response.status == 200
        api.child.process.terminate()
        assert await asyncio.to_thread(api.child.process.wait, 20) == 0
    finally:
        system.stop()


def test_nothing_of_it_is_there_where_it_is_off() -> None:
    script = (
        "import sys, app.supervision.worker, app.main; from app.hooks import NO_HOOKS; "
        "from app.store.redis_line import RedisLine; "
        "assert NO_HOOKS.line is RedisLine and NO_HOOKS.around_requests is None; "
        # redis-py looks whether it is installed, and so imports some of it.
        "print({'app.tracing', 'opentelemetry.exporter', 'opentelemetry.sdk.trace'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "set()"


def test_a_service_without_the_extra_says_how_to_get_it() -> None:
    script = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from app.supervision.worker import _open_tracing\n"
        "from app.environment import SettingsError\n"
        "try: _open_tracing()\n"
        "except SettingsError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "REGISTRY_TRACING" in result.stdout and "instrument-registry[tracing]" in result.stdout
