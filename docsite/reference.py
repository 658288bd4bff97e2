"""Pages of the reference that are made from the code when the site is built, and so cannot be out of date."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import orjson
import typer
from typer.core import TyperGroup

from app.cli import cli as service_cli
from app.domain import errors
from app.domain.access import SCOPES
from app.domain.errors import RegistryError
from app.web.openapi import MEANINGS, PROBLEM_HEADERS
from app.web.problems import problem, status_of
from app.web.routes import ENDPOINTS
from indexer.cli import cli as indexer_cli
from loadtests.__main__ import cli as loadtest_cli

PROGRAM: Final = "instrument-registry"
_KIND: Final = re.compile(r"(?P<kind>[A-Z]\w+)(?: +(?P<meaning>\S.*))?$")


def application() -> TyperGroup:
    """All commands, with those of the two applications that `indexer` and `loadtest` hand over to."""
    root = typer.main.get_group(service_cli)
    for name, separate in (("indexer", indexer_cli), ("loadtest", loadtest_cli)):
        root.commands[name] = typer.main.get_group(separate)
    return root


def command_line() -> str:
    """Every command with its help, arguments and options, in the order of `--help`."""
    return "\n".join(_command_lines(application(), PROGRAM, 1))


def statuses() -> str:
    """The statuses of problems: `type`, what they mean, what headers they carry."""
    rows = ["| status | `type` | meaning | headers |", "|---|---|---|---|"]
    for status, meaning in sorted(MEANINGS.items()):
        headers = ", ".join(
            f"`{header.name}`" + ("" if header.always else " (where it applies)")
            for header in PROBLEM_HEADERS.get(status, ())
        )
        rows.append(f"| {status.value} {status.phrase} | `{_type(status)}` | {meaning} | {headers} |")
    return "\n".join(rows)


def kinds() -> str:
    """The kinds of errors behind those statuses, as the tree in `app.domain.errors` has them."""
    rows = ["| kind | status | when |", "|---|---|---|"]
    for line in (errors.__doc__ or "").splitlines():
        if match := _KIND.search(line.strip("│├└─ ")):
            kind = getattr(errors, match["kind"], None)
            if isinstance(kind, type) and issubclass(kind, RegistryError) and kind is not RegistryError:
                meaning = match["meaning"] or _words(match["kind"])
                rows.append(f"| `{kind.__name__}` | {status_of(kind).value} | {meaning.strip()} |")
    return "\n".join(rows)


def scopes() -> str:
    """Each scope with the endpoints that ask for it."""
    rows = ["| scope | endpoints |", "|---|---|"]
    for scope in SCOPES:
        asking = [f"`{found.method} {found.path}`" for found in ENDPOINTS if found.scope == scope]
        rows.append(f"| `{scope}` | {' · '.join(asking) or 'none by itself'} |")
    return "\n".join(rows)


PARTS: Final = {
    "command-line": command_line,
    "error-kinds": kinds,
    "scopes": scopes,
    "statuses": statuses,
}
"""What a page asks for by `<!-- generated: NAME -->`."""


def _type(status: HTTPStatus) -> str:
    return str(orjson.loads(problem(status, "", "").text or "")["type"])


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _command_lines(command: Any, path: str, level: int) -> Iterator[str]:
    if level > 1:
        yield f"{'#' * level} {path.removeprefix(PROGRAM).strip()}\n"
    text, _, example = (command.help or "").partition("Example: ")
    yield f"{' '.join(text.split())}\n"
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from _command_lines(child, f"{path} {name}", level + 1)
        return
    context = typer.Context(command, info_name=path)
    yield f"```text\n{path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    if rows := [row for parameter in command.params for row in _parameter(parameter, context)]:
        yield "| option | |\n|---|---|\n" + "\n".join(rows) + "\n"
    if example:
        yield f"```console\n$ {' '.join(example.split())}\n```\n"


def _parameter(parameter: Any, context: typer.Context) -> Iterator[str]:
    if (record := parameter.get_help_record(context)) is not None:
        name, meaning = (" ".join(part.split()).replace("|", "\\|") for part in record)
        yield f"| `{name}` | {meaning} |"
