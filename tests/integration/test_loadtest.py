"""Load tests of a service that runs: what they leave behind, what they find, what they refuse."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.auth.api_keys import key_hash, new_key
from app.store.api_keys import add_key
from loadtests.run import Options, run
from loadtests.service import DISTURBING_SCOPES, USERS_SCOPES
from loadtests.shapes import SHAPES_FILE, LoadTestError
from tests.integration.conftest import Client, Import, WaitLevel, get_json
from tests.integration.test_cli import Finished, assert_refused, run_command

SHAPES = """
[users]
known_symbol = 1
typing = 1
browsing = 1
batch_lookup = 1
profiles = 1

[corpus]
instruments = 20
zipf_exponent = 1.0
seed = 1

[burst]
rate_per_s = 25
pacing_s = 0.2
warm_up_s = 3
seconds = 2
turn_s = 1

[burst.thresholds]
failed = 0
rate_ratio = 0.5
p95_above_bare_ms = 60000

[sustained]
rate_per_s = 25
pacing_s = 0.2
warm_up_s = 2
seconds = 3
disturb_every_s = 1
disturbed_s = 1

[sustained.thresholds]
failed = 0
p95_ms = 0.001
"""
ROWS = [
    {
        "symbol": f"LOAD{letter}",
        "name": f"Load {letter}",
        "asset_class": "equity",
        "mic": "XNYS",
        "currency": "USD",
    }
    for letter in "ABCDEFGHIJ"
]
PROJECT = Path(__file__).parents[2]
LoadTest = Callable[..., Awaitable[Finished]]


@pytest.fixture
async def key(database_url: str) -> str:
    return await key_with(database_url, *USERS_SCOPES, *DISTURBING_SCOPES)


async def key_with(database_url: str, *scopes: str) -> str:
    key = new_key()
    await add_key(
        database_url,
        owner="load",
        scopes=list(scopes),
        secret_sha256=key_hash(key),
        expires_at=None,
        requests_per_minute=None,
    )
    return key


@pytest.fixture
async def loadtest(
    api: Client, import_instruments: Import, indexer: WaitLevel, key: str, tmp_path: Path
) -> LoadTest:
    """Runs `loadtest ARGUMENTS` against the API, over ten instruments."""
    await import_instruments(ROWS)
    await indexer()
    (tmp_path / "shapes.toml").write_text(SHAPES)

    async def run_here(shape_name: str, *arguments: str) -> Finished:
        given = ("--url", url_of_client(api), "--shapes", "shapes.toml")
        variables = {"REGISTRY_LOAD_KEY": key, "PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
        return await run_command(
            shape_name, *given, *arguments, folder=tmp_path, module="loadtests", **variables
        )

    return run_here


def url_of_client(api: Client) -> str:
    return str(api._base_url).rstrip("/")


def options(url: str, key: str, **given: Any) -> Options:
    values: dict[str, Any] = {
        "shape_name": "burst",
        "url": url,
        "key": key,
        "factor": 1.0,
        "seconds": 1.0,
        "against_bare": False,
        "disturb": False,
        "corpus": None,
        "shapes": SHAPES_FILE,
        "processes": 1,
        "workers": 0,
        "pids": (),
    }
    return Options(**values | given)


def evidence_files(folder: Path) -> list[Path]:
    return list(folder.glob("load_test_*.json"))


def evidence_in(folder: Path, shape: str) -> tuple[dict[str, Any], str]:
    """The evidence that a run left, and its report."""
    [file] = evidence_files(folder)
    assert re.fullmatch(rf"load_test_{shape}_[0-9]{{10}}\.json", file.name)
    evidence: dict[str, Any] = orjson.loads(file.read_bytes())
    return evidence, file.with_suffix(".html").read_text()


@asynccontextmanager
async def stalling() -> AsyncIterator[None]:
    """The service stands still for most of the time."""

    async def stall() -> None:
        while True:
            time.sleep(0.6)  # noqa: ASYNC251 - nothing else can be done meanwhile: that is the point
            await asyncio.sleep(0.4)

    task = asyncio.create_task(stall())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_run_compares_with_the_bare_handler_and_leaves_its_evidence(
    loadtest: LoadTest, api: Client, key: str, tmp_path: Path
) -> None:
    async with stalling():
        finished = await loadtest("burst", "--against-bare")
    assert finished.status == 0, finished
    evidence, report = evidence_in(tmp_path, "burst")
    assert evidence["verdict"] == "passed" and "<svg" in report
    assert {one["name"] for one in evidence["thresholds"]} == {"failed", "rate_ratio", "p95_above_bare_ms"}
    service, bare = evidence["sides"]["service"], evidence["sides"]["bare"]
    assert service["by_request"].keys() == bare["by_request"].keys() >= {"search by symbol", "batch lookup"}
    assert service["errors"] == bare["errors"] == {}
    # Requests that could not be sent because the service stood still count their waiting.
    assert service["latency_ms"]["p50"] > 2 * service["sending_to_answer_ms"]["p50"]
    assert evidence["service"]["instruments"] == len(ROWS) and evidence["users"]["count"] == 5
    assert evidence["service"]["release"] == (await get_json(api, "/health/live"))["release"]
    assert evidence["machine"]["cores"] and evidence["commit"] and evidence["locust"]["version"]
    assert [one["pid"] for one in evidence["memory"]] == [os.getpid()]
    assert key not in orjson.dumps(evidence).decode() + report + finished.output + finished.messages
    async with api.get("/v1/subscription-profiles", headers={"X-API-Key": key}) as response:
        assert (await response.json())["profiles"] == []


async def test_missed_thresholds_fail_by_name_and_wrong_answers_count(
    loadtest: LoadTest, api: Client, tmp_path: Path
) -> None:
    """The index is disturbed meanwhile, and is as before afterwards."""
    hits = (await get_json(api, "/v1/instruments/search"))["hits"]
    lines = [orjson.dumps({**hit, "symbol": f"NOT{hit['symbol']}"}) for hit in hits]
    (tmp_path / "corpus.ndjson").write_bytes(b"\n".join(lines))
    finished = await loadtest("sustained", "--disturb", "--processes", "2", "--corpus", "corpus.ndjson")
    assert_refused(finished, "missed: failed is ", "p95_ms is ", "limit 0.001")
    evidence, report = evidence_in(tmp_path, "sustained")
    assert evidence["verdict"] == "missed" and 'class="missed"' in report
    assert evidence["sides"]["service"]["errors"].keys() == {
        "search by symbol: wrong answer",
        "batch lookup: wrong answer",
    }
    assert [one["kind"] for one in evidence["disturbances"]] == ["refresh", "rebuild"]
    hit = (await get_json(api, "/v1/instruments/search", q="LOADA"))["hits"][0]
    assert hit["attributes"] == {} and hit["version"] > 1


async def test_a_service_that_does_not_answer_takes_one_line(loadtest: LoadTest, tmp_path: Path) -> None:
    finished = await loadtest("burst", "--url", "http://127.0.0.1:9")
    assert_refused(finished, "--url", "http://127.0.0.1:9 does not answer")
    assert not evidence_files(tmp_path)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"url": "nonsense"}, ("--url", "nonsense")),
        ({"url": "http://127.0.0.1:8080/v1"}, ("--url", "http://127.0.0.1:8080/v1")),
        ({"key": "ir_wrong"}, ("REGISTRY_LOAD_KEY", "profiles:write")),
        ({"key": None}, ("REGISTRY_LOAD_KEY", "profiles:write")),
        ({"corpus": Path("nowhere.ndjson")}, ("--corpus", "nowhere.ndjson")),
        ({"shapes": Path("nowhere.toml")}, ("--shapes", "nowhere.toml")),
        ({"pids": [999_999_999]}, ("--pid", "999999999")),
        ({"disturb": True}, ("--disturb", "burst")),
    ],
)
async def test_what_cannot_be_used_is_refused_by_name(
    api: Client, key: str, given: dict[str, Any], named: tuple[str, ...]
) -> None:
    with pytest.raises(LoadTestError) as refused:
        await run(options(**{"url": url_of_client(api), "key": key, **given}))
    assert all(text in str(refused.value) for text in named), refused.value
    assert "\n" not in str(refused.value)


async def test_a_key_without_a_scope_is_refused_by_its_name(api: Client, database_url: str) -> None:
    reader = await key_with(database_url, *USERS_SCOPES)
    with pytest.raises(LoadTestError, match="instruments:write, index:admin"):
        await run(options(url_of_client(api), reader, shape_name="sustained", disturb=True))


async def test_a_service_without_instruments_is_refused(api: Client, key: str, indexer: WaitLevel) -> None:
    await indexer()
    with pytest.raises(LoadTestError, match="has no instruments"):
        await run(options(url_of_client(api), key))


async def test_what_is_no_registry_is_refused() -> None:
    async with TestServer(web.Application()) as server:
        with pytest.raises(LoadTestError, match="is that an instrument registry"):
            await run(options(str(server.make_url("/")).rstrip("/"), "ir_key"))


async def test_an_unknown_shape_is_refused(tmp_path: Path) -> None:
    finished = await run_command("trickle", folder=tmp_path, module="loadtests", PYTHONPATH=str(PROJECT))
    assert finished.status == 2 and "No such command 'trickle'" in finished.messages
