"""What the runbooks name exists: a page for each alert, and every command, route, metric, event and table."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
import typer
import yaml

from app.cli import cli
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.store.postgres import Connection
from app.web.routes import ENDPOINTS
from indexer.cli import cli as indexer_cli
from loadtests.__main__ import cli as loadtest_cli
from tests.runbooks.blocks import FOLDER, blocks

ROOT: Final = FOLDER.parents[1]
RULES: Final = ROOT / "deploy/prometheus/rules"
PAGES: Final = sorted(FOLDER.glob("*.md"))
ALERT_PAGES: Final = [page for page in PAGES if page.name.startswith("registry-")]
SECTIONS: Final = ("What it means", "What users notice", "First look", "Causes and remedies", "Escalate")
PROGRAMS: Final = frozenset(
    (
        *("curl", "cut", "echo", "grep", "head", "instrument-registry", "jq", "kill", "ls", "pg_dump"),
        *("pg_restore", "printf", "psql", "redis-cli", "sha256sum", "socat", "sort", "tail", "uniq"),
    )
)


def kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def rules() -> list[dict[str, Any]]:
    groups = [group for file in RULES.glob("*.yml") for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def stem(page: Path) -> str:
    return page.stem


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    alerts = {kebab(rule["alert"]): rule for rule in rules() if "alert" in rule}
    assert {page.stem for page in ALERT_PAGES} == set(alerts)
    assert all(rule["annotations"]["runbook_url"].endswith(f"/{name}.html") for name, rule in alerts.items())


@pytest.mark.parametrize("page", ALERT_PAGES, ids=stem)
def test_a_page_of_an_alert_says_all_that_is_asked_in_a_hurry(page: Path) -> None:
    text = page.read_text()
    title = text.splitlines()[0].removeprefix("# ")
    assert kebab(title) == page.stem
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == SECTIONS
    assert blocks(text, "sh") or blocks(text, "promql")


def test_the_index_names_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (FOLDER / "README.md").read_text()))
    assert linked == {page.name for page in PAGES} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([\w-]+))?\)", page.read_text()):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings], anchor


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {f"REGISTRY_{name.upper()}" for name in Settings.model_fields}
    known |= {name.upper() for name in Parameters.model_fields}
    text = page.read_text()
    assert set(re.findall(r"REGISTRY_[A-Z_]+", text)) <= known
    assert set(re.findall(r"`((?:SEARCH|CACHE|QUERY|MAX)_[A-Z_]+)`", text)) <= known


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each simple command in a page's shell blocks."""
    for code in blocks(page.read_text(), "sh"):
        subprocess.run(["sh", "-nc", code], check=True)
        for line in code.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in (*lexer, "|"):
                if set(word) <= set("|&;"):
                    yield words
                    words = []
                elif words or not re.match(r"[A-Z_]+=", word):  # a variable for one command
                    words.append(word)


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_commands_exist(page: Path) -> None:
    for program, *words in filter(None, commands(page)):
        assert program in PROGRAMS, program
        if program == "instrument-registry":
            check_command(words)
        elif program == "curl":
            check_request(words)
        elif program == "jq":
            check_events(" ".join(words))


def check_command(words: list[str]) -> None:
    """Its name, and the options that are given."""
    trees = {"indexer": indexer_cli, "loadtest": loadtest_cli}
    tree = trees.get(words[0])
    command: Any = typer.main.get_command(cli if tree is None else tree)
    rest = words if tree is None else words[1:]
    while rest and hasattr(command, "commands"):
        assert rest[0] in command.commands, words
        command, rest = command.commands[rest[0]], rest[1:]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in rest if word.startswith("--")} <= options, words


def check_request(words: list[str]) -> None:
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    (url,) = (word for word in words if word.startswith("$API"))
    path = url.removeprefix("$API").partition("?")[0]
    templates = [
        re.sub(r"\{\w+\}", "[^/]+", endpoint.path) for endpoint in ENDPOINTS if endpoint.method == method
    ]
    assert any(re.fullmatch(template, path) for template in templates), (method, path)


def check_events(text: str) -> None:
    documented = set(re.findall(r"`([^`]+)`", (ROOT / "docs/metrics.md").read_text()))
    assert set(re.findall(r'\.event == "([^"]+)"', text)) <= documented, text


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_metrics_exist(page: Path) -> None:
    documented = set(
        re.findall(r"^\| `(registry_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    )
    known = documented | {name + end for name in documented for end in ("_bucket", "_count", "_sum")}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    text = page.read_text()
    for code in blocks(text, "promql"):
        for name in re.findall(r"\b(registry[_:][\w:]+)", code):
            assert name in known or name in recorded, name
    assert set(re.findall(r"`(registry_\w+)`", text)) <= known


async def test_queries_are_understood_by_the_database(database: Connection) -> None:
    queries = [
        query
        for page in PAGES
        for code in blocks(page.read_text(), "sql")
        for query in filter(None, map(str.strip, code.split(";")))
    ]
    assert len(queries) > 5
    for query in queries:
        try:
            await database.prepare(query)
        except asyncpg.PostgresError as error:
            pytest.fail(f"{query}: {error}")
