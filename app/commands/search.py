"""`instrument-registry search`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.commands.running_service import Key, Url, ask
from app.domain.instrument import AssetClass, Status
from app.domain.query import FILTERS, Sort
from app.terminal import (
    AsJson,
    completing,
    fail,
    long_table,
    messages,
    output,
    print_json,
    print_table,
    printable,
    progress_bar,
)

if TYPE_CHECKING:
    from instrument_registry_client import RegistryClient, SearchPage
    from instrument_registry_client.models import SearchOptions

COLUMNS: Final = ("id", "symbol", "name", "class", "venue", "currency", "isin", "status")
STYLES: Final = ("dim", "bold", "", "cyan", "green", "yellow", "", "")

AssetClasses = Annotated[
    list[AssetClass] | None, typer.Option("--asset-class", help="Any of these; repeatable.")
]
Mics = Annotated[list[str] | None, typer.Option("--mic", help="Venues, as ISO 10383; repeatable.")]
Currencies = Annotated[list[str] | None, typer.Option("--currency", help="ISO 4217; repeatable.")]
Countries = Annotated[
    list[str] | None, typer.Option("--country", help="Of the issuer, ISO 3166 alpha-2; repeatable.")
]
Sectors = Annotated[list[str] | None, typer.Option("--sector", help="Repeatable.")]
Statuses = Annotated[
    list[Status] | None, typer.Option("--status", help="Repeatable (default: active).", show_default=False)
]


def search(
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="A name, symbol or identifier; without one: the catalog."),
    ] = None,
    asset_class: AssetClasses = None,
    mic: Mics = None,
    currency: Currencies = None,
    country: Countries = None,
    sector: Sectors = None,
    status: Statuses = None,
    sort: Annotated[Sort, typer.Option(help="In which order.")] = Sort.RELEVANCE,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    everything: Annotated[
        bool, typer.Option("--all", help="All that match; as JSON, one in each line.")
    ] = False,
    facet: Annotated[
        list[str] | None,
        typer.Option(help="Count the values of this field; repeatable.", autocompletion=completing(FILTERS)),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Find instruments of a running service.

    Example: instrument-registry search apple --mic XNAS --limit 5
    """
    filters = filters_of(asset_class, mic, currency, country, sector, status)
    options: SearchOptions = {**filters, "sort": sort.value}  # type: ignore[typeddict-item]
    asked = " ".join(text or ())
    if everything:
        if facet:
            fail("--facet counts all that match on one page; leave out --all")
        ask(url, key, lambda client: _print_all(client, asked, options, as_json=as_json))
        return
    options["limit"] = limit
    if facet:
        options["facets"] = facet
    page = ask(url, key, lambda client: client.search(asked, **options))
    if as_json:
        print_json(page.answer)
    else:
        _print_page(page)


def filters_of(
    asset_class: Sequence[str] | None,
    mic: Sequence[str] | None,
    currency: Sequence[str] | None,
    country: Sequence[str] | None,
    sector: Sequence[str] | None,
    status: Sequence[str] | None,
) -> dict[str, list[str]]:
    """The filters that were given, as a search takes them."""
    given = zip(FILTERS, (asset_class, mic, currency, country, sector, status), strict=True)
    return {name: [str(value) for value in values] for name, values in given if values}


def print_instruments(instruments: Iterable[Mapping[str, Any]]) -> None:
    print_table(COLUMNS, [instrument_row(one) for one in instruments], styles=STYLES)


@contextmanager
def instruments_shown(*, as_json: bool) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yields what shows one instrument after the other: in a table, or as JSON, one in each line."""
    if as_json:
        yield lambda instrument: print_json(instrument, indent=False)
        return
    with long_table(COLUMNS, styles=STYLES) as add:
        yield lambda instrument: add(instrument_row(instrument))


def instrument_row(instrument: Mapping[str, Any]) -> tuple[str, ...]:
    """As `COLUMNS` has it."""
    cells = (
        *(instrument[name] for name in ("id", "symbol", "name", "asset_class")),
        instrument["mic"] or instrument["exchange"],
        instrument["currency"],
        instrument["identifiers"]["isin"],
        instrument["status"],
    )
    return tuple(printable(cell or "") for cell in cells)


async def _print_all(client: "RegistryClient", text: str, options: "SearchOptions", *, as_json: bool) -> None:
    # On a terminal the rows themselves show how it goes on.
    with instruments_shown(as_json=as_json) as show, progress_bar(shown=not output.is_terminal) as progress:
        async for page in client.search_pages(text, **options):
            for hit in page.hits:
                show(hit)
            progress(len(page.hits), page.total)


def _print_page(page: "SearchPage") -> None:
    answer = page.answer
    for name, words in (("did_you_mean", "Did you mean"), ("warning", "Warning")):
        if (said := answer.get(name)) is not None:
            messages.print(f"{words}: {printable(str(said))}", style="yellow")
    if answer.get("partial"):
        messages.print(f"Not all: {answer.get('partial_reason')}", style="yellow")
    print_instruments(page.hits)
    for name, facet in answer.get("facets", {}).items():
        rows = [(value["value"], f"{value['count']:,}") for value in facet["values"]]
        rows += [(f"({what})", f"{facet[what]:,}") for what in ("other", "missing") if facet[what]]
        print_table((name, "instruments"), [(printable(value), count) for value, count in rows])
    about = "" if answer["total_is_exact"] else "at least "
    more = "; --limit shows more, --all the whole list" if page.total > len(page.hits) else ""
    messages.print(f"{len(page.hits):,} of {about}{page.total:,}{more}", style="dim")
