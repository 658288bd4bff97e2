"""Query strings become searches, or errors that name the field."""

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.query import FILTERS, Search, Sort, parse_page, parse_search, parse_suggest
from app.search.expression import search_plan
from app.web.asked import read_asked
from app.web.query_string import parse_pairs


def search(*pairs: tuple[str, str]) -> Search:
    return parse_search(pairs, max_limit=100)


def refused_fields(*pairs: tuple[str, str]) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        search(*pairs)
    assert all(error.message for error in caught.value.errors)
    return [error.field for error in caught.value.errors]


def test_nothing_is_the_catalog_of_active_instruments() -> None:
    assert search() == Search("", {"status": ("active",)}, Sort.RELEVANCE, 20, 0, None)


def test_values_are_made_canonical() -> None:
    found = search(
        ("mic", "xnas"), ("mic", "XNYS"), ("mic", "XNAS"), ("currency", "gbx"), ("asset_class", "ETF")
    )
    assert found.filters == {
        "asset_class": ("etf",),
        "mic": ("XNAS", "XNYS"),
        "currency": ("GBP",),
        "status": ("active",),
    }


def test_status_is_a_filter_like_any_other() -> None:
    assert search(("status", "delisted"), ("status", "active")).filters["status"] == ("active", "delisted")


@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        ([("limit", "0")], "limit"),
        ([("limit", "-1")], "limit"),
        ([("limit", "101")], "limit"),
        ([("limit", "1e9")], "limit"),
        ([("limit", "abc")], "limit"),
        ([("limit", "")], "limit"),
        ([("limit", "٣")], "limit"),
        ([("limit", "9" * 5000)], "limit"),
        ([("limit", "5"), ("limit", "6")], "limit"),
        ([("offset", "10001")], "offset"),
        ([("offset", "-1")], "offset"),
        ([("offset", "0"), ("cursor", "x")], "cursor"),
        ([("sort", "price")], "sort"),
        ([("q", "x" * 201)], "q"),
        ([("q", "a\x00b")], "q"),
        ([("q", "a\nb")], "q"),
        ([("q", "\ud800")], "q"),
        ([("q", "a"), ("q", "b")], "q"),
        ([("q", "a " * 31)], "q"),
        ([("q", "a-" * 100)], "q"),
        ([("q", "\ufdfa" * 83)], "q"),
        ([("sector", "|")], "sector"),
        ([("colour", "red")], "colour"),
        ([("fields", "@symbol")], "fields"),
        ([("asset_class", "stock")], "asset_class"),
        ([("asset_class", "")], "asset_class"),
        ([("mic", "X")], "mic"),
        ([("mic", "*")], "mic"),
        ([("currency", "ZZZ")], "currency"),
        ([("country", "USA")], "country"),
        ([("sector", "")], "sector"),
        ([("sector", "a\tb")], "sector"),
        ([("mic", "XNAS")] * 51, "mic"),
    ],
)
def test_what_is_wrong_is_named(pairs: list[tuple[str, str]], field: str) -> None:
    assert refused_fields(*pairs) == [field]


def test_all_that_is_wrong_is_named_at_once() -> None:
    assert refused_fields(("limit", "x"), ("sort", "y"), ("z", "1")) == ["z", "sort", "limit"]


def test_suggest_needs_a_text() -> None:
    with pytest.raises(InvalidInput, match="q: is required"):
        parse_suggest([], max_limit=100)
    assert parse_suggest([("q", "ap")], max_limit=100).limit == 10
    assert parse_suggest([("q", "ap")], max_limit=5).limit == 5


def test_history_pages() -> None:
    assert parse_page([], max_limit=100) == (20, None)
    assert parse_page([("limit", "3"), ("before", "7")], max_limit=100) == (3, 7)
    with pytest.raises(InvalidInput, match="before"):
        parse_page([("before", "0")], max_limit=100)


names = st.sampled_from(["q", *FILTERS, "sort", "limit", "offset", "cursor", "other"])


@given(st.lists(st.tuples(names, st.text(max_size=250)), max_size=8))
def test_any_query_string_is_a_search_or_a_named_error(pairs: list[tuple[str, str]]) -> None:
    try:
        found = parse_search(pairs, max_limit=100)
    except InvalidInput as error:
        assert error.errors
    else:
        assert found.filters and 1 <= found.limit <= 100
        search_plan(found)


@given(
    st.sampled_from(["q=", "limit=", "q", "", "=", "%71=", "q=a&q="]),
    st.text(st.sampled_from("q=+%&;C3A9 aB.^\x7fé"), max_size=12),
)
def test_a_parameter_alone_is_read_as_among_others(begin: str, rest: str) -> None:
    raw = begin + rest
    try:
        expected = parse_qsl(raw, keep_blank_values=True, errors="strict")
    except UnicodeError:
        with pytest.raises(InvalidInput):
            parse_pairs(raw)
    else:
        assert parse_pairs(raw) == expected


@given(st.one_of(st.text(max_size=40), st.text(st.characters(max_codepoint=127), max_size=250)))
def test_a_text_alone_is_the_search_that_it_is_among_others(text: str) -> None:
    try:
        expected = parse_search([("q", text), ("limit", "20")], max_limit=100)
    except InvalidInput as error:
        assert refused_fields(("q", text)) == [each.field for each in error.errors]
    else:
        assert search(("q", text)) == expected


def test_the_same_question_has_the_same_key() -> None:
    def key(query_string: str) -> str:
        return read_asked(parse_search, query_string, 100).key

    assert (
        key("q=AAPL")
        == key("q=aapl")
        == key("limit=20&q=+AAPL")
        == key("q=aapl&status=active&sort=relevance")
    )
    others = (
        "q=AAP",
        "q=AAPL&limit=19",
        "q=AAPL&status=delisted",
        "q=AAPL&sort=name",
        "q=AAPL&highlight=true",
    )
    more = ("q=AAPL&offset=1", "q=AAPL&fields=id", "q=AAPL&facets=mic", "q=AAPL&facet_limit=7&facets=mic", "")
    assert len({"q=AAPL": key("q=AAPL")} | {key(each): each for each in (*others, *more)}) == 11
    assert key("q=AAPL&limit=10") != read_asked(parse_suggest, "q=AAPL", 100).key


@given(st.text(min_size=1, max_size=200))
def test_no_text_of_a_caller_becomes_part_of_an_expression(text: str) -> None:
    plain = search_plan(Search("siemens", {"status": ("active",)}))
    plan = search_plan(Search(text, {"sector": (text,)}))
    expressions = " ".join(tier.expression for tier in plan.tiers)
    allowed = set("abcdefghijklmnopqrstuvwxyz_0123456789@{}$*|-() :")
    assert set(expressions) <= allowed
    names_of: Any = plan.parameters[::2]
    assert list(names_of) == [f"p{number}" for number in range(len(names_of))]
    assert "siemens" not in " ".join(tier.expression for tier in plain.tiers)
