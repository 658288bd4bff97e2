"""`search`, `lookup` and `profile` as people and their scripts use them, against the running service."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from app.auth.api_keys import key_hash
from app.cli import cli
from app.domain.access import INSTRUMENTS_READ, PROFILES_READ, PROFILES_WRITE
from app.embedded.children import free_port
from app.store.api_keys import add_key
from tests.integration.conftest import WAIT_S, Client, Import, WaitLevel
from tests.integration.test_cli import Finished, Run, assert_refused, clean_environment, run_command

KEY = "alice"
ROWS: list[dict[str, Any]] = [
    {
        "symbol": "AAPL",
        "name": "Apple Inc.",
        "asset_class": "equity",
        "mic": "XNAS",
        "isin": "US0378331005",
        "currency": "USD",
    },
    {"symbol": "APC.F", "name": "Apple Inc.", "asset_class": "equity", "mic": "XFRA", "isin": "US0378331005"},
    {
        "symbol": "RED",
        "name": "Golden Apple \x1b[31m",
        "asset_class": "etf",
        "mic": "XFRA",
        "currency": "EUR",
    },
]


@pytest.fixture
async def service(
    api: Client, database_url: str, import_instruments: Import, indexer: WaitLevel
) -> dict[str, str]:
    """What tells commands of the running service."""
    await import_instruments(ROWS)
    await indexer()
    scopes = (INSTRUMENTS_READ, PROFILES_READ, PROFILES_WRITE)
    await add_key(database_url, owner="alice", scopes=scopes, secret_sha256=key_hash(KEY))
    return {"REGISTRY_URL": str(api._base_url), "REGISTRY_API_KEY": KEY, "COLUMNS": "200"}


@pytest.fixture
def run(service: dict[str, str], tmp_path: Path) -> Run:
    async def run_here(*arguments: str) -> Finished:
        return await run_command(*arguments, folder=tmp_path, **service)

    return run_here


def lines(finished: Finished) -> list[Any]:
    """The JSON in each line of a command that succeeded."""
    assert finished.status == 0, finished
    return [orjson.loads(line) for line in finished.output.splitlines()]


async def test_searches_for_people_and_for_machines(run: Run) -> None:
    shown = await run("search", "golden", "apple", "--facet", "mic")
    assert shown.status == 0, shown
    assert "RED" in shown.output and "Golden Apple \\x1b[31m" in shown.output, "no colours of the data's own"
    assert "XFRA" in shown.output and "1 of 1" in shown.messages

    page = json.loads((await run("search", "apple", "--mic", "XNAS", "--limit", "1", "--json")).output)
    assert [hit["symbol"] for hit in page["hits"]] == ["AAPL"] and page["total"] == 1
    everything = await run("search", "--all", "--json", "--sort", "symbol", "--asset-class", "equity")
    assert [hit["symbol"] for hit in lines(everything)] == ["AAPL", "APC.F"]


async def test_errors_are_one_line_with_the_next_step(run: Run) -> None:
    assert_refused(await run("search", "--mic", "NOPE!"), "mic")
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert_refused(await run("search", "--url", nowhere), nowhere, "REGISTRY_URL")
    assert_refused(await run("profile", "list", "--key", "wrong"), "--key", "keys create")
    assert_refused(await run("profile", "show", "nobody's"), "profile list")


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("search --url nonsense", ("--url", "http://127.0.0.1:8080")),
        ("search --all --facet mic", ("--facet",)),
        ("profile create P", ("--instrument", "--query")),
        ("profile create P --instruments-from missing", ("--instruments-from", "missing")),
        ("profile edit P", ("--add", "--help")),
        ("profile delete P", ("--yes",)),
        ("lookup A --type isbn", ("--type", "share_class_figi")),
        ("lookup --file missing", ("--file", "missing")),
        ("lookup", ("--file",)),
    ],
)
def test_what_is_missing_is_told_before_anybody_is_asked(command: str, named: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, command.split(), input="")
    assert_refused(Finished(result.exit_code, result.stdout, result.stderr), *named)


def test_a_missing_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "instrument_registry_client", None)
    result = CliRunner().invoke(cli, ["search"])
    assert_refused(Finished(result.exit_code, result.stdout, result.stderr), "pip install ./clients/python")


async def test_lookups_tell_what_identifiers_are(run: Run, tmp_path: Path) -> None:
    asked = ("US0378331005", "AAPL", "symbol:RED", "ins_1", "037833100")
    finished = await run("lookup", *asked, "--json")
    found = [orjson.loads(line) for line in finished.output.splitlines()]
    assert [one["identifier"]["type"] for one in found] == ["isin", "symbol", "symbol", "id", "cusip"]
    assert [len(one["matches"]) for one in found] == [2, 1, 1, 1, 0]
    assert finished.status == 1, "one of them names nothing"

    (tmp_path / "list.txt").write_text("# a comment\nAAPL\n\nRED\n")
    shown = await run("lookup", "--file", "list.txt", "--mic", "XNAS")
    assert "US0378331005" in shown.output and "RED: nothing found" in shown.messages
    assert (await run("lookup", "US0378331006", "--currency", "USD")).messages.count("check digit") == 1


async def test_a_profile_from_its_creation_to_its_end(run: Run, service: dict[str, str]) -> None:
    created = await run("profile", "create", "Apples", "--instrument", "ins_1", "--channel", "bars")
    assert created.status == 0, created
    profile_id = created.output.strip()
    edited = await run(
        *("profile", "edit", "Apples", "--add", "ins_2", "--remove", "ins_1", "--state", "paused", "--json")
    )
    document = json.loads(edited.output)
    assert document["selection"] == {"instruments": ["ins_2"]} and document["status"] == "paused"
    members = await run("profile", "edit", profile_id, "--add", "ins_3")
    assert members.status == 0 and "paused" in members.output, members

    shown = await run("profile", "show", "Apples")
    assert "RED" in shown.output and "2 of 2 instruments" in shown.messages, shown
    listed = await run("profile", "list", "--state", "paused", "--json")
    assert [one["id"] for one in json.loads(listed.output)] == [profile_id]
    dynamic = await run("profile", "create", "Funds", "--asset-class", "etf", "--mode", "conflated", "--json")
    assert_refused(dynamic, "delivery.interval_ms")

    async with watching(service, profile_id) as events:
        assert (await events())["event"] == "ready"
        assert (await run("profile", "edit", profile_id, "--description", "x")).status == 0
        assert (await events())["changes"]["description"]["to"] == "x"
    told = await run("profile", "watch", profile_id, "--after", "0", "--limit", "2")
    assert "created" in told.output and len(told.output.splitlines()) == 2, told

    deleted = await run("profile", "delete", "Apples", "--yes")
    assert (deleted.status, deleted.output) == (0, f"{profile_id} is deleted.\n"), deleted
    assert (await run("profile", "list")).output.count("prf_") == 0


@contextlib.asynccontextmanager
async def watching(service: dict[str, str], profile_id: str) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """The next event of `profile watch`, which runs meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "profile", "watch", profile_id, "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={**clean_environment(), **service},
    )
    assert process.stdout is not None
    told = process.stdout

    async def following() -> Any:
        async with asyncio.timeout(WAIT_S):
            return orjson.loads(await told.readline())

    try:
        yield following
    finally:
        process.terminate()
        await process.communicate()


async def test_the_demo_that_runs_is_asked_with_its_key_which_goes_nowhere_else(
    service: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".data").mkdir()
    connection = {"api_url": service["REGISTRY_URL"], "api_key": KEY}
    (tmp_path / ".data/connection.json").write_bytes(orjson.dumps(connection))
    listed = await run_command("profile", "list", "--json", folder=tmp_path)
    assert (listed.status, listed.output) == (0, "[]\n"), listed
    named = await run_command("profile", "list", "--url", service["REGISTRY_URL"], folder=tmp_path)
    assert_refused(named, "REGISTRY_API_KEY")
