"""What aliases are: which overlap, which is meant, and what is refused."""

from datetime import date
from typing import Any, overload

import pytest

from app.domain.alias import (
    Alias,
    Aliases,
    AliasKind,
    Which,
    add_alias,
    dated_document,
    parse_alias,
    parse_which,
    read_dated,
    remove_alias,
    tell_alias,
)
from app.domain.errors import Conflict, InvalidInput, NotFound
from app.domain.instrument_fields import MAX_ALIASES, MAX_DATED_ALIASES

NONE = Aliases((), ())


@overload
def day(year: int) -> date: ...
@overload
def day(year: int | None) -> date | None: ...
def day(year: int | None) -> date | None:
    return None if year is None else date(year, 1, 1)


def symbol(text: str, start: int | None = None, end: int | None = None) -> Alias:
    return Alias(text, AliasKind.SYMBOL, day(start), day(end))


def name(text: str, start: int | None = None, end: int | None = None) -> Alias:
    return Alias(text, AliasKind.NAME, day(start), day(end))


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (symbol("FB", 2012, 2022), symbol("FB", 2022, 2024), False),
        (symbol("FB", 2012, 2022), symbol("fb", 2021, 2024), True),
        (symbol("FB", 2012, 2022), symbol("FB"), True),
        (symbol("FB", None, 2012), symbol("FB", 2012), False),
        (symbol("FB", 2012, 2022), name("FB", 2012, 2022), False),
        (symbol("FB"), symbol("FBA"), False),
    ],
)
def test_the_same_alias_overlaps_itself_on_common_days(one: Alias, other: Alias, overlap: bool) -> None:
    assert one.overlaps(other) == other.overlaps(one) == overlap


@pytest.mark.parametrize(
    ("alias", "days"),
    [
        (name("x"), {2000, 2010, 2020}),
        (name("x", 2010), {2010, 2020}),
        (name("x", None, 2010), {2000}),
        (symbol("x", 2010, 2020), {2010}),
    ],
)
def test_an_alias_is_in_force_from_its_first_day_until_the_day_on_which_it_no_longer_is(
    alias: Alias, days: set[int]
) -> None:
    assert {year for year in (2000, 2010, 2020) if alias.is_in_force(day(year))} == days


def test_names_without_dates_are_plain_and_all_others_are_dated() -> None:
    added = [name("google"), name("alphabet", 2015), symbol("GOOG"), symbol("FB", 2012, 2022)]
    aliases = NONE
    for alias in added:
        aliases = add_alias(aliases, alias)
    assert aliases == Aliases(("google",), tuple(added[1:]))
    assert read_dated([{**entry, **texts(entry)} for entry in dated_document(aliases.dated)]) == aliases.dated
    with pytest.raises(Conflict, match="'google', an open date to an open date, already"):
        add_alias(aliases, name("Google", 2020))


def texts(entry: dict[str, Any]) -> dict[str, str]:
    """The dates of a stored alias, as JSON has them."""
    return {key: value.isoformat() for key, value in entry.items() if isinstance(value, date)}


def test_there_is_a_limit_to_each() -> None:
    full = Aliases(
        tuple(f"n{number}" for number in range(MAX_ALIASES)),
        tuple(symbol(f"s{number}") for number in range(MAX_DATED_ALIASES)),
    )
    for alias in (name("one more"), symbol("one more")):
        with pytest.raises(Conflict, match="most that are allowed"):
            add_alias(full, alias)
    with pytest.raises(Conflict, match="most that are allowed"):
        tell_alias(full, name("one more"), overwrite=True)


def test_a_file_adds_what_is_not_there_and_leaves_the_plain_names_alone() -> None:
    aliases = Aliases(("google",), (symbol("FB", 2012, 2022),))
    for there in (name("GOOGLE"), symbol("fb", 2012, 2022)):
        assert tell_alias(aliases, there, overwrite=False) is aliases
    told = tell_alias(aliases, name("alphabet"), overwrite=False)
    assert told == Aliases(("google",), (symbol("FB", 2012, 2022), name("alphabet")))


def test_a_file_replaces_dates_only_if_it_may_and_plain_names_never() -> None:
    aliases = Aliases(("google",), (symbol("FB", 2012, 2022), symbol("FB", 2023, 2024), symbol("X")))
    with pytest.raises(Conflict, match="--overwrite"):
        tell_alias(aliases, symbol("FB", 2011, 2025), overwrite=False)
    overwritten = tell_alias(aliases, symbol("FB", 2011, 2025), overwrite=True)
    assert overwritten.dated == (symbol("X"), symbol("FB", 2011, 2025))
    with pytest.raises(Conflict, match="remove that first"):
        tell_alias(aliases, name("google", 2020), overwrite=True)


TWICE = Aliases(("FB", "fb"), (symbol("FB", None, 2012), symbol("FB", 2012, 2022), name("Meta")))


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (Which("meta"), Aliases(TWICE.plain, TWICE.dated[:2])),
        (Which("fb"), Aliases(("FB",), TWICE.dated)),
        (Which("FB", AliasKind.NAME), Aliases(("fb",), TWICE.dated)),
        (
            Which("fB", AliasKind.SYMBOL, day(2012), any_valid_from=False),
            Aliases(TWICE.plain, (TWICE.dated[0], TWICE.dated[2])),
        ),
        (
            Which("FB", AliasKind.SYMBOL, None, any_valid_from=False),
            Aliases(TWICE.plain, TWICE.dated[1:]),
        ),
    ],
)
def test_what_is_named_is_removed(which: Which, left: Aliases) -> None:
    assert remove_alias(TWICE, which) == left


def test_a_name_that_a_source_and_a_file_tell_is_removed_from_both() -> None:
    assert remove_alias(Aliases(("google",), (name("google"),)), Which("google")) == NONE


def test_what_does_not_name_exactly_one_alias_is_refused() -> None:
    with pytest.raises(NotFound, match="no such alias as 'x'"):
        remove_alias(TWICE, Which("x"))
    with pytest.raises(NotFound):
        remove_alias(TWICE, Which("meta", AliasKind.SYMBOL))
    with pytest.raises(Conflict, match=r"several fit: .*2012-01-01 to 2022-01-01.*give kind and valid_from"):
        remove_alias(TWICE, Which("FB"))


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"alias": ""}, ["alias"]),
        ({"alias": " \t "}, ["alias"]),
        ({"alias": "^."}, ["alias"]),
        ({"alias": "x" * 101}, ["alias"]),
        ({"alias": "a\0b"}, ["alias"]),
        ({"alias": 7}, ["alias"]),
        ({"alias": None}, ["alias"]),
        ({"kind": "isin"}, ["kind"]),
        ({"valid_from": "2012-W05-1"}, ["valid_from"]),
        ({"valid_from": "20120518"}, ["valid_from"]),
        ({"valid_from": "2012-02-30"}, ["valid_from"]),
        ({"valid_from": 1337212800}, ["valid_from"]),
        ({"valid_to": "2012-05-18"}, ["valid_to"]),
        ({"alias": "", "valid_to": "2011-01-01"}, ["alias", "valid_to"]),
        ({"until": "2012-05-18"}, ["until"]),
    ],
)
def test_bad_fields_are_named(changes: dict[str, Any], fields: list[str]) -> None:
    good = {"alias": "FB", "kind": "symbol", "valid_from": "2012-05-18", "valid_to": "2022-06-09"}
    with pytest.raises(InvalidInput) as caught:
        parse_alias({**good, **changes})
    assert [error.field for error in caught.value.errors] == fields


def test_spaces_are_tidied() -> None:
    assert parse_alias({"alias": "  big   blue ", "kind": "name", "valid_to": None}) == name("big blue")


def test_a_query_string_says_which_is_meant() -> None:
    assert parse_which("FB", []) == Which("FB")
    assert parse_which("FB", [("kind", "name"), ("valid_from", "none")]) == Which(
        "FB", AliasKind.NAME, None, any_valid_from=False
    )
    assert parse_which("FB", [("valid_from", "2012-01-01")]).valid_from == day(2012)
    for pairs in ([("valid_from", "")], [("kind", "isin")], [("valid_to", "none")]):
        with pytest.raises(InvalidInput):
            parse_which("FB", pairs)
