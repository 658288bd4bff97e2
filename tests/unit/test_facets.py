"""What facets tell, and what they make of a page, without servers."""

import gc
import weakref
from collections import Counter
from dataclasses import replace

import orjson
import pytest

from app.domain.cursor import Cursor, decode_cursor, encode_cursor
from app.domain.query import FILTERS, Search, parse_search
from app.search.cells import VERSION, Cells, is_countable
from app.search.facets import Facet, FacetValue, facets_of, with_instruments
from app.search.lanes import lane_of
from app.search.page import Page

COUNTS = {"mic": Counter({b"XETR": 2, b"": 1})}
PAGE = Page([b"{}"], 7, 1, 0.0, None, Cursor(1, 5, 0, 7))


def test_values_with_as_many_hits_come_by_their_names() -> None:
    counts = {"mic": Counter({b"C": 2, b"A": 2, b"B": 2, b"D": 3, b"": 9})}
    facet = Facet([FacetValue("D", 3), FacetValue("A", 2), FacetValue("B", 2)], other=2, missing=9)
    assert facets_of(counts, 3) == {"mic": facet}


def test_a_first_page_has_the_total_that_its_facets_add_up_to() -> None:
    page = PAGE.with_counts(COUNTS, (), is_first=True)
    assert page == replace(PAGE, counts=COUNTS, total=3, next=Cursor(1, 5, 0, 3))


def test_a_page_behind_a_cursor_keeps_the_total_of_the_first() -> None:
    assert PAGE.with_counts(COUNTS, (), is_first=False) == replace(PAGE, counts=COUNTS)


@pytest.mark.parametrize(("before", "reason"), [(None, "late"), ("late", "late"), ("few", "few; late")])
def test_facets_that_are_cut_short_make_the_page_partial(before: str | None, reason: str) -> None:
    page = replace(PAGE, partial=before).with_counts(COUNTS, ("late",), is_first=True)
    assert page == replace(PAGE, counts=COUNTS, partial=reason)
    assert not page.total_is_exact


def test_instruments_that_come_besides_are_counted() -> None:
    counts = {"sector": Counter({b"a b": 1, b"": 2})}
    found = [orjson.dumps({"sector": sector}) for sector in ("a|b", None)]
    assert with_instruments(counts, found) == {"sector": Counter({b"a b": 2, b"": 3})}


def test_cells_are_narrowed_by_each_filter_in_any_case() -> None:
    fields = {
        b"equity\x1fXETR\x1fEUR\x1fDE\x1fReal Estate\x1factive": b"3",
        b"equity\x1fXETR\x1fEUR\x1fDE\x1freal estate\x1factive": b"2",
        b"etf\x1fXETR\x1fEUR\x1f\x1f\x1factive": b"5",
        VERSION: b"1.2",
    }
    cells = Cells(fields)
    assert (cells.version, cells.documents) == (b"1.2", 10)
    search = Search("", {"sector": ("REAL ESTATE",), "status": ("active",)}, facets=("sector", "country"))
    assert cells.count(search) == {
        "sector": Counter({b"Real Estate": 3, b"real estate": 2}),
        "country": Counter({b"DE": 5}),
    }
    assert (cells.total(search), cells.lanes(search)) == (5, frozenset((lane_of("equity", "active", "EUR"),)))
    both = Search("", {"status": ("active",), "currency": ("eur", "usd")})
    assert (cells.total(both), cells.lanes(both)) == (
        10,
        frozenset(lane_of(asset_class, "active", "EUR") for asset_class in ("equity", "etf")),
    )
    assert cells.total(Search("", {"asset_class": ("etf",), "status": ("delisted",)})) == 0
    assert cells.count(Search("", facets=("country",))) == {"country": Counter({b"DE": 5, b"": 5})}


@pytest.mark.parametrize(
    ("search", "countable"),
    [
        (Search("", {"sector": ("Energy",)}), True),
        (Search("", {"sector": ("Énergie",)}), False),
        (Search("energy"), False),
    ],
)
def test_cells_count_where_there_is_neither_a_text_nor_a_doubt_about_case(
    search: Search, countable: bool
) -> None:
    assert is_countable(search) is countable


def test_a_cursor_is_not_bound_to_facets() -> None:
    cursor = Cursor(1, 2, 0, 3)
    with_facets = parse_search([("q", "a"), ("facets", ",".join(FILTERS))], max_limit=100)
    without = parse_search([("q", "a")], max_limit=100)
    assert decode_cursor(encode_cursor(cursor, with_facets), without) == cursor


def test_cells_that_nobody_uses_any_more_are_gone_at_once() -> None:
    """Each change of a document makes others, and garbage is collected seldom."""
    gc.disable()
    try:
        cells = Cells({b"etf\x1fXETR\x1fEUR\x1f\x1f\x1factive": b"1", VERSION: b"1"})
        search = Search("", {"asset_class": ("etf",)}, facets=("mic",))
        assert cells.total(search) == 1 and cells.count(search) and cells.lanes(search)
        left = weakref.ref(cells)
        del cells
        assert left() is None
    finally:
        gc.enable()
