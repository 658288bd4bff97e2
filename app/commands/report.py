"""`instrument-registry report`."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console

from app.settings import Settings
from app.store.quality import COVERED_FIELDS, REASONS, Coverage, QualityReport, read_quality
from app.terminal import console_of, fail, output, print_table, printable

report = typer.Typer(no_args_is_help=True, help="Reports: quality.")

SHOWN_VENUES: Final = 20
VENUE_FIELDS: Final = ("isin", "cusip", "figi", "mic", "currency", "country", "sector")


@dataclass(slots=True)
class Group:
    """Living instruments of one class, or at one venue, and how many of them have each field."""

    name: str
    living: int = 0
    having: Counter[str] = field(default_factory=Counter)


@report.callback()
def reports() -> None:
    """Keeps `quality` a command of its own while it is the only report."""


@report.command("quality")
def quality(
    as_json: Annotated[
        bool, typer.Option("--json", help="As JSON, with every class at every venue.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("--output", help="Write it to this file, not to standard output.", show_default=False),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, max=1000, help="How many instruments to name for each reason.")
    ] = 10,
) -> None:
    """How complete the instruments are, and which look wrong and why; no finding makes it fail.

    Example: instrument-registry report quality --json --output quality.json
    """
    found = asyncio.run(read_quality(Settings.from_environment().needed_database_url(), examples))
    if file is None:
        _write(found, output, as_json=as_json)
        return
    try:
        with file.open("w", encoding="utf-8") as opened:
            _write(found, console_of(opened), as_json=as_json)
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror}); name another file with --output")


def _write(found: QualityReport, console: Console, *, as_json: bool) -> None:
    if as_json:
        console.out(
            orjson.dumps(_document(found), option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode(),
            highlight=False,
        )
    else:
        _print(found, console)


def _document(found: QualityReport) -> dict[str, object]:
    """The report for machines; each finding comes with its meaning."""
    document = dataclasses.asdict(found)
    for finding in document["findings"]:
        finding["meaning"] = REASONS[finding["reason"]]
    return document


def _print(found: QualityReport, console: Console) -> None:
    console.print(
        f"{found.living:,} living instruments and {found.delisted:,} delisted ones, "
        f"{found.taken_at:%Y-%m-%d %H:%M:%S}Z. Percentages are of the living that have a field."
    )
    _print_classes(_by(found.coverage, lambda part: part.asset_class), console)
    _print_venues(_by(found.coverage, lambda part: printable(part.venue or "none")), console)
    _print_heading("Findings", console)
    print_table(
        ("instruments", "reason", "which means"),
        [(f"{finding.count:,}", finding.reason, REASONS[finding.reason]) for finding in found.findings],
        console,
    )
    for finding in found.findings:
        if finding.examples:
            _print_heading(f"{finding.reason}: {len(finding.examples)} of {finding.count:,}", console)
            print_table(
                ("id", "symbol", "venue", "detail"),
                [
                    (example.id, *map(printable, (example.symbol, example.venue or "", example.detail)))
                    for example in finding.examples
                ],
                console,
            )


def _by(coverage: Sequence[Coverage], key: Callable[[Coverage], str]) -> list[Group]:
    """What has the same key put together, the largest first."""
    groups: dict[str, Group] = {}
    for part in coverage:
        group = groups.setdefault(key(part), Group(key(part)))
        group.living += part.living
        group.having.update(part.having)
    return sorted(groups.values(), key=lambda group: -group.living)


def _percentage(part: int, whole: int) -> str:
    """To a tenth; what is not all is never shown as 100, and what is there never as 0."""
    tenths = 1000 * part // whole
    return f"{max(tenths, 1) / 10:.1f}" if part else "-"


def _print_classes(classes: list[Group], console: Console) -> None:
    """A column for each class, which a terminal of 80 characters has room for."""
    _print_heading("By class", console)
    rows = [
        ("living", *(f"{group.living:,}" for group in classes)),
        *((f, *(_percentage(group.having[f], group.living) for group in classes)) for f in COVERED_FIELDS),
    ]
    print_table(("", *(group.name for group in classes)), rows, console)


def _print_venues(venues: list[Group], console: Console) -> None:
    _print_heading("By venue", console)
    rows = [
        (group.name, f"{group.living:,}", *(_percentage(group.having[f], group.living) for f in VENUE_FIELDS))
        for group in venues[:SHOWN_VENUES]
    ]
    print_table(("venue", "living", *VENUE_FIELDS), rows, console)
    if len(venues) > SHOWN_VENUES:
        console.print(f"{len(venues) - SHOWN_VENUES:,} smaller venues stand in the report with --json.")


def _print_heading(text: str, console: Console) -> None:
    console.print(f"\n{text}", style="bold")
