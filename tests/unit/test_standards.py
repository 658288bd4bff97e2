"""Codes that standards govern: each against its standard's own rules and published examples."""

from collections.abc import Iterable
from string import ascii_uppercase, digits
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cfi import InvalidCfi, canonical_cfi
from app.domain.identifiers import InvalidIdentifier, canonical_identifier, mistyped

CONSONANTS: Final = "BCDFGHJKLMNPQRSTVWXYZ"
VALUES: Final = {character: value for value, character in enumerate(digits + ascii_uppercase + "*@#")}
"""Of the characters of an identifier, as all five standards count them."""


@pytest.mark.parametrize(
    ("field", "text", "canonical"),
    [
        ("isin", "US0378331005", "US0378331005"),
        ("isin", "us 0378331005", "US0378331005"),
        ("isin", "US-037833100-5", "US0378331005"),
        ("isin", "XS0971721963", "XS0971721963"),
        ("isin", "EU000A1G0AE8", "EU000A1G0AE8"),
        ("isin", "EZVPTCCDHVJ0", "EZVPTCCDHVJ0"),
        ("isin", "XTV15WLZJMF0", "XTV15WLZJMF0"),
        ("cusip", "037833100", "037833100"),
        ("cusip", "38259P508", "38259P508"),
        ("cusip", "68389X105", "68389X105"),
        ("cusip", "392690QT3", "392690QT3"),
        ("sedol", "0263494", "0263494"),
        ("sedol", "B0YBKJ7", "B0YBKJ7"),
        ("sedol", "B000009", "B000009"),
        ("figi", "bbg000b9xry4", "BBG000B9XRY4"),
        ("figi", "BBG000BLNQ16", "BBG000BLNQ16"),
        ("composite_figi", "BBG000B9XRY4", "BBG000B9XRY4"),
        ("share_class_figi", "BBG001S5N8V8", "BBG001S5N8V8"),
        ("lei", "HWUPKR0MPOU8FGXBT394", "HWUPKR0MPOU8FGXBT394"),
        ("lei", "5493000IBP32UQZ0KL24", "5493000IBP32UQZ0KL24"),
    ],
)
def test_identifiers_become_canonical(field: str, text: str, canonical: str) -> None:
    assert canonical_identifier(field, text) == canonical


@pytest.mark.parametrize(
    ("field", "text", "reason"),
    [
        ("isin", "US0378331006", "wrong check digit"),
        ("isin", "EZVPTCCDHVJ1", "wrong check digit"),
        ("isin", "QQ0378331000", "begins with neither"),
        ("isin", "", "two letters"),
        ("isin", "US037833100", "two letters"),
        ("isin", "US037833100A", "two letters"),
        ("isin", "ＵＳ0378331005", "two letters"),
        ("isin", "Uſ0378331005", "two letters"),
        ("isin", "US0378331005\n", "two letters"),
        ("cusip", "037833101", "wrong check digit"),
        ("cusip", "03783310", "eight letters"),
        ("cusip", "037833$00", "eight letters"),
        ("sedol", "B0YBKJ8", "wrong check digit"),
        ("sedol", "A0YBKJ7", "consonant"),
        ("sedol", "BEYBKJ7", "consonant"),
        ("sedol", "0B63494", "consonant"),
        ("figi", "BBG000B9XRY5", "wrong check digit"),
        ("figi", "BBB000B9XRY4", "a G"),
        ("figi", "BBG000A9XRY4", "consonants"),
        ("figi", "B1G000B9XRY4", "consonants"),
        ("lei", "HWUPKR0MPOU8FGXBT395", "wrong check digit"),
        ("lei", "HWUPKR0MPOU8FGXBT3A4", "18 letters"),
        ("lei", "98", "18 letters"),
        ("lei", "HWUPKR0MPOU8\u2010FGXBT394", "18 letters"),
    ],
)
def test_what_is_no_identifier_is_told_why(field: str, text: str, reason: str) -> None:
    with pytest.raises(InvalidIdentifier, match=reason):
        canonical_identifier(field, text)


@pytest.mark.parametrize("prefix", ["BS", "BM", "GG", "GB", "GH", "KY", "VG"])
def test_a_figi_has_no_prefix_that_an_isin_could_have(prefix: str) -> None:
    body = f"{prefix}G000BLNQ1"
    with pytest.raises(InvalidIdentifier, match="not BS, BM, GG, GB, GH, KY or VG"):
        canonical_identifier("figi", body + luhn_digit(VALUES[c] for c in body))


def luhn_digit(values: Iterable[int]) -> str:
    """The check digit of the Modulus 10 Double Add Double technique, which doubles every second value."""
    digit_sums = (sum(map(int, str(value * (1, 2)[position % 2]))) for position, value in enumerate(values))
    return str(-sum(digit_sums) % 10)


def isin_digit(body: str) -> str:
    """ISO 6166, annex C: the digits of all values, doubled from the right."""
    values = [int(digit) for character in body for digit in str(VALUES[character])]
    return luhn_digit([0, *reversed(values)])


def sedol_digit(body: str) -> str:
    weighted = (weight * VALUES[c] for weight, c in zip((1, 3, 1, 7, 3, 9), body, strict=True))
    return str(-sum(weighted) % 10)


def lei_digits(body: str) -> str:
    return f"{98 - int(''.join(str(VALUES[c]) for c in body + '00')) % 97:02}"


alphanumeric = ascii_uppercase + digits
isins = st.builds(
    lambda prefix, rest: prefix + rest + isin_digit(prefix + rest),
    st.sampled_from(["US", "GB", "DE", "XS", "EU", "EZ", "XT", "ZZ"]),
    st.text(alphanumeric, min_size=9, max_size=9),
)
cusips = st.text(alphanumeric + "*@#", min_size=8, max_size=8).map(
    lambda body: body + luhn_digit(VALUES[c] for c in body)
)
sedols = st.one_of(
    st.text(digits, min_size=6, max_size=6),
    st.builds(
        lambda first, rest: first + rest,
        st.sampled_from(CONSONANTS),
        st.text(CONSONANTS + digits, min_size=5, max_size=5),
    ),
).map(lambda body: body + sedol_digit(body))
figis = st.text(CONSONANTS + digits, min_size=8, max_size=8).map(
    lambda body: f"BBG{body}{luhn_digit(VALUES[c] for c in 'BBG' + body)}"
)
leis = st.text(alphanumeric, min_size=18, max_size=18).map(lambda body: body + lei_digits(body))
identifiers = st.one_of(
    *(
        st.tuples(st.just(field), codes)
        for field, codes in {
            "isin": isins,
            "cusip": cusips,
            "sedol": sedols,
            "figi": figis,
            "lei": leis,
        }.items()
    )
)


@given(identifiers, st.data())
def test_every_single_digit_that_changes_is_noticed(identifier: tuple[str, str], data: st.DataObject) -> None:
    """No check digit promises as much of letters, which stand for two digits."""
    field, code = identifier
    assert canonical_identifier(field, code) == code
    position = data.draw(st.sampled_from([at for at, c in enumerate(code) if c.isdigit()]))
    digit = data.draw(st.sampled_from(digits.replace(code[position], "")))
    with pytest.raises(InvalidIdentifier):
        canonical_identifier(field, code[:position] + digit + code[position + 1 :])


@given(leis)
def test_an_lei_has_one_pair_of_check_digits(code: str) -> None:
    pairs = [f"{pair:02}" for pair in range(100)]
    accepted = [pair for pair in pairs if _is_identifier("lei", code[:18] + pair)]
    assert accepted == [code[18:]]


@pytest.mark.parametrize(
    "code",
    [
        *("ESVUFR", "ESXXXX", "DBFTFB", "CIOGEU", "RWSTCA", "OCASPS", "FFICSX"),
        *("SRCCSP", "JFTXFP", "TIEXXX", "MMMXXX", "esvufr"),
    ],
)
def test_a_cfi_is_found_letter_by_letter(code: str) -> None:
    assert canonical_cfi(code) == code.upper()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "six letters"),
        ("ESVUF", "six letters"),
        ("ESVUFRX", "six letters"),
        ("ESVUF1", "six letters"),
        ("ESVUFR\n", "six letters"),
        ("ſSVUFR", "six letters"),
        ("QSVUFR", "letter 1, Q, is no category; use C, D, E, F, H, I, J, K, L, M, O, R, S, T"),
        ("XXXXXX", "letter 1, X, is no category"),
        ("EXXXXX", "letter 2, X, is no group of E (equities); use C, D, F, L, M, P, S, Y"),
        ("ESQUFR", "letter 3, Q, is no voting right of ES (common/ordinary shares); use E, N, R, V, X"),
        ("ESVUQR", "letter 5, Q, is no payment status of ES (common/ordinary shares); use F, O, P, X"),
        ("TIEXXA", "letter 6, A, is no attribute of TI (indices); use X"),
    ],
)
def test_a_wrong_cfi_is_told_which_letter_and_what_may_stand_there(text: str, reason: str) -> None:
    with pytest.raises(InvalidCfi) as caught:
        canonical_cfi(text)
    assert reason in str(caught.value)


def test_the_categories_and_groups_are_those_of_iso_10962() -> None:
    groups = {
        "E": "CDFLMPSY",
        "C": "BEFHIMPS",
        "D": "ABCDEGMNSTWY",
        "R": "ADFMPSW",
        "O": "CMP",
        "F": "CF",
        "S": "CEFMRT",
        "H": "CEFMRT",
        "I": "FT",
        "J": "CEFRT",
        "K": "CEFMRTY",
        "L": "LRS",
        "T": "BCDIMRT",
        "M": "CM",
    }
    accepted = {
        category: "".join(group for group in ascii_uppercase if _is_cfi(f"{category}{group}XXXX"))
        for category in ascii_uppercase
    }
    assert {category: found for category, found in accepted.items() if found} == groups


@given(st.text(ascii_uppercase, min_size=6, max_size=6))
def test_every_refused_cfi_can_be_mended_letter_by_letter(text: str) -> None:
    """What the error says may stand there does: a few corrections lead to a code."""
    for _ in range(6):
        try:
            assert canonical_cfi(text) == text
        except InvalidCfi as error:
            position = int(str(error).partition("letter ")[2][0]) - 1
            choice = str(error).rpartition("use ")[2].split(", ")[-1]
            text = text[:position] + choice + text[position + 1 :]
    assert canonical_cfi(text) == text


def _is_cfi(text: str) -> bool:
    try:
        return bool(canonical_cfi(text))
    except InvalidCfi:
        return False


def _is_identifier(field: str, text: str) -> bool:
    try:
        return bool(canonical_identifier(field, text))
    except InvalidIdentifier:
        return False


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("us-037833 1006", "wrong check digit"),
        ("BBG000B9XRY5", "wrong check digit"),
        ("QQ0378331005", "neither a country"),
        ("US0378331005", None),
        ("BBG000B9XRY4", None),
        ("euro stoxx 600", None),
        ("deutsche2030", None),
        ("", None),
    ],
)
def test_a_mistyped_identifier_is_told(text: str, reason: str | None) -> None:
    told = mistyped(text)
    assert told is None if reason is None else reason in str(told)
