"""Profiles: what is valid, what each refusal names."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.profile import (
    Channel,
    ProfileLimits,
    parse_profile,
    profile_document,
)

LIMITS = ProfileLimits(profiles_per_owner=10, members=5, name_length=20)
GOOD: dict[str, Any] = {
    "name": "Blue chips",
    "channels": ["quotes", "trades"],
    "selection": {"instruments": ["ins_7", "ins_3"]},
}


def refused(document: object) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        parse_profile(document, LIMITS)
    return {error.field: error.message for error in caught.value.errors}


def test_a_profile_is_read_with_defaults_and_in_the_callers_order() -> None:
    profile = parse_profile(GOOD, LIMITS)
    assert profile.instruments == (7, 3)
    assert profile.channels == (Channel.TRADES, Channel.QUOTES)
    assert profile_document(profile) == {
        **GOOD,
        "description": "",
        "channels": ["trades", "quotes"],
        "delivery": {"mode": "streaming"},
        "status": "active",
    }


def test_a_saved_search_is_normalised() -> None:
    profile = parse_profile(
        {**GOOD, "selection": {"query": {"q": " bank ", "currency": "eur", "mic": ["xetr", "XFRA"]}}}, LIMITS
    )
    assert profile_document(profile)["selection"] == {
        "query": {"q": "bank", "mic": ["XETR", "XFRA"], "currency": ["EUR"], "status": ["active"]}
    }


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"name": None}, "name", "must be a text"),
        ({"name": "  "}, "name", "must have 1 to 20"),
        ({"name": "x" * 21}, "name", "must have 1 to 20"),
        ({"name": "a\nb"}, "name", "printable"),
        ({"name": "a\x00b"}, "name", "printable"),
        ({"description": "\x00"}, "description", "control characters"),
        ({"description": "x" * 1001}, "description", "at most 1000"),
        ({"channels": []}, "channels", "is empty"),
        ({"channels": ["news"]}, "channels[0]", "must be 'trades'"),
        ({"channels": ["bars", "bars"]}, "channels", "twice"),
        ({"channels": "bars"}, "channels", "must be a list"),
        ({"selection": {}}, "selection", "is empty"),
        ({"selection": []}, "selection", "must be an object"),
        ({"selection": {"instruments": []}}, "selection.instruments", "is empty"),
        ({"selection": {"query": {}}}, "selection.query", "is empty"),
        ({"selection": {"query": {"status": []}}}, "selection.query", "is empty"),
        ({"selection": {"query": {"colour": "red"}}}, "selection.query.colour", "unknown parameter"),
        ({"selection": {"query": {"currency": ["EUR", "XXQ"]}}}, "selection.query.currency", "ISO 4217"),
        ({"selection": {"query": {"mic": 3}}}, "selection.query.mic", "must be a text or a list of texts"),
        ({"selection": {"query": {"q": "x" * 201}}}, "selection.query.q", "201 characters"),
        ({"selection": {"instruments": ["ins_1"], "query": {"q": "a"}}}, "selection", "holds both"),
        ({"selection": {"instruments": ["ins_1"] * 2}}, "selection.instruments[1]", "repeats ins_1"),
        ({"selection": {"instruments": ["AAPL"]}}, "selection.instruments[0]", "not an instrument id"),
        ({"selection": {"instruments": [1]}}, "selection.instruments[0]", "must be a text"),
        (
            {"selection": {"instruments": [f"ins_{n}" for n in range(1, 7)]}},
            "selection.instruments",
            "at most 5",
        ),
        ({"delivery": {"mode": "pigeon"}}, "delivery.mode", "must be 'streaming'"),
        ({"delivery": {"mode": "conflated"}}, "delivery.interval_ms", "is required"),
        ({"delivery": {"interval_ms": 50}}, "delivery.interval_ms", "no meaning"),
        ({"delivery": {"mode": "snapshot", "interval_ms": 9}}, "delivery.interval_ms", "greater than"),
        ({"delivery": {"mode": "snapshot", "interval_ms": True}}, "delivery.interval_ms", "whole number"),
        ({"delivery": {"bar_interval": "1m"}}, "delivery.bar_interval", "needs the channel bars"),
        ({"delivery": {"book_depth": 5}}, "delivery.book_depth", "needs the channel book"),
        ({"status": "asleep"}, "status", "must be 'active' or 'paused'"),
        ({"colour": "red"}, "colour", "is unknown"),
    ],
)
def test_each_refusal_names_its_field(change: dict[str, Any], field: str, message: str) -> None:
    errors = refused({**GOOD, **change})
    assert message in errors[field], errors


@pytest.mark.parametrize("document", [None, [], "x", 3, True, [[[[]]]]])
def test_what_is_no_object_is_refused(document: object) -> None:
    assert refused(document) == {"body": "must be an object"}


def test_every_bad_field_is_told_at_once() -> None:
    assert set(refused({"name": "", "channels": [], "selection": {}})) == {"name", "channels", "selection"}
    assert set(refused({"colour": 1})) == {"name", "channels", "selection", "colour"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("field", "document"),
    [
        ("channels", {"channels": [0] * 300_000}),
        ("selection.instruments", {"selection": {"instruments": [0] * 300_000}}),
        ("selection.query.mic", {"selection": {"query": {"mic": [0] * 300_000}}}),
    ],
)
def test_a_list_that_is_too_long_is_one_error(field: str, document: dict[str, Any]) -> None:
    """However wrong its elements are: naming each would hold the process up, and fill the answer."""
    errors = refused({**GOOD, **document})
    assert list(errors) == [field]
    assert "at most" in errors[field]


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys((*GOOD, "delivery", "status", "description"), json_values)
    )
)
def test_whatever_comes_is_read_or_refused_by_field(document: dict[str, Any]) -> None:
    try:
        profile = parse_profile(document, LIMITS)
    except InvalidInput as error:
        assert all(item.field and item.message for item in error.errors)
    else:
        again = parse_profile(json.loads(json.dumps(profile_document(profile))), LIMITS)
        assert profile_document(again) == profile_document(profile)
