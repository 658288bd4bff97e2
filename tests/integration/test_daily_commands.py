"""`search`, `lookup` and `profile` as people and their scripts use them, against the running service."""

import asyncio
import contextlib
import json
import os
import pty
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from app.auth.api_keys import key_hash
from app.cli import cli
from app.commands.running_service import ask
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
        ("profile edit P --without limit", ("--without", "asset_class")),
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

    (tmp_path / "list.txt").write_text("# a comment\n  # another\nAAPL\n\nRED\n")
    shown = await run("lookup", "--file", "list.txt", "--mic", "XNAS")
    assert "US0378331005" in shown.output and "RED: nothing found" in shown.messages
    assert shown.messages.count("nothing found") == 1, "comments are not looked up"
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


async def test_options_that_mean_nothing_any_more_go_with_the_edit(run: Run) -> None:
    created = await run(
        *("profile", "create", "P", "--instrument", "ins_1", "--mode", "conflated", "--interval-ms", "250"),
        *("--channel", "bars", "--channel", "book", "--bar-interval", "1m", "--book-depth", "5"),
    )
    assert created.status == 0, created
    streaming = await run("profile", "edit", "P", "--mode", "streaming", "--json")
    assert json.loads(streaming.output)["delivery"] == {
        "mode": "streaming",
        "bar_interval": "1m",
        "book_depth": 5,
    }
    bars = await run("profile", "edit", "P", "--channel", "bars", "--json")
    assert json.loads(bars.output)["delivery"] == {"mode": "streaming", "bar_interval": "1m"}
    contradiction = await run("profile", "edit", "P", "--interval-ms", "100")
    assert_refused(contradiction, "delivery.interval_ms")


async def test_a_profile_by_query_is_shown_and_edited(run: Run) -> None:
    assert (await run("profile", "create", "Q", "--query", "apple", "--mic", "XFRA")).status == 0
    shown = json.loads((await run("profile", "show", "Q", "--limit", "1", "--json")).output)
    assert shown["selection"]["query"] == {"q": "apple", "mic": ["XFRA"], "status": ["active"]}
    assert len(shown["resolved"]["instruments"]) == 1 and shown["resolved"]["total"] == 2
    people = await run("profile", "show", "Q", "--limit", "1")
    assert "1 of 2 instruments; --limit shows more, --all the whole list" in people.messages
    everything = await run("profile", "show", "Q", "--all", "--json")
    assert {one["symbol"] for one in lines(everything)} == {"APC.F", "RED"}
    assert (await run("profile", "show", "Q", "--all")).output.count("XFRA") >= 2

    edited = await run("profile", "edit", "Q", "--asset-class", "etf", "--without", "query", "--json")
    assert json.loads(edited.output)["selection"]["query"] == {
        "asset_class": ["etf"],
        "mic": ["XFRA"],
        "status": ["active"],
    }
    assert_refused(await run("profile", "edit", "Q", "--add", "ins_1"), "saved search")
    assert (await run("profile", "create", "L", "--instrument", "ins_1")).status == 0
    assert_refused(await run("profile", "edit", "L", "--mic", "XNAS"), "--add")
    deleted = await run("profile", "delete", "L", "--yes", "--json")
    assert json.loads(deleted.output)["deleted"] and json.loads(deleted.output)["id"].startswith("prf_")


async def test_long_lists_have_one_head_and_show_how_far_they_are(
    run: Run, service: dict[str, str], tmp_path: Path, import_instruments: Import, indexer: WaitLevel
) -> None:
    bonds = [{"symbol": f"B{n}", "name": "Bond", "asset_class": "bond", "mic": "XFRA"} for n in range(250)]
    await import_instruments(bonds)
    await indexer()
    shown = (await run("search", "--all", "--asset-class", "bond", "--sort", "symbol")).output.splitlines()
    assert len(shown) == 251 and sum("symbol" in line for line in shown) == 1
    assert {line.index("XFRA") for line in shown[1:]} == {shown[0].index("venue")}
    none = (await run("search", "--all", "--asset-class", "future")).output.splitlines()
    assert len(none) == 1 and "symbol" in none[0]

    (tmp_path / "list.txt").write_text("B7\n" * 2500)
    for command in ("search --all --json --asset-class bond", "lookup --file list.txt --json"):
        total = "250/250" if command.startswith("search") else "2500/2500"
        assert total in await shown_on_a_terminal(*command.split(), folder=tmp_path, **service)
        assert (await run(*command.split())).messages == "", "elsewhere there is no bar"


async def shown_on_a_terminal(*arguments: str, folder: Path, **variables: str) -> str:
    """What a command that succeeds shows on a standard error that is a terminal."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=theirs,
        cwd=folder,
        env={**clean_environment(), "TERM": "xterm", **variables},
    )
    os.close(theirs)
    async with asyncio.timeout(WAIT_S):
        shown = await asyncio.to_thread(_read_all, ours)
        assert await process.wait() == 0, shown
    return shown


def _read_all(terminal: int) -> str:
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while part := os.read(terminal, 1 << 16):
            shown += part
    os.close(terminal)
    return shown.decode()


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


@pytest.mark.parametrize("content", [b"", b"[]", b'{"api_url": "http://127.0.0.1:8080"}', b"\xff"])
async def test_a_demos_file_that_cannot_be_used_takes_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data/connection.json").write_bytes(content)
    assert_refused(await run_command("search", folder=tmp_path), "connection.json", "--url")


def test_an_error_of_ours_is_not_told_as_one_of_the_url() -> None:
    async def work(_: object) -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        ask("http://127.0.0.1:8080", None, work)
