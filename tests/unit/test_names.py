"""Names, symbols and typos as people type them."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.names import core_words, name_key, read_name
from app.domain.symbols import compact, roots, ticker_and_venues
from app.domain.text import one_letter_swapped, plain_words, spelled_out, symbol_key, words
from app.search.document import MAX_SHORT_PREFIX
from app.search.highlight import highlights
from app.search.reply import Hit
from app.search.typos import nearest_first

TEXTS = st.text(max_size=60) | st.text(alphabet="aZ9&'.- üßÉ株ｱ/", max_size=40)


@given(TEXTS)
def test_words_hold_letters_and_digits_alone_and_stay_as_they_are(text: str) -> None:
    found = words(text)
    assert all(word and word.isalnum() for word in found)
    assert words(" ".join(found)) == found


@given(TEXTS)
def test_what_is_typed_as_a_name_is_written_is_found(name: str) -> None:
    """Whichever way of writing it was folded into the index, the name's own words are among it, in order."""
    found = read_name(name)
    own = list(dict.fromkeys(words(name)))
    assert found.words == words(name)
    assert found.searched[: len(own)] == own
    assert {*words(spelled_out(name)), *found.first} <= set(found.searched)
    assert not own or found.first[0] == own[0]


@given(TEXTS)
def test_the_case_and_the_width_of_letters_do_not_matter(text: str) -> None:
    lower = text.casefold()
    assert words(lower) == words(text)
    # Some letters have no upper case of one letter, or one that others have as well.
    upper = "".join(c.upper() if c.upper().casefold() == c else c for c in lower)
    assert words(upper) == words(text)
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    assert plain_words(wide) == plain_words(text)


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("L'Oréal S.A.", ["loreal", "l", "oreal", "sa"]),
        ("AT&T Inc.", ["att", "at", "t", "inc"]),
        ("Coca-Cola Company", ["coca", "cola", "cocacola"]),
        ("Münchener Rück", ["munchener", "muenchener", "ruck", "rueck"]),
        ("JP Morgan Chase", ["jp", "morgan", "jpmorgan"]),
        ("E.ON SE", ["eon", "e", "on"]),
        ("Газпром", ["газпром"]),
        ("Εθνική Τράπεζα", ["εθνικη", "τραπεζα"]),
        ("贵州茅台", ["茅", "台"]),
    ],
)
def test_a_name_is_found_by_every_way_to_write_it(name: str, typed: list[str]) -> None:
    assert set(typed) <= set(read_name(name).searched)


@pytest.mark.parametrize(
    ("name", "asset_class", "core"),
    [
        ("Apple Inc. Common Stock", "equity", "apple"),
        ("Alphabet Inc. Class A Common Stock", "equity", "alphabet"),
        ("Shell plc American Depositary Shares (each representing two)", "equity", "shell"),
        ("Grupo Bimbo, S.A.B. de C.V.", "equity", "grupo bimbo"),
        ("AB Volvo (publ)", "equity", "volvo"),
        ("Intesa Sanpaolo S.p.A.", "equity", "intesa sanpaolo"),
        ("Bitcoin USD", "crypto", "bitcoin"),
        ("Alger Spectra Fund Class Y", "fund", "alger spectra fund class y"),
        ("S&P 500", "index", "sp 500"),
        ("Group Holdings", "equity", "group holdings"),
    ],
)
def test_the_core_of_a_name_is_what_it_is_asked_for_by(name: str, asset_class: str, core: str) -> None:
    assert core_words(words(name), asset_class) == core.split()


def test_names_of_the_same_words_are_the_same() -> None:
    assert name_key(words("Johnson & Johnson")) == name_key(words("johnson and johnson"))
    assert name_key(words("Deutsche Bank")) == name_key(words("bank deutsche"))
    assert name_key(words("Deutsche Bank")) != name_key(words("Deutsche Börse"))
    assert name_key(["and"]) != name_key(["the"]) != ""
    assert name_key([]) == ""


def test_articles_and_short_first_words_may_be_left_out_or_joined() -> None:
    assert read_name("The Home Depot").first == ["the", "home"]
    assert read_name("JP Morgan").first == ["jp", "jpmorgan"]
    assert read_name("Coca-Cola").first == ["coca", "cocacola"]
    assert read_name("Übersee").first == ["ubersee", "uebersee"]
    assert read_name("").first == []


@pytest.mark.parametrize("text", ["BRK.B", "BRK/B", "BRK-B", "brk b", "BRKB"])
def test_share_classes_are_one_however_they_are_written(text: str) -> None:
    assert compact(symbol_key(text)) == "BRKB"


@pytest.mark.parametrize(
    ("symbol", "mic", "asset_class", "name", "expected"),
    [
        ("BMW.DE", "XETR", "equity", "BMW", ["BMW"]),
        ("BRK/B", "XNYS", "equity", "Berkshire", ["BRKB"]),
        ("NOVO-B.CO", "XCSE", "equity", "Novo", ["NOVO-B", "NOVOB"]),
        ("F^B", "XNYS", "equity", "Ford 6.2% Notes", []),
        ("^GSPC", None, "index", "S&P 500", ["GSPC"]),
        ("EURUSD=X", None, "currency", "EUR/USD", ["EURUSD"]),
        ("JPY=X", None, "currency", "USD/JPY", ["USDJPY"]),
        ("BTC-USD", None, "crypto", "Bitcoin USD", ["BTCUSD", "BTC"]),
        ("AAPL", "XNAS", "equity", "Apple", []),
        ("USD", None, "currency", "US Dollar", []),
    ],
)
def test_roots(symbol: str, mic: str | None, asset_class: str, name: str, expected: list[str]) -> None:
    assert roots(symbol_key(symbol), mic, asset_class, name) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("BMW GY", ("BMW", ("XETR",))),
        ("BMW.DE", ("BMW", ("XETR",))),
        ("BMW XETR", ("BMW", ("XETR",))),
        ("XETR:BMW", ("BMW", ("XETR",))),
        ("NASDAQ:AAPL", ("AAPL", ("XNAS",))),
        ("BRK/B US", ("BRK/B", ("XNAS", "XNYS", "ARCX", "BATS", "XASE", "OTCM"))),
        ("DEUTSCHE BANK", None),
        ("BMW", None),
        ("BMW GY EQUITY", None),
    ],
)
def test_a_ticker_may_name_its_venue(key: str, expected: tuple[str, tuple[str, ...]] | None) -> None:
    assert ticker_and_venues(key) == expected


def instrument(
    symbol: str, name: str, *aliases: str, mic: str | None = None, **identifiers: str
) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "name": name,
        "asset_class": "equity",
        "mic": mic,
        "aliases": list(aliases),
        "identifiers": identifiers,
    }


@pytest.mark.parametrize(
    ("text", "shown", "expected"),
    [
        ("apple", instrument("AAPL", "Apple Inc."), {"name": [(0, 5)]}),
        ("s&p 500", instrument("^GSPC", "S&P 500"), {"name": [(0, 3), (4, 7)]}),
        ("sp500", instrument("^GSPC", "The S&P 500"), {"name": [(4, 7), (8, 11)]}),
        ("loreal", instrument("OR.PA", "L'Oréal S.A."), {"name": [(0, 7)]}),
        ("cocacola", instrument("KO", "Coca-Cola Co"), {"name": [(0, 9)]}),
        ("coca cola", instrument("KO", "Coca-Cola Co"), {"name": [(0, 4), (5, 9)]}),
        ("strasse", instrument("X", "Große Straße AG"), {"name": [(6, 12)]}),
        ("茅台", instrument("X", "贵州茅台"), {"name": [(2, 3), (3, 4)]}),
        ("jpmorgan", instrument("X", "JP Morgan Chase"), {"name": [(0, 9)]}),
        ("mueller", instrument("X", "Paul Müller AG"), {"name": [(5, 11)]}),
        ("mue", instrument("X", "Mu\u0308ller"), {"name": [(0, 3)]}),
        ("müller", instrument("X", "Mueller, Muller"), {"name": [(0, 7), (9, 15)]}),
        ("gal", instrument("X", "Alger Gale 3Galley"), {"name": [(6, 9)]}),
        ("a b", instrument("X", "Apple A Bank"), {"name": [(6, 7), (8, 9)]}),
        ("a", instrument("X", "Apple A Ark"), {"name": [(0, 1), (6, 7)]}),
        ("bmw gy", instrument("BMW.DE", "Motoren", mic="XETR"), {"symbol": [(0, 3)]}),
        ("xetr:novob", instrument("NOVO-B.DE", "N", mic="XETR"), {"symbol": [(0, 6)]}),
        ("bmw gy", instrument("BMW3.DE", "Motoren", mic="XETR"), {}),
        ("bmw gy", instrument("BMW.F", "Motoren", mic="XFRA"), {}),
        ("brkb", instrument("BRK/B", "Berkshire"), {"symbol": [(0, 5)]}),
        ("fb", instrument("META", "Meta", "X", "FB"), {"aliases.1": [(0, 2)]}),
        ("us-1", instrument("X", "Y", isin="US1", figi="B"), {"identifiers.isin": [(0, 3)]}),
        ("", instrument("X", "Y"), {}),
    ],
)
def test_highlights(text: str, shown: dict[str, Any], expected: dict[str, Any]) -> None:
    assert highlights(text, shown) == expected


@given(TEXTS, TEXTS, TEXTS)
def test_highlights_are_within_their_texts_and_do_not_overlap(text: str, name: str, symbol: str) -> None:
    for path, spans in highlights(text, instrument(symbol, name, symbol)).items():
        length = len(name if path == "name" else symbol)
        ends = [0, *(place for span in spans for place in span), length]
        assert ends == sorted(ends), path


@given(TEXTS)
def test_whatever_a_name_is_found_by_is_highlighted(name: str) -> None:
    for term in read_name(name).searched:
        if words(term) == [term]:  # of A0'B a0 is a part, but typed it is a and 0
            assert "name" in highlights(term, instrument("?", name)), term
    assert bool(words(name)) == ("name" in highlights(name, instrument("?", name)))


@given(
    st.text(alphabet="ab1", min_size=MAX_SHORT_PREFIX + 1, max_size=4),
    st.text(alphabet="ab1 -.&ü", max_size=20),
)
def test_nothing_is_highlighted_that_a_name_is_not_found_by(text: str, name: str) -> None:
    found = [term for term in read_name(name).searched for word in words(text) if term.startswith(word)]
    if not found:
        assert "name" not in highlights(text, instrument("?", name))


def hits(*names: str) -> list[Hit]:
    return [Hit(place, orjson.dumps({"name": name})) for place, name in enumerate(names)]


def test_the_nearest_name_comes_first() -> None:
    near = nearest_first("deutsche bnak", hits("Deutsche Bahn Bonk", "Deutsche Bank Trust", "Deutsche Bank"))
    assert [orjson.loads(found.hit.json)["name"] for found in near] == [
        "Deutsche Bank",
        "Deutsche Bank Trust",
    ]
    assert near[0].meant == "deutsche bank"


def test_a_wrong_first_letter_is_worse_than_another() -> None:
    near = nearest_first("tesko", hits("Pesko", "Tesco"))
    assert [orjson.loads(found.hit.json)["name"] for found in near] == ["Tesco", "Pesko"]


def test_short_words_are_not_mistaken_for_each_other() -> None:
    assert nearest_first("gold", hits("Bold", "Cold")) == []
    assert nearest_first("godl", hits("Gold")) != []


@given(st.text(alphabet="abcde", min_size=1, max_size=8))
def test_one_swap_makes_another_word_of_the_same_letters(word: str) -> None:
    for other in one_letter_swapped(word):
        assert other != word and sorted(other) == sorted(word)
