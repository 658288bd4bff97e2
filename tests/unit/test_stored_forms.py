"""Forms in which documents hold what they show: shorter JSON, and texts as numbers."""

from collections import defaultdict
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sort_key import MAX_KEY, NAMES, SYMBOLS, SortKeys
from app.search.document import instrument_json
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
    assert (NAMES.length, SYMBOLS.length) == (10, 9)
    assert NAMES.key("nasdaq us ") == NAMES.key("nasdaq us large") > NAMES.key("nasdaq us")
    assert SYMBOLS.key("BRK.A") < SYMBOLS.key("BRK.B")


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb"])
def test_a_header_cannot_begin_another(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        FinishedResponse(b"", headers={"ETag": value})._head(1)
