"""The command line as people and their scripts meet it: real processes, real servers."""

import asyncio
import contextlib
import csv
import hashlib
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import orjson
import pytest
from redis.asyncio import Redis
from typer.main import get_command
from typer.testing import CliRunner

from app.cli import cli
from app.domain.access import INDEX_ADMIN, INSTRUMENTS_READ, SCOPES
from app.domain.instrument import AssetClass
from app.domain.lookup import KINDS
from app.domain.profile import Channel
from app.domain.query import FILTERS
from app.embedded.children import free_port
from app.ingest.files import FORMATS
from app.parameters.definitions import Parameters
from app.search.generation import document_key
from app.store.index_state import read_live_state
from app.store.migrate import current_revision
from app.store.postgres import Connection
from indexer.cli import cli as indexer_cli
from loadtests.__main__ import cli as loadtest_cli
from tests.conftest import own_database, url_of
from tests.integration.conftest import Import, running_indexer

COMMAND_TIMEOUT_S = 30.0
CSV = """symbol,asset_class,name,mic
CLIA,equity,Command Line Apples,XNAS
CLIB,equity,Command Line Bananas,XNAS
CLIC,nonsense,Command Line Cherries,XNAS
"""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    status: int
    output: str
    messages: str


Run: TypeAlias = Callable[..., Awaitable[Finished]]


async def run_command(*arguments: str, folder: Path, module: str = "app.cli", **variables: str) -> Finished:
    """Run `instrument-registry ARGUMENTS` in `folder`, with `variables` and no other settings."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**clean_environment(), **variables},
    )
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            output, messages = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
    assert process.returncode is not None
    return Finished(process.returncode, output.decode(), messages.decode())


def clean_environment() -> dict[str, str]:
    parameters = {name.upper() for name in Parameters.model_fields}
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REGISTRY_", "TESTS_")) and name not in parameters
    }


def assert_refused(finished: Finished, *named: str, status: int = 1) -> None:
    """The command failed and said why in one line, at the end of its messages."""
    assert finished.status == status, finished
    assert "Traceback" not in finished.messages
    errors = [line for line in finished.messages.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, finished.messages
    assert finished.messages.splitlines()[-1] == errors[0]
    for text in named:
        assert text in errors[0]


@pytest.fixture
def run(database_url: str, redis_url: str, tmp_path: Path) -> Run:
    """Runs a command with the test's own servers in its environment."""

    async def run_here(*arguments: str, **options: str) -> Finished:
        variables = {"REGISTRY_DATABASE_URL": database_url, "REGISTRY_REDIS_URL": redis_url, **options}
        if arguments[0] != "indexer":
            return await run_command(*arguments, folder=tmp_path, **variables)
        # What the command replaces itself by, in half the time; the demo's tests go the long way.
        return await run_command(*arguments[1:], folder=tmp_path, module="indexer", **variables)

    return run_here


@pytest.fixture
async def empty_database_url() -> AsyncIterator[str]:
    """A database without any schema."""
    async with own_database() as url:
        yield url


def commands_of(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Every command below a group, as words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, *path, name)
        else:
            yield (*path, name)


def test_every_commands_help_shows_an_example() -> None:
    runner = CliRunner(env={"NO_COLOR": "1"})
    seen = set()
    for application, prefix in ((cli, ()), (indexer_cli, ("indexer",)), (loadtest_cli, ("loadtest",))):
        for words in commands_of(get_command(application)):
            if words in {("indexer",), ("loadtest",)}:  # handed over to the other applications
                continue
            result = runner.invoke(application, [*words, "--help"])
            assert result.exit_code == 0, result.output
            shown = " ".join(result.output.split())
            example = shown.partition("Example: ")[2]
            assert f"instrument-registry {' '.join((*prefix, *words))}" in example, shown
            seen.add((*prefix, *words))
    assert {("demo",), ("keys", "create"), ("indexer", "verify"), ("loadtest", "burst")} <= seen


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("keys create --scope ", SCOPES),
        ("import --format ", tuple(FORMATS)),
        ("search --facet ", FILTERS),
        ("search --asset-class ", tuple(AssetClass)),
        ("lookup --type ", KINDS),
        ("profile create P --channel ", tuple(Channel)),
        ("profile ", ("list", "show", "create", "edit", "delete", "watch")),
        ("indexer ", tuple(get_command(indexer_cli).commands)),  # type: ignore[attr-defined]
        ("loadtest ", tuple(get_command(loadtest_cli).commands)),  # type: ignore[attr-defined]
    ],
)
def test_the_shell_completes_choices(words: str, offered: tuple[str, ...]) -> None:
    asked = {
        "_INSTRUMENT_REGISTRY_COMPLETE": "complete_bash",
        "COMP_WORDS": f"instrument-registry {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    result = CliRunner(env=asked).invoke(cli, prog_name="instrument-registry")
    assert set(offered) == set(result.output.split()), result.output


async def test_commands_do_not_wait_for_what_others_import(tmp_path: Path) -> None:
    program = "import app.cli, sys; print({'app.main', 'sqlalchemy', 'aiohttp', 'redis'} & set(sys.modules))"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output == b"set()\n"


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("", ("demo", "migrate", "serve", "import", "indexer", "keys", "loadtest", "report", "rollout")),
        ("", ("search", "lookup", "profile", "config", "release", "release-evidence", "slo")),
        ("indexer", ("run", "refresh", "rebuild", "rollback", "status", "verify")),
        ("indexer verify", ("Example: instrument-registry indexer verify",)),
    ],
)
async def test_help_is_a_success(command: str, named: tuple[str, ...], tmp_path: Path) -> None:
    finished = await run_command(*command.split(), "--help", folder=tmp_path, NO_COLOR="1")
    assert finished.status == 0, finished
    for text in named:
        assert re.search(rf"^\W*{text}\b", finished.output, re.MULTILINE), text


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("nonsense", ("nonsense", "see instrument-registry --help")),
        ("search --limit 0", ("--limit", "see instrument-registry search --help")),
        ("search --sort best", ("--sort", "relevance", "see instrument-registry search --help")),
        ("keys create", ("--owner", "see instrument-registry keys create --help")),
        ("keys revoke first", ("ID", "integer", "see instrument-registry keys revoke --help")),
        ("profile edit", ("PROFILE", "see instrument-registry profile edit --help")),
        ("indexer verify --nope", ("--nope", "see instrument-registry indexer verify --help")),
        ("loadtest burst --factor 99", ("--factor", "see instrument-registry loadtest burst --help")),
    ],
)
async def test_a_command_given_wrongly_takes_one_line(
    command: str, named: tuple[str, ...], tmp_path: Path
) -> None:
    finished = await run_command(*command.split(), folder=tmp_path)
    assert_refused(finished, *named, status=2)
    assert len(finished.messages.splitlines()) == 1 and finished.output == "", finished


@pytest.mark.parametrize("command", ["", "keys", "indexer"])
async def test_without_a_command_the_help_is_shown(command: str, tmp_path: Path) -> None:
    finished = await run_command(*command.split(), folder=tmp_path)
    assert finished.status == 2 and "Usage: instrument-registry" in finished.output, finished
    assert finished.messages == ""


async def test_the_program_completes_words(tmp_path: Path) -> None:
    asked = {"COMP_WORDS": "instrument-registry keys re", "COMP_CWORD": "2"}
    completed = await run_command(folder=tmp_path, _INSTRUMENT_REGISTRY_COMPLETE="complete_bash", **asked)
    assert (completed.status, completed.output.split()) == (0, ["revoke"]), completed


async def test_migrate_fills_an_empty_database_and_does_nothing_more(
    empty_database_url: str, tmp_path: Path
) -> None:
    for _ in range(2):
        finished = await run_command("migrate", folder=tmp_path, REGISTRY_DATABASE_URL=empty_database_url)
        assert (finished.status, finished.output) == (0, "The schema is up to date.\n"), finished
    url = {"REGISTRY_DATABASE_URL": empty_database_url}
    told = await run_command("migrate", "--json", folder=tmp_path, **url)
    assert orjson.loads(told.output) == {"revision": await current_revision(empty_database_url)}, told
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM instruments") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize("command", ["keys list", "report quality"])
async def test_a_database_without_schema_points_to_migrate(
    command: str, empty_database_url: str, tmp_path: Path
) -> None:
    url = {"REGISTRY_DATABASE_URL": empty_database_url}
    finished = await run_command(*command.split(), folder=tmp_path, **url)
    assert_refused(finished, "instrument-registry migrate")


async def test_a_key_is_shown_once_and_stored_as_a_hash(run: Run, database: Connection) -> None:
    scopes = ("--scope", INSTRUMENTS_READ, "--scope", INDEX_ADMIN, "--scope", INSTRUMENTS_READ)
    limits = ("--expires-in-days", "2", "--requests-per-minute", "1234")
    created = await run("keys", "create", "--owner", "trading-desk", *scopes, *limits)
    assert created.status == 0, created
    key = created.output.strip()
    assert re.fullmatch(r"ir_[\w-]{43}", key)
    assert key not in created.messages

    (row,) = await database.fetch("SELECT * FROM api_keys")
    assert row["secret_sha256"] == hashlib.sha256(key.encode()).digest()
    assert (row["scopes"], row["requests_per_minute"]) == ([INSTRUMENTS_READ, INDEX_ADMIN], 1234)
    assert (row["expires_at"] - row["created_at"]).total_seconds() == pytest.approx(2 * 86_400, abs=60)
    assert key not in repr(tuple(row.values())) and key.removeprefix("ir_") not in repr(tuple(row.values()))

    await database.execute("UPDATE api_keys SET last_used_at = '2026-08-09 10:11:12Z'")
    listed = await run("keys", "list", COLUMNS="200")
    assert listed.status == 0, listed
    for text in ("trading-desk", INDEX_ADMIN, "1234", "2026-08-09 10:11Z"):
        assert text in listed.output
    (shown,) = orjson.loads((await run("keys", "list", "--json")).output)
    assert (shown["id"], shown["owner"], shown["last_used_at"]) == (
        row["id"],
        "trading-desk",
        "2026-08-09T10:11:12Z",
    )
    assert not any("secret" in name or "key" in name for name in shown)
    for secret in (key, key.removeprefix("ir_"), row["secret_sha256"].hex()):
        assert secret not in listed.output + listed.messages

    revoked = await run("keys", "revoke", str(row["id"]))
    assert (revoked.status, revoked.output) == (0, f"Key {row['id']} is revoked.\n"), revoked
    first = await database.fetchval("SELECT revoked_at FROM api_keys")
    assert first is not None
    again = await run("keys", "revoke", str(row["id"]), "--json")
    assert orjson.loads(again.output) == {"id": row["id"], "revoked": True}, again
    assert await database.fetchval("SELECT revoked_at FROM api_keys") == first


@pytest.mark.parametrize(
    ("lifetime", "overlap", "old_ends_after"),
    [
        (None, (), timedelta(hours=24)),
        (None, ("--overlap-hours", "0.5"), timedelta(minutes=30)),
        (None, ("--overlap-hours", "0"), timedelta()),
        (timedelta(hours=3), (), timedelta(hours=2)),
        (timedelta(hours=3), ("--overlap-hours", "1"), timedelta(hours=1)),
    ],
)
async def test_a_rotated_key_has_a_successor_and_ends_after_the_overlap(
    run: Run,
    database: Connection,
    lifetime: timedelta | None,
    overlap: tuple[str, ...],
    old_ends_after: timedelta,
) -> None:
    old_id = await database.fetchval(
        "INSERT INTO api_keys (owner, scopes, secret_sha256, requests_per_minute, created_at, expires_at) "
        "VALUES ('desk', $1, sha256('old'), 7, now() - interval '1 hour', now() - interval '1 hour' + $2) "
        "RETURNING id",
        [INSTRUMENTS_READ, INDEX_ADMIN],
        lifetime,
    )
    rotated = await run("keys", "rotate", str(old_id), *overlap)
    assert rotated.status == 0, rotated
    key = rotated.output.strip()
    old, new = await database.fetch("SELECT *, now() FROM api_keys ORDER BY id")
    assert new["secret_sha256"] == hashlib.sha256(key.encode()).digest()
    for same in ("owner", "scopes", "requests_per_minute"):
        assert new[same] == old[same]
    if lifetime is None:
        assert new["expires_at"] is None
    else:
        assert new["expires_at"] - new["created_at"] == lifetime
    ended_after = (old["expires_at"] - old["now"]).total_seconds()
    assert ended_after == pytest.approx(old_ends_after.total_seconds(), abs=30)
    assert old["revoked_at"] is None
    assert (
        f"Key {new['id']} for desk" in rotated.messages and f"{old['expires_at']:%H:%M}Z" in rotated.messages
    )


@pytest.mark.parametrize(("column", "word"), [("revoked_at", "was revoked"), ("expires_at", "expired")])
async def test_a_key_that_ended_is_not_rotated(
    run: Run, database: Connection, column: str, word: str
) -> None:
    key_id = await database.fetchval(
        f"INSERT INTO api_keys (owner, scopes, secret_sha256, {column}) "  # noqa: S608
        "VALUES ('desk', '{index:admin}', sha256('old'), now()) RETURNING id"
    )
    assert_refused(await run("keys", "rotate", str(key_id)), f"key {key_id} {word}", "keys create")
    assert await database.fetchval("SELECT count(*) FROM api_keys") == 1
    assert_refused(await run("keys", "rotate", "4711"), "4711", "keys list")


async def test_keys_refuse_what_they_do_not_know(run: Run, database: Connection) -> None:
    owner = ("keys", "create", "--owner", "desk")
    assert_refused(await run(*owner, "--scope", INSTRUMENTS_READ, "--scope", "typo"), "typo", INDEX_ADMIN)
    assert_refused(await run("keys", "create", "--owner", " ", "--scope", INDEX_ADMIN), "--owner")
    assert await database.fetchval("SELECT count(*) FROM api_keys") == 0
    assert_refused(await run("keys", "revoke", "4711"), "4711", "keys list")


async def test_import_counts_and_explains_its_rejects(run: Run, database: Connection, tmp_path: Path) -> None:
    (tmp_path / "listings.csv").write_text(CSV)
    first = await run("import", "listings.csv")
    assert first.status == 0, first
    assert first.output.splitlines()[0] == (
        "3 rows read: 2 created, 0 changed, 0 unchanged, 0 duplicates, 1 rejected"
    )
    assert "import-rejects.csv" in first.output
    with (tmp_path / "import-rejects.csv").open(newline="") as file:
        (reject,) = csv.DictReader(file)
    assert (reject["file"], reject["row"], reject["field"]) == ("listings.csv", "3", "asset_class")
    assert reject["value"] == "nonsense" and reject["reason"]

    second = await run("import", "listings.csv", "--rejects", "elsewhere.csv")
    assert second.output.startswith("3 rows read: 0 created, 0 changed, 2 unchanged"), second
    assert (tmp_path / "elsewhere.csv").exists()
    third = orjson.loads((await run("import", "listings.csv", "--json")).output)
    assert (third["read"], third["unchanged"], third["rejects_file"]) == (3, 2, "import-rejects.csv")
    assert await database.fetchval("SELECT count(*) FROM instruments") == 2


async def test_the_quality_report_for_people_and_for_machines(
    run: Run, import_instruments: Import, tmp_path: Path
) -> None:
    rows = [{"symbol": f"B{n}", "name": f"B{n}", "asset_class": "bond", "mic": "XFRA"} for n in range(3)]
    await import_instruments([*rows, {"symbol": "E", "name": "\x1b[31mRed", "asset_class": "etf"}])
    shown = await run("report", "quality", "--examples", "2", COLUMNS="200")
    assert (shown.status, shown.messages) == (0, ""), shown
    assert shown.output.startswith("4 living instruments and 0 delisted ones, ")
    assert re.search(r"^ +bond +etf *\nliving +3 +1 *$", shown.output, re.MULTILINE), shown.output
    assert re.search(r"^XFRA +3 .* 100\.0 ", shown.output, re.MULTILINE), shown.output
    assert re.search(r"^3 +name_is_symbol +the name is only", shown.output, re.MULTILINE), shown.output
    assert "name_is_symbol: 2 of 3" in shown.output
    assert re.search(r"^ins_\d+ +E +\\x1b\[31mRed *$", shown.output, re.MULTILINE), (
        "no colours of the data's own"
    )

    as_json = await run("report", "quality", "--json")
    document = orjson.loads(as_json.output)
    (found,) = [finding for finding in document["findings"] if finding["reason"] == "name_is_symbol"]
    assert found["count"] == 3 and found["meaning"] and len(found["examples"]) == 3
    assert [(group["asset_class"], group["living"]) for group in document["coverage"]] == [
        ("bond", 3),
        ("etf", 1),
    ]

    written = await run("report", "quality", "--json", "--output", "quality.json")
    assert (written.status, written.output) == (0, ""), written
    assert orjson.loads((tmp_path / "quality.json").read_bytes()).keys() == document.keys()
    assert_refused(await run("report", "quality", "--output", "no/such.txt"), "no/such.txt", "--output")
    assert (await run("report", "quality", "--examples", "-1")).status == 2


async def test_aliases_are_imported_after_their_instruments(
    run: Run, database: Connection, tmp_path: Path
) -> None:
    (tmp_path / "listings.csv").write_text(CSV + "META,equity,Meta Platforms,XNAS\n")
    (tmp_path / "names.csv").write_text("symbol,alias,kind\nCLIA,old apples,name\nCLIX,x,name\n")
    assert_refused(await run("import", "listings.csv", "names.csv"), "instruments first")
    await run("import", "listings.csv")
    for became in ("1 changed, 0 unchanged", "0 changed, 1 unchanged"):
        told = await run("import", "names.csv", "--format", "aliases")
        assert told.status == 0, told
        assert told.output.startswith(f"2 rows read: 0 created, {became}, 0 duplicates, 1 rejected"), told
    known = await run("import", "--known-aliases")
    assert known.status == 0 and "2 changed" in known.output, known
    entries = await database.fetchval("SELECT dated_aliases::text FROM instruments WHERE symbol = 'META'")
    assert '"FB"' in entries and '"facebook"' in entries
    assert_refused(await run("import"), "--known-aliases")
    assert_refused(await run("import", "names.csv", "--known-aliases"), "--known-aliases")
    assert_refused(await run("import", "names.csv", "--delist-missing"), "--delist-missing")


async def test_import_says_what_it_cannot_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam")
    (tmp_path / "listings.csv").write_text(CSV)
    assert_refused(await run("import", "nowhere.csv"), "nowhere.csv")
    assert_refused(await run("import", "letter.txt"), "letter.txt", "asset_class")
    assert_refused(await run("import", "listings.csv", "--format", "xml"), "--format", "ndjson")
    assert_refused(await run("import", "listings.csv", "--format", "ndjson"), "listings.csv", "ndjson")


@pytest.mark.parametrize(
    ("command", "known", "missing"),
    [
        ("migrate", {}, "REGISTRY_DATABASE_URL"),
        ("serve", {"REGISTRY_DATABASE_URL": "postgresql://127.0.0.1/x"}, "REGISTRY_REDIS_URL"),
        ("import listings.csv", {}, "REGISTRY_DATABASE_URL"),
        ("report quality", {}, "REGISTRY_DATABASE_URL"),
        ("indexer run", {}, "REGISTRY_DATABASE_URL"),
        ("indexer verify", {"REGISTRY_DATABASE_URL": "postgresql://127.0.0.1/x"}, "REGISTRY_REDIS_URL"),
    ],
)
async def test_a_missing_url_is_named(
    command: str, known: dict[str, str], missing: str, tmp_path: Path
) -> None:
    (tmp_path / "listings.csv").write_text(CSV)
    assert_refused(await run_command(*command.split(), folder=tmp_path, **known), missing)


@pytest.mark.parametrize("command", ["migrate", "import listings.csv", "report quality", "indexer status"])
async def test_a_postgres_that_does_not_answer_takes_one_line(
    command: str, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "listings.csv").write_text(CSV)
    nobody = f"postgresql://postgres@127.0.0.1:{free_port()}/registry"
    variables = {"REGISTRY_DATABASE_URL": nobody, "REGISTRY_REDIS_URL": redis_url}
    assert_refused(await run_command(*command.split(), folder=tmp_path, **variables), "Postgres")


@pytest.mark.parametrize(
    ("command", "wrong"),
    [("migrate", "database"), ("keys list", "password"), ("indexer status", "database")],
)
async def test_a_wrong_database_url_takes_one_line(
    command: str, wrong: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    if wrong == "database":
        url = url_of("nobody_made_this")
    else:
        url = re.sub(r"//postgres:[^@]*@", "//postgres:Hidden-Word@", database_url)
        assert url != database_url
    finished = await run_command(
        *command.split(), folder=tmp_path, REGISTRY_DATABASE_URL=url, REGISTRY_REDIS_URL=redis_url
    )
    assert_refused(finished, "nobody_made_this" if wrong == "database" else "password")
    assert "Hidden-Word" not in finished.messages


async def test_a_redis_that_does_not_answer_takes_one_line(run: Run) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}"
    assert_refused(await run("indexer", "verify", REGISTRY_REDIS_URL=nobody), "Redis")


async def test_the_indexers_commands_work_without_an_indexer(
    run: Run, redis_client: Redis, import_instruments: Import
) -> None:
    await import_instruments([{"symbol": f"C{n}", "name": f"C {n}", "asset_class": "etf"} for n in range(9)])
    before = await run("indexer", "status")
    assert before.status == 0 and before.output.startswith("No index is live.\n"), before
    assert "instrument-registry indexer run" in before.output

    refreshed = await run("indexer", "refresh")
    assert (refreshed.status, refreshed.output) == (0, "The index is level with Postgres.\n"), refreshed
    first = await read_live_state(redis_client)
    assert first is not None

    await import_instruments([{"symbol": "LATE", "name": "Late", "asset_class": "etf"}])
    assert (await run("indexer", "refresh")).status == 0
    verified = await run("indexer", "verify")
    assert verified.status == 0, verified
    assert f"Generation {first.generation}: 10 rows compared" in verified.output
    assert "No drift." in verified.output

    rebuilt = await run("indexer", "rebuild", "--watch")
    assert (rebuilt.status, rebuilt.output) == (0, "The new generation is live.\n"), rebuilt
    assert "done" in rebuilt.messages, "the progress bar"
    second = await read_live_state(redis_client)
    assert second is not None and second.generation > first.generation

    after = await run("indexer", "status")
    assert after.status == 0, after
    assert f"Live generation {second.generation}: 10 documents" in after.output
    assert "Leader: none" in after.output, "what a command took up, it gives back"
    assert re.search(rf"^{first.generation} +kept +", after.output, re.MULTILINE), after.output

    back = await run("indexer", "rollback")
    assert (back.status, back.output) == (0, f"Generation {first.generation} is live again.\n"), back
    assert (await run("indexer", "verify")).status == 0
    for name in ("refresh", "rebuild", "rollback"):
        job = orjson.loads((await run("indexer", name, "--json")).output)
        assert (job["kind"], job["state"], job["error"]) == (name, "done", None)
    assert job["generation"] == first.generation


async def test_a_rollback_without_an_earlier_generation_says_so(run: Run, import_instruments: Import) -> None:
    await import_instruments([{"symbol": "ONE", "name": "One", "asset_class": "etf"}])
    assert (await run("indexer", "refresh")).status == 0
    refused = await run("indexer", "rollback")
    assert refused.status == 1
    assert "the rollback failed: there is no earlier generation to go back to" in refused.messages


async def test_commands_ask_the_indexer_that_leads(
    run: Run, database_url: str, redis_client: Redis, import_instruments: Import
) -> None:
    await import_instruments([{"symbol": "ONE", "name": "One", "asset_class": "etf"}])
    async with running_indexer(database_url, redis_client, holder="the one that leads"):
        rebuilt = await run("indexer", "rebuild")
        assert rebuilt.status == 0, rebuilt
        status = await run("indexer", "status")
        as_json = orjson.loads((await run("indexer", "status", "--json")).output)
    assert "Leader: the one that leads" in status.output, status
    assert (as_json["leader"], as_json["rows"]) == ("the one that leads", 1)


async def test_verify_names_the_drift(run: Run, redis_client: Redis, import_instruments: Import) -> None:
    await import_instruments([{"symbol": f"C{n}", "name": f"C {n}", "asset_class": "etf"} for n in range(3)])
    assert (await run("indexer", "refresh")).status == 0
    state = await read_live_state(redis_client)
    assert state is not None
    keys = sorted(
        [key async for key in redis_client.scan_iter(match=document_key(state.generation, 0)[:-1] + "*")]
    )
    assert len(keys) == 3
    await redis_client.delete(keys[0])
    lost = keys[0].rpartition(b":")[2].decode()

    drifted = await run("indexer", "verify", SEARCH_INDEX_REFRESH="0.1")
    assert drifted.status == 1, drifted
    assert re.search(rf"^missing +1: {lost}$", drifted.output, re.MULTILINE), drifted.output
    assert re.search(r"^stale +0$", drifted.output, re.MULTILINE)
    assert "instrument-registry indexer verify --repair" in drifted.output
    assert drifted.messages == ""

    repaired = await run("indexer", "verify", "--repair", SEARCH_INDEX_REFRESH="0.1")
    assert repaired.status == 0, repaired
    assert re.search(r"^Repaired: [01] written, 0 removed$", repaired.output, re.MULTILINE), repaired.output
    assert "No drift." in repaired.output
    compared = orjson.loads((await run("indexer", "verify", "--json")).output)
    assert compared["clean"] and (compared["rows"], compared["missing"]) == (3, [])


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [("keys list", "REGISTRY_LOG_LEVEL", "loud"), ("indexer status", "REGISTRY_POSTGRES_POOL_SIZE", "0")],
)
async def test_a_bad_setting_takes_one_line(command: str, name: str, value: str, run: Run) -> None:
    assert_refused(await run(*command.split(), **{name: value}), name)


async def test_a_path_with_brackets_is_named_as_it_is(tmp_path: Path) -> None:
    nobody = f"postgresql://postgres@127.0.0.1:{free_port()}/registry"
    finished = await run_command("import", "no[such].csv", folder=tmp_path, REGISTRY_DATABASE_URL=nobody)
    assert_refused(finished, "no[such].csv")
