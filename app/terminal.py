"""What the commands show to people: progress bars on standard error, results on standard output."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NoReturn

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

output = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

FILE_WIDTH: Final = 160


def fail(message: str, status: int = 1) -> NoReturn:
    """Say in one line what went wrong, and end with `status`."""
    messages.print("error:", style="red", end=" ")
    messages.print(" ".join(message.split()))
    sys.exit(status)


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


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], console: Console = output) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


def console_of(file: IO[str]) -> Console:
    """Where to print what a file is to hold: as `output`, wide, and without colours."""
    return Console(file=file, width=FILE_WIDTH, highlight=False, markup=False, emoji=False, soft_wrap=True)


def printable(text: str) -> str:
    """`text` with what would steer a terminal, or not be seen, as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
