"""The pure core: identifiers, currencies, countries, venues, text, ranking, cursors."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.countries import country_code, country_of_place
from app.domain.currencies import Quotation, quotation
from app.domain.cursor import MAX_SKIP, Cursor, decode_cursor, encode_cursor
from app.domain.errors import InvalidInput
from app.domain.identifiers import InvalidIdentifier, canonical_identifier
from app.domain.instrument import AssetClass, SizeClass, Status, parse_public_id, public_id, size_class
from app.domain.query import Search
from app.domain.ranking import MAX_PROMINENCE, prominence, rank
from app.domain.text import fold, symbol_key, words
from app.domain.venues import VENUES, mic_of_code


@pytest.mark.parametrize(
    ("field", "text", "canonical"),
    [
        ("isin", "us 0378331005", "US0378331005"),
        ("isin", "US-037833100-5", "US0378331005"),
        ("cusip", "037833100", "037833100"),
        ("sedol", "B0YBKJ7", "B0YBKJ7"),
        ("figi", "bbg000b9xry4", "BBG000B9XRY4"),
        ("lei", "HWUPKR0MPOU8FGXBT394", "HWUPKR0MPOU8FGXBT394"),
    ],
)
def test_identifiers_become_canonical(field: str, text: str, canonical: str) -> None:
    assert canonical_identifier(field, text) == canonical


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("isin", "US0378331006"),
        ("isin", "ZZ0378331005"),
        ("isin", ""),
        ("cusip", "037833101"),
        ("sedol", "B0YBKJ8"),
        ("figi", "BBG000B9XRY5"),
        ("lei", "HWUPKR0MPOU8FGXBT395"),
        ("isin", "ＵＳ0378331005"),
    ],
)
def test_a_wrong_check_digit_is_refused(field: str, text: str) -> None:
    with pytest.raises(InvalidIdentifier):
        canonical_identifier(field, text)


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
        ("L'Oréal S.A.", ["l", "oreal", "s", "a"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("Ｓｏｎｙ　株式会社", ["sony", "株式会社"]),
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


def test_prominence_stays_in_its_bits() -> None:
    highest = max(
        prominence(Status.ACTIVE, asset_class, size, mic, primary=True)
        for asset_class in AssetClass
        for size in (*SizeClass, None)
        for mic in (*VENUES, None)
    )
    assert highest <= MAX_PROMINENCE
    assert rank(0, 2**40 - 1) < 2**53


def test_large_companies_at_home_come_first() -> None:
    home = prominence("active", "equity", "mega", "XNAS", primary=True)
    foreign = prominence("active", "equity", "mega", "XETR", primary=False)
    small = prominence("active", "equity", "small", "XNAS", primary=True)
    gone = prominence("delisted", "equity", "mega", "XNAS", primary=True)
    assert rank(home, 9) < rank(foreign, 1) < rank(gone, 1)
    assert rank(home, 9) < rank(small, 1) < rank(gone, 1)


SEARCH = Search("apple", {"status": ("active",)})
positions = st.builds(
    Cursor,
    st.integers(0, 2**50),
    st.integers(0, 5),
    st.none() | st.integers(0, 2**52),
    st.integers(0, MAX_SKIP),
    st.integers(0, 10**7),
)


@given(positions)
def test_cursors_go_round(cursor: Cursor) -> None:
    assert decode_cursor(encode_cursor(cursor, SEARCH), SEARCH) == cursor


@given(st.text(max_size=80))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        decode_cursor(text, SEARCH)


def test_a_cursor_of_another_search_is_refused() -> None:
    cursor = encode_cursor(Cursor(1, 0, None, 20, 40), SEARCH)
    with pytest.raises(InvalidInput, match="another search"):
        decode_cursor(cursor, Search("apple", {"status": ("active", "delisted")}))
