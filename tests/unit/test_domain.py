"""The pure core: identifiers, currencies, countries, venues, text, ranking, cursors."""

import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.countries import country_code, country_of_place
from app.domain.currencies import Quotation, quotation
from app.domain.cursor import MAX_SKIP, Cursor, decode_cursor, encode_cursor
from app.domain.errors import InvalidInput
from app.domain.instrument import AssetClass, SizeClass, parse_public_id, public_id, size_class
from app.domain.query import Search, Sort
from app.domain.ranking import (
    BENCHMARKS,
    LEADS,
    MAX_PROMINENCE,
    Way,
    begins_lead,
    points_of,
    prominence,
    rank,
)
from app.domain.symbols import symbols_of_ticker, ticker_at
from app.domain.text import fold, symbol_key, words
from app.domain.venues import (
    VENUES,
    bloomberg_codes,
    mic_of_code,
    mics_of_bloomberg,
)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("EUR", Quotation("EUR", None)),
        ("eur", Quotation("EUR", None)),
        ("GBX", Quotation("GBP", "GBX")),
        ("GBp", Quotation("GBP", "GBp")),
        ("ZAC", Quotation("ZAR", "ZAC")),
        ("ILA", Quotation("ILS", "ILA")),
        ("MCE", None),
        ("", None),
        ("€", None),
        ("XXX", None),
        ("xts", None),
        ("XAU", Quotation("XAU", None)),
    ],
)
def test_quotation_units_are_understood(code: str, expected: Quotation | None) -> None:
    assert quotation(code) == expected


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("South Korea", "KR"),
        ("Taiwan", "TW"),
        ("Ivory Coast", "CI"),
        ("US", "US"),
        ("USA", "US"),
        ("UK", "GB"),
        ("Cote d'Ivoire", "CI"),
        ("EU", None),
        ("XK", None),
        ("Netherlands Antilles", None),
    ],
)
def test_countries_become_codes(name: str, code: str | None) -> None:
    assert country_code(name) == code


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("Dublin, Ireland", "IE"),
        ("Atlanta, Georgia", "US"),
        ("Georgia", "GE"),
        ("Houston, Texas", "US"),
        ("", None),
    ],
)
def test_places_become_countries(place: str, code: str | None) -> None:
    assert country_of_place(place) == code


def test_every_exchange_code_means_one_venue() -> None:
    codes = [code for venue in VENUES.values() for code in venue.codes]
    assert len(codes) == len(set(codes))
    assert mic_of_code("nms") == "XNAS"
    assert mic_of_code("NAS") is None, "mutual funds are quoted there, not traded"
    assert all(0 <= venue.weight <= 100 and country_code(venue.country) for venue in VENUES.values())


@pytest.mark.parametrize(
    ("code", "mics"),
    [
        ("GY", ("XETR",)),
        ("gy", ("XETR",)),
        ("UQ", ("XNAS",)),
        ("LN", ("XLON",)),
        ("JT", ("XJPX",)),
        ("US", ("XNAS", "XNYS", "ARCX", "BATS", "XASE", "OTCM")),
        ("GR", ("XETR", "XFRA", "XSTU", "XMUN", "XDUS", "XBER", "XHAM", "XHAN")),
        ("TT", ("XTAI", "ROCO")),
        ("", ()),
        ("QQ", ()),
    ],
)
def test_bloomberg_codes_cover_a_venue_or_a_country(code: str, mics: tuple[str, ...]) -> None:
    assert mics_of_bloomberg(code) == mics


def test_a_bloomberg_code_covers_one_country_and_every_venue_has_one() -> None:
    for code in bloomberg_codes():
        assert len({VENUES[mic].country for mic in mics_of_bloomberg(code)}) == 1, code
    assert all(venue.bloomberg for venue in VENUES.values())


@pytest.mark.parametrize(
    ("symbol", "mic", "ticker"),
    [
        ("SIE.DE", "XETR", "SIE"),
        ("SIE.DE", "XNYS", "SIE.DE"),
        ("SIE.DE", None, "SIE.DE"),
        ("BRK.B", "XNYS", "BRK.B"),
        ("NESN.SW", "XSWX", "NESN"),
        ("AAPL.Z", "XSWX", "AAPL"),
        (".DE", "XETR", ".DE"),
    ],
)
def test_a_ticker_is_a_symbol_without_its_venues_suffix(symbol: str, mic: str | None, ticker: str) -> None:
    assert ticker_at(symbol, mic) == ticker
    assert mic is None or symbol in symbols_of_ticker(ticker, [mic])


@pytest.mark.parametrize(
    ("cap", "size"),
    [
        ("4514709583000.00", SizeClass.MEGA),
        ("200000000000", SizeClass.MEGA),
        ("199999999999", SizeClass.LARGE),
        ("1", SizeClass.NANO),
        ("0.00", None),
    ],
)
def test_size_classes(cap: str, size: SizeClass | None) -> None:
    assert size_class(Decimal(cap)) is size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L'Oréal S.A.", ["loreal", "sa"]),
        ("AT&T", ["att"]),
        ("S&P500", ["sp", "500"]),
        ("S & P 500", ["s", "p", "500"]),
        ("Coca-Cola", ["coca", "cola"]),
        ("E.ON SE", ["e", "on", "se"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("Ｓｏｎｙ　株式会社", ["sony", "株", "式", "会", "社"]),
        ("Ørsted Łódź", ["orsted", "lodz"]),
        ("Газпром", ["газпром"]),
        ("(((", []),
        ("_under_score_", ["under", "score"]),
        ("𝑨𝑩", ["ab"]),
    ],
)
def test_words_are_folded(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(max_size=60))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert words(" ".join(words(text))) == words(text)
    assert symbol_key(symbol_key(text)) == symbol_key(text)


@given(st.integers(1, 2**40 - 1))
def test_public_ids_go_round(number: int) -> None:
    assert parse_public_id(public_id(number)) == number


@pytest.mark.parametrize(
    "text", ["", "1", "ins_", "ins_0", "ins_01", "ins_x", "ins_1 ", "ins_٣", "ins_" + "9" * 30]
)
def test_what_is_no_id(text: str) -> None:
    assert parse_public_id(text) is None


def prominent(**changed: Any) -> int:
    facts: dict[str, Any] = {
        "status": "active",
        "asset_class": "equity",
        "size_class": "mega",
        "mic": "XNAS",
        "country": "US",
    }
    facts |= {"symbol": "X", "name": "Example Inc", "is_primary": True, **changed}
    return prominence(points_of(facts, words(facts["name"])))


def test_prominence_stays_in_its_bits() -> None:
    facts = itertools.product(AssetClass, (*SizeClass, None), VENUES.values(), (*BENCHMARKS, "BTC-USD"))
    highest = max(
        prominent(asset_class=kind, size_class=size, mic=venue.mic, country=venue.country, symbol=symbol)
        for kind, size, venue, symbol in facts
    )
    assert highest <= MAX_PROMINENCE < LEADS[Way.EXACT]
    assert rank(0, 2**40 - 1) < 2**53


@pytest.mark.parametrize(
    "facts",
    [
        {"mic": "XETR", "is_primary": False},
        {"mic": "XETR"},
        {"size_class": "small"},
        {"status": "suspended"},
        {"status": "delisted"},
        {"name": "Example Inc 5.25% Notes due 2052"},
        {"name": "Example Inc Warrants"},
        {"name": "X"},
        {"name": "Example Pencils and Paper of the West Inc"},
        {"asset_class": "index"},
    ],
)
def test_shares_of_large_companies_at_home_come_first(facts: dict[str, Any]) -> None:
    assert rank(prominent(), 9) < rank(prominent(**facts), 1)


def test_what_markets_are_measured_by_and_the_main_pairs_come_first() -> None:
    index, crypto = (
        {"asset_class": "index", "size_class": None},
        {"asset_class": "crypto", "size_class": None},
    )
    assert prominent(**index, symbol="^GSPC") > prominent(**index, symbol="^SPXU")
    coins = [prominent(**crypto, symbol=s) for s in ("BTC-USD", "BTC-EUR", "BTC-KRW", "DGB-USD")]
    assert coins == sorted(coins, reverse=True)


@pytest.mark.parametrize(
    ("name", "typed", "lead"),
    [
        (b"cardinal infrastructure group", b"cardinal i", 300),
        (b"cardinal infrastructure group", b"cardinal infrastructure", 450),
        (b"cardinal health", b"cardinal i", 0),
        (b"anta sports", b"anta", 150),
        (b"antar chile", b"anta", 0),
    ],
)
def test_a_name_that_begins_as_was_typed_leads(name: bytes, typed: bytes, lead: int) -> None:
    assert begins_lead(name, typed) == lead


SEARCH = Search("apple", {"status": ("active",)})
BY_NAME = Search("apple", {"status": ("active",)}, Sort.NAME)
generations, totals = st.integers(0, 2**50), st.integers(0, 10**7)
by_key = st.builds(Cursor, generations, st.integers(-(2**55), 2**52), st.just(0), totals, st.booleans())
by_count = st.builds(Cursor, generations, st.none(), st.integers(0, MAX_SKIP), totals)


@given(by_key, by_count)
def test_cursors_go_round(key: Cursor, count: Cursor) -> None:
    assert decode_cursor(encode_cursor(key, SEARCH), SEARCH) == key
    assert decode_cursor(encode_cursor(count, BY_NAME), BY_NAME) == count


@pytest.mark.parametrize(
    ("cursor", "search"),
    [
        (Cursor(1, None, 900_000, 9), SEARCH),
        (Cursor(1, None, 0, 9), SEARCH),
        (Cursor(1, 5, 7, 9), SEARCH),
        (Cursor(1, None, 20, 9, in_window=True), SEARCH),
        (Cursor(1, 5, 0, 9, in_window=True), BY_NAME),
        (Cursor(1, None, 0, 9, in_window=True), BY_NAME),
        (Cursor(1, None, MAX_SKIP + 1, 9), BY_NAME),
        (Cursor(1, 2**62, 0, 9), SEARCH),
        (Cursor(2**53, 5, 0, 9), SEARCH),
    ],
)
def test_a_cursor_that_was_made_up_is_refused(cursor: Cursor, search: Search) -> None:
    with pytest.raises(InvalidInput, match="not a cursor of this service"):
        decode_cursor(encode_cursor(cursor, search), search)


@given(st.text(max_size=80))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        decode_cursor(text, SEARCH)


def test_a_cursor_of_another_search_is_refused() -> None:
    cursor = encode_cursor(Cursor(1, 20, 0, 40), SEARCH)
    with pytest.raises(InvalidInput, match="another search"):
        decode_cursor(cursor, Search("apple", {"status": ("active", "delisted")}))
