"""Forms in which documents hold what they show: shorter JSON, texts as numbers, and these in lanes."""

import re
from collections import defaultdict
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.instrument import AssetClass, Status
from app.domain.sort_key import MAX_KEY, NAMES, SYMBOLS, SortKeys
from app.search.document import instrument_json
from app.search.expression import Order
from app.search.key_range import KeyRange, whole_end
from app.search.lanes import CURRENCIES, first_alike, lane_key, lane_of, last_alike
from app.search.stored_json import RUNS, finished, stored
from app.web.finished import FinishedResponse

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(values))
def test_whatever_an_instrument_says_is_shown_as_it_was(instruments: list[object]) -> None:
    jsons = [orjson.dumps(instrument) for instrument in instruments]
    assert finished([stored(json) for json in jsons]) == jsons


def test_a_plain_instrument_has_every_run() -> None:
    row: dict[str, Any] = defaultdict(
        lambda: None,
        {"id": 1, "symbol": "A", "name": "A", "asset_class": "equity", "status": "active", "mic": "XNAS"},
    )
    row |= {"is_primary": True, "aliases": [], "attributes": "{}", "version": 1, "updated_at": "2026-01-01"}
    plain = instrument_json(row)
    held = stored(plain)
    assert all(byte in held for byte, _ in RUNS)
    assert len(held) < len(plain) / 2 and finished([held]) == [plain]


@pytest.mark.parametrize(
    ("keys", "alphabet"), [(NAMES, "abcz 019é中!~"), (SYMBOLS, "ABZ.-^=09_a é")], ids=["names", "symbols"]
)
def test_keys_sort_as_texts_do(keys: SortKeys, alphabet: str) -> None:
    @given(st.text(alphabet, max_size=14), st.text(alphabet, max_size=14))
    def check(one: str, other: str) -> None:
        low, high = sorted((one, other))
        assert 0 <= keys.key(low) <= keys.key(high) <= MAX_KEY

    check()


def test_keys_tell_apart_what_they_have_room_for() -> None:
    assert (
        NAMES.key("nasdaq us large cap") < NAMES.key("nasdaq us mid cap") < NAMES.key("nasdaq us mid cap v")
    )
    assert (
        NAMES.key("american funds bond") < NAMES.key("american funds capital") < NAMES.key("american funds g")
    )
    assert NAMES.key("x" * 40) == NAMES.key("x" * 41)
    assert SYMBOLS.key("BRK.A") < SYMBOLS.key("BRK.B") and SYMBOLS.key("12345678A") < SYMBOLS.key("12345678B")


KEYS = st.integers(0, MAX_KEY - 1)
ALL_LANES = [
    lane_of(asset_class, status, currency)
    for asset_class in AssetClass
    for status in Status
    for currency in (*CURRENCIES, "SEK")
]


def test_lanes_do_not_meet() -> None:
    bounds = [lane_key(lane, key) for lane in sorted(ALL_LANES) for key in (0, MAX_KEY)]
    assert bounds == sorted(set(bounds)) and bounds[-1] <= MAX_KEY
    assert lane_of("etf", "active", "SEK") == lane_of("etf", "active", "")


@given(KEYS, KEYS, st.sampled_from(ALL_LANES))
def test_lanes_keep_the_order_and_know_what_they_do_not_tell_apart(one: int, other: int, lane: int) -> None:
    low, high = sorted((one, other))
    assert lane_key(lane, low) <= lane_key(lane, high)
    assert first_alike(low) <= low <= last_alike(low)
    assert lane_key(lane, first_alike(low)) == lane_key(lane, last_alike(low)) == lane_key(lane, low)
    assert last_alike(low) == MAX_KEY or lane_key(lane, last_alike(low) + 1) > lane_key(lane, low)


@example(0, MAX_KEY - 255, 0, False, {ALL_LANES[1]}, True)  # one beyond the end is no key any more
@given(KEYS, KEYS, KEYS, st.booleans(), st.sets(st.sampled_from(ALL_LANES), min_size=1), st.booleans())
def test_a_range_in_lanes_is_that_of_the_sort_key(
    one: int, other: int, key: int, is_beyond: bool, lanes: set[int], is_ascending: bool
) -> None:
    start, wanted = sorted((one, other), reverse=not is_ascending)
    order = Order("key", "in_lane", is_ascending=is_ascending)
    end = whole_end(order, wanted)
    clause = KeyRange(start, end, is_beyond, frozenset(lanes)).clause(order)
    beside = {bound + step for bound in (start, wanted, end) for step in (-1, 0, 1)}
    for near in {key, *(number for number in beside if 0 <= number <= MAX_KEY)}:
        is_after = near > start if is_ascending else near < start
        is_before = near <= end if is_ascending else near >= end
        is_within = is_before and (is_after or (near == start and not is_beyond))
        for lane in lanes:
            assert holds(clause, {"key": near, "in_lane": lane_key(lane, near)}) == is_within


def holds(clause: str, document: dict[str, int]) -> bool:
    """Whether RediSearch would find a document by ranges: one of those wanted, and none of those unwanted."""
    found = {"": False, "-": False}
    for sign, field, low, high in re.findall(r"(-?)@(\w+):\[(\S+) (\S+)\]", clause):
        value = document[field]
        above = value > int(low[1:]) if low.startswith("(") else value >= int(low)
        below = value < int(high[1:]) if high.startswith("(") else value <= int(high)
        found[sign] |= above and below
    return found[""] and not found["-"]


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb"])
def test_a_header_cannot_begin_another(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        FinishedResponse(b"", headers={"ETag": value})._head(1)
