"""`instrument-registry lookup`."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.commands.running_service import Key, Url, ask
from app.commands.search import COLUMNS, STYLES, instrument_row
from app.domain.identifiers import InvalidIdentifier, canonical_identifier, mistyped
from app.domain.instrument import AssetClass, parse_public_id
from app.domain.lookup import ID, KINDS, MAX_IDENTIFIERS, SYMBOL
from app.terminal import (
    AsJson,
    completing,
    fail,
    messages,
    print_json,
    print_table,
    printable,
    progress_bar,
)

if TYPE_CHECKING:
    from instrument_registry_client.models import Identifier, LookupResult

STDIN: Final = Path("-")
_TOLD_APART: Final = ("isin", "figi", "lei", "cusip", "sedol")
"""Kinds that are known by their shape and check digit."""


def lookup(
    identifiers: Annotated[
        list[str] | None, typer.Argument(help="What to look up; TYPE:VALUE says what one is.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="One in each line; - is standard input.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type",
            help=f"What they are: {', '.join(KINDS)} (default: told by shape and check digit, else symbol).",
            autocompletion=completing(KINDS),
            show_default=False,
        ),
    ] = None,
    mic: Annotated[str | None, typer.Option(help="At this venue alone.", show_default=False)] = None,
    currency: Annotated[str | None, typer.Option(help="In this one alone.", show_default=False)] = None,
    asset_class: Annotated[
        AssetClass | None, typer.Option(help="Of this class alone.", show_default=False)
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="Who had the symbols on this day, as 2020-01-31.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Find what identifiers name; any number of them. Exits 1 where one names nothing, or is refused.

    Example: instrument-registry lookup US0378331005 symbol:BMW --mic XETR
    """
    if kind is not None and kind not in KINDS:
        fail(f"--type must be one of {', '.join(KINDS)}")
    texts = list(identifiers or ())
    if file is not None or not texts:
        texts += _lines(file or STDIN)
    if not texts:
        fail("give identifiers as arguments, or one in each line with --file or on standard input")
    narrowing = {"mic": mic, "currency": currency, "asset_class": asset_class, "as_of": as_of}
    given = {name: str(value) for name, value in narrowing.items() if value is not None}
    asked: list[Identifier] = [{**_typed(text, kind), **given} for text in texts]  # type: ignore[typeddict-item]
    with progress_bar("Looking up", len(asked), shown=len(asked) > MAX_IDENTIFIERS) as progress:
        results = ask(url, key, lambda client: client.lookup(asked, progress=progress))
    if as_json:
        for identifier, result in zip(asked, results, strict=True):
            print_json({"identifier": identifier, **result}, indent=False)
    else:
        _print(texts, results)
    if not all(result.get("matches") for result in results):
        sys.exit(1)


def _typed(text: str, kind: str | None) -> dict[str, str]:
    """What a text is, and what is looked up: `kind` if given, or what it says, or by its shape."""
    if kind is not None:
        return {"type": kind, "value": text}
    prefix, colon, rest = text.partition(":")
    if colon and prefix.lower() in KINDS:
        return {"type": prefix.lower(), "value": rest}
    return {"type": _kind(text), "value": text}


def _kind(text: str) -> str:
    if parse_public_id(text) is not None:
        return ID
    for kind in _TOLD_APART:
        try:
            canonical_identifier(kind, text)
        except InvalidIdentifier:
            continue
        return kind
    return "isin" if (mistyped(text) or "").find("(ISIN)") >= 0 else SYMBOL


def _lines(file: Path) -> Iterator[str]:
    """Those that are not empty, and no comments."""
    if file == STDIN:
        if sys.stdin.isatty():
            messages.print("One identifier in each line; Ctrl-D ends them.", style="dim")
        text = sys.stdin.read()
    else:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"--file: {file} cannot be read ({error}); name a file of UTF-8 text")
    lines = (line.strip() for line in text.splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def _print(texts: Sequence[str], results: Sequence["LookupResult"]) -> None:
    rows: list[tuple[str, ...]] = []
    for text, result in zip(texts, results, strict=True):
        shown = printable(text)
        matches = result.get("matches", [])
        rows += ((shown, *instrument_row(match)) for match in matches)
        if (refusal := result.get("error")) is not None:
            messages.print(f"{shown}: {printable(refusal['detail'])}", style="red")
        elif not matches:
            messages.print(f"{shown}: nothing found", style="red")
        if result.get("ambiguous"):
            messages.print(f"{shown}: ambiguous, {result['total']:,} of several issues", style="yellow")
        for name in ("warning", "partial_reason"):
            if (said := result.get(name)) is not None:
                messages.print(f"{shown}: {printable(str(said))}", style="yellow")
    if rows:
        print_table(("identifier", *COLUMNS), rows, styles=("bold", *STYLES))
