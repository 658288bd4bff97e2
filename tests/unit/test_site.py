"""The documentation's site builds without a warning, needs no other server, and leaves nothing out."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from typer.core import TyperGroup

from app.domain import errors
from app.domain.access import SCOPES
from app.web.routes import ENDPOINTS
from docsite.navigation import Entry, expanded
from docsite.reference import PARTS, application
from docsite.sequence import svg
from tests.unit.test_consistency import all_errors

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
BUILD_TIMEOUT_S: Final = 300
LOADED: Final = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
LINK: Final = re.compile(r"\]\((?!https?:)([^)\s]+)\)")


class Page(HTMLParser):
    """What a page loads, and what in it may be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.ids: set[str] = set()
        self.text = text
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.ids.add(found.get("id") or "")
        if tag in LOADED and found.get("rel") != "canonical":
            self.loads.add(found.get(LOADED[tag]) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """Every page of the site by its path, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert built.returncode == 0, built.stderr
    pages = {page.relative_to(folder).as_posix(): page for page in folder.rglob("*.html")}
    return {path: Page(page.read_text(encoding="utf-8")) for path, page in pages.items()}


def test_nothing_is_loaded_from_another_server(site: dict[str, Page]) -> None:
    for path, page in site.items():
        assert not {url for url in page.loads if urlsplit(url).netloc}, path
        assert not re.search(r"class=\"?[^\">]*mermaid", page.text), path


def test_every_page_is_in_the_navigation(site: dict[str, Page]) -> None:
    home = site["index.html"].text
    for page in DOCS.rglob("*.md"):
        path = page.relative_to(DOCS).with_suffix(".html").as_posix().replace("README", "index")
        assert path in site, path
        if path != "adr/0000-template.html":
            assert f'href="{path}"' in home, path


def test_the_readmes_links_lead_somewhere(site: dict[str, Page]) -> None:
    for name in ("README.md", "CHANGELOG.md"):
        for link in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
            path, _, anchor = link.partition("#")
            assert not path or (ROOT / path).exists(), link
            if anchor and path:
                page = Path(path).relative_to("docs").with_suffix(".html").as_posix()
                assert anchor in site[page].ids, link


def test_what_is_made_from_the_code_is_in_the_reference(site: dict[str, Page]) -> None:
    kinds = [kind.__name__ for kind in all_errors() if kind.__module__ == errors.__name__]
    assert all(f"<code>{name}</code>" in site["reference/errors.html"].text for name in kinds)
    assert all(f"<code>{scope}</code>" in site["reference/credentials.html"].text for scope in SCOPES)
    commands = site["reference/command-line.html"].ids
    assert {
        "demo",
        "import",
        "migrate",
        "serve",
        "indexer-rebuild",
        "keys-create",
        "loadtest-burst",
        "rollout-start",
        "release-sign",
        "config-verify",
        "slo-report",
    } <= commands
    assert all("<!-- generated" not in page.text for page in site.values())


def exists(words: str) -> bool:
    """Whether a command is called so; what follows a command that is no group are arguments."""
    command: Any = application()
    for word in words.split():
        if not isinstance(command, TyperGroup):
            return True
        if word not in command.commands:
            return False
        command = command.commands[word]
    return True


@pytest.mark.parametrize("words", ["profile list", "slo report", "indexer run", "search apple", "keys"])
def test_a_command_is_known(words: str) -> None:
    assert exists(words)


@pytest.mark.parametrize("words", ["profile nosuch", "slo nosuch", "indexer nosuch", "nosuch"])
def test_a_command_that_is_none_is_noticed(words: str) -> None:
    assert not exists(words)


def test_commands_and_paths_that_pages_show_exist() -> None:
    paths = [re.compile(re.sub(r"\{\w+\}", "[^/]+", endpoint.path)) for endpoint in ENDPOINTS]
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for words in re.findall(r"^\s*\$ instrument-registry ([a-z-]+(?: [a-z-]+)?)", text, re.MULTILINE):
            assert exists(words), (page.name, words)
        for path in re.findall(r"(?:http://127\.0\.0\.1:8080|\$API)(/[^\s?'\"]*)", text):
            assert any(known.fullmatch(path) for known in paths), (page.name, path)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_made_is_asked_for_by_a_page(name: str) -> None:
    mark = f"<!-- generated: {name} -->"
    assert [page for page in DOCS.rglob("*.md") if mark in page.read_text(encoding="utf-8")]


def test_a_pattern_takes_the_pages_that_nobody_names(tmp_path: Path) -> None:
    for name in ("a.md", "b.md", "c.md", "adr/0000.md", "adr/0002.md", "adr/0001.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    nav: list[Entry] = ["b.md", {"More": ["*.md"]}, {"None": ["none/*.md"]}, {"Decisions": ["adr/*.md"]}]
    assert expanded(nav, tmp_path, lambda path: path == "adr/0000.md") == [
        "b.md",
        {"More": ["a.md", "c.md"]},
        {"Decisions": ["adr/0001.md", "adr/0002.md"]},
    ]


def test_a_diagram_shows_each_message_and_escapes_it() -> None:
    participants = "participant A as first\nparticipant B as second"
    drawn = svg(f"sequenceDiagram\n{participants}\nA->>B: x < y\nB-->>A: back\nA->>A: self")
    assert drawn.count("<svg") == 1
    assert all(f">{text}</text>" in drawn for text in ("first", "second", "x &lt; y", "back", "self"))


@pytest.mark.parametrize("source", ["graph TD", "sequenceDiagram\nloop x", "sequenceDiagram\nA->>B: who"])
def test_a_diagram_that_cannot_be_drawn_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"only|understood|participant"):
        svg(source)
