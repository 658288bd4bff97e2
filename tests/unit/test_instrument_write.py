"""What a write makes of an instrument, by tables; whatever is sent is read, or refused by field."""

from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.bulk_line import BulkLine, Creation, Edit, read_bulk_line
from app.domain.errors import Conflict, InvalidInput
from app.domain.instrument_fields import MAX_ALIASES, MAX_DATED_ALIASES
from app.domain.instrument_write import (
    Effective,
    Stored,
    delist_instrument,
    parse_effective,
    parse_instrument,
    parse_patch,
    patch_instrument,
    place_of,
)

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = date(2026, 6, 15)
COLUMNS: dict[str, Any] = {
    "symbol": "A",
    "name": "N",
    "status": "active",
    "mic": "XNYS",
    "exchange": None,
    "listed_on": date(2000, 1, 1),
    "delisted_on": None,
    "delist_at": None,
    "aliases": ["One"],
    "contract": None,
    "attributes": {"a": "1"},
}


def stored(dated: frozenset[str] = frozenset(), **columns: Any) -> Stored:
    return Stored(1, 1, {**COLUMNS, **columns}, dated, len(dated))


@pytest.mark.parametrize(
    ("old", "patch", "changes"),
    [
        ({}, {}, {}),
        ({}, {"name": "N"}, {}),
        ({}, {"name": " M  M "}, {"name": "M M"}),
        ({}, {"attributes": {"a": "1"}}, {}),
        ({}, {"attributes": {"a": None, "b": "2"}}, {"attributes": {"b": "2"}}),
        ({}, {"attributes": None}, {"attributes": {}}),
        ({}, {"contract": {"strike": "1E-7"}}, {"contract": {"strike": "0.0000001"}}),
        ({"contract": {"strike": "1", "x": []}}, {"contract": {"strike": None}}, {"contract": {"x": []}}),
        ({}, {"aliases": ["Two", "Two"]}, {"aliases": ["Two"]}),
        ({}, {"status": "delisted"}, {"status": "delisted"}),
        ({}, {"delisted_on": "2026-06-15"}, {"delisted_on": DAY, "status": "delisted"}),
        ({}, {"delisted_on": "2026-06-16"}, {"delisted_on": date(2026, 6, 16)}),
        (
            {"delisted_on": DAY, "delist_at": datetime(2026, 6, 15, 13, tzinfo=UTC)},
            {"status": "suspended"},
            {"status": "suspended"},
        ),
        (
            {"status": "delisted", "delisted_on": DAY},
            {"status": "active", "delisted_on": None},
            {"status": "active", "delisted_on": None},
        ),
    ],
)
def test_a_patch_changes_what_differs(
    old: dict[str, Any], patch: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert patch_instrument(stored(**old), parse_patch(patch, "ins_1"), NOW).columns == changes


def test_a_patch_that_repeats_the_aliases_that_are_shown_changes_nothing() -> None:
    plain, dated = [f"P{n}" for n in range(MAX_ALIASES)], [f"D{n}" for n in range(MAX_DATED_ALIASES)]
    instrument = stored(frozenset({*dated, "P0"}), aliases=plain)
    for aliases, changes in (
        ([*plain, *dated], {}),
        ([*plain[1:], *dated], {"aliases": plain[1:]}),
    ):
        given = parse_patch({"aliases": aliases}, "ins_1")
        assert patch_instrument(instrument, given, NOW).columns == changes
    with pytest.raises(InvalidInput) as caught:
        patch_instrument(instrument, parse_patch({"aliases": [*plain, "more", *dated[1:]]}, "ins_1"), NOW)
    assert [error.field for error in caught.value.errors] == ["aliases"]


def test_a_patch_says_what_was_edited() -> None:
    patch = {"name": "M", "delisted_on": "2020-01-01", "attributes": {"a": None, "b": "2"}, "primary": True}
    change = patch_instrument(stored(), parse_patch(patch, "ins_1"), NOW)
    assert change.edited == ("attributes.a", "attributes.b", "delisted_on", "is_primary", "name")


@pytest.mark.parametrize(
    ("old", "patch", "field"),
    [
        ({"delisted_on": DAY, "status": "delisted"}, {"status": "active"}, "status"),
        ({}, {"status": "delisted", "delisted_on": "2026-06-16"}, "delisted_on"),
        ({"status": "delisted"}, {"delisted_on": "2026-06-16"}, "delisted_on"),
        ({}, {"delisted_on": "1999-01-01"}, "delisted_on"),
        ({"delisted_on": DAY}, {"listed_on": "2026-06-16"}, "delisted_on"),
        ({"dated": frozenset(map(str, range(MAX_DATED_ALIASES)))}, {"symbol": "B"}, "symbol"),
    ],
)
def test_what_does_not_go_together_is_refused(old: dict[str, Any], patch: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        patch_instrument(stored(**old), parse_patch(patch, "ins_1"), NOW)
    assert [error.field for error in caught.value.errors] == [field]


@pytest.mark.parametrize(
    ("effective", "changes"),
    [
        (None, {"status": "delisted", "delisted_on": DAY}),
        (Effective(date(2020, 1, 1)), {"status": "delisted", "delisted_on": date(2020, 1, 1)}),
        (Effective(date(2026, 6, 16)), {"delisted_on": date(2026, 6, 16)}),
        (
            Effective(DAY, datetime(2026, 6, 15, 13, tzinfo=UTC)),
            {"delisted_on": DAY, "delist_at": datetime(2026, 6, 15, 13, tzinfo=UTC)},
        ),
        (
            Effective(DAY, datetime(2026, 6, 15, 11, tzinfo=UTC)),
            {"delisted_on": DAY, "status": "delisted"},
        ),
    ],
)
def test_a_delisting(effective: Effective | None, changes: dict[str, Any]) -> None:
    change = delist_instrument(stored(), effective, NOW)
    assert (change.columns, change.edited) == (changes, ("status", "delisted_on"))


def test_what_is_delisted_is_not_delisted_again() -> None:
    gone = stored(status="delisted", delisted_on=DAY)
    assert delist_instrument(gone, None, NOW).columns == {}
    assert delist_instrument(gone, Effective(DAY), NOW).columns == {}
    with pytest.raises(Conflict):
        delist_instrument(gone, Effective(date(2026, 6, 14)), NOW)
    with pytest.raises(InvalidInput):
        delist_instrument(stored(), Effective(date(1999, 1, 1)), NOW)


@pytest.mark.parametrize(
    ("text", "effective"),
    [
        ("2026-01-31", Effective(date(2026, 1, 31))),
        ("2026-01-31T00:00:00+02:00", Effective(date(2026, 1, 30), datetime(2026, 1, 30, 22, tzinfo=UTC))),
        (
            "9999-12-31T23:59:59Z",
            Effective(date(9999, 12, 31), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ),
    ],
)
def test_times(text: str, effective: Effective) -> None:
    assert parse_effective(text) == effective


@pytest.mark.parametrize(
    "text",
    [
        "",
        "T",
        "now",
        "2026-02-30",
        "2026-01-31T00:00:00",
        "9999-12-31T23:59:59-01:00",
        "2026-01-31T00:00:00 02:00",
        "20260131",
        "2026-W05-6",
        "20260131T090000Z",
        "2026-W05-6T09:00:00Z",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is neither a date"):
        parse_effective(text)


def test_a_place_is_venue_and_symbol_of_the_living() -> None:
    assert place_of({"symbol": "A", "mic": "XNYS", "exchange": "E"}) == ("XNYS", "A")
    assert place_of({"symbol": "A", "mic": None, "exchange": "E", "status": "active"}) == ("E", "A")
    assert place_of({"symbol": "A"}) == ("", "A")
    assert place_of({"symbol": "A", "status": "delisted"}) is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NEW = {"symbol": "A", "name": "N", "asset_class": "equity"}


@given(
    st.dictionaries(st.sampled_from(sorted(BulkLine.model_fields)) | st.text(max_size=4), JSON, max_size=5)
)
def test_whatever_is_sent_is_read_or_refused_by_field(document: dict[str, Any]) -> None:
    for read in (
        lambda: parse_instrument({**NEW, **document}, NOW),
        lambda: patch_instrument(stored(), parse_patch(document, "ins_1"), NOW),
        lambda: apply(read_bulk_line(orjson.dumps(document), NOW)),
        lambda: apply(read_bulk_line(orjson.dumps({**NEW, **document}), NOW)),
        lambda: apply(read_bulk_line(orjson.dumps({**document, "id": "ins_1"}), NOW)),
    ):
        try:
            read()
        except InvalidInput as error:
            assert error.errors and all(each.field and each.message for each in error.errors)


def apply(operation: Creation | Edit) -> None:
    if isinstance(operation, Edit):
        operation.change(stored())
