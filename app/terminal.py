"""What the commands show to people: progress bars on standard error, results on standard output."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import IO, Annotated, Final, NoReturn

import orjson
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from app.server_url import ServerUrl

output = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

FILE_WIDTH: Final = 160

AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for machines.")]


def completing(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """What the shell offers to complete a word by."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def fail(message: str, status: int = 1) -> NoReturn:
    """Say in one line what went wrong, and end with `status`."""
    messages.print("error:", style="red", end=" ")
    messages.print(" ".join(message.split()))
    sys.exit(status)


def server_url(url: str, option: str) -> ServerUrl:
    """The URL that `option` names; ends where it is none, without quoting it: it may have a password."""
    try:
        return ServerUrl.parse(url)
    except ValueError as error:
        fail(f"{option}: {error}; it must be like http://127.0.0.1:8080")


@contextmanager
def reading_progress(files: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """A bar over the bytes of `files` on disk; yields the function to tell bytes to."""
    total = sum(os.path.getsize(file) for file in files)  # noqa: PTH202 - a plain sum
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=messages,
    ) as progress:
        task = progress.add_task("Reading", total=total)

        def counted(count: int) -> None:
            progress.advance(task, count)
            if progress.tasks[task].completed >= total:
                progress.update(task, description="Merging")

        yield counted


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    console: Console = output,
    *,
    styles: Sequence[str] = (),
) -> None:
    """A table; `styles` are of the columns, for consoles that have colours."""
    table = Table(box=None, pad_edge=False)
    for column, style in zip_longest(columns, styles, fillvalue=""):
        table.add_column(column, overflow="fold", style=style)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


def print_json(value: object, *, indent: bool = True) -> None:
    """A JSON value on standard output, as it is; without `indent` on one line."""
    option = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    output.out(orjson.dumps(value, option=option).decode(), highlight=False)


def console_of(file: IO[str]) -> Console:
    """Where to print what a file is to hold: as `output`, wide, and without colours."""
    return Console(file=file, width=FILE_WIDTH, highlight=False, markup=False, emoji=False, soft_wrap=True)


def printable(text: str) -> str:
    """`text` with what would steer a terminal, or not be seen, as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
