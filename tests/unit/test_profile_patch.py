"""Merge patches of profiles, and described changes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.profile import Profile, parse_profile, profile_document
from app.domain.profile_patch import describe_changes, merge_patch, patch_profile
from tests.unit.test_profile import GOOD, LIMITS, json_values

PATCHES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys((*GOOD, "delivery", "status", "description", "unknown"), json_values)
)


def profile_of(**changes: Any) -> Profile:
    return parse_profile({**GOOD, **changes}, LIMITS)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_is_that_of_the_standard(target: object, patch: object, result: object) -> None:
    assert merge_patch(target, patch) == result


def outcome(patched: Any) -> Any:
    """The profile, or what was refused."""
    try:
        return patched()
    except InvalidInput as error:
        return sorted((item.field, item.message) for item in error.errors)


@given(PATCHES | json_values)
def test_a_patched_profile_is_what_its_patched_document_describes(patch: Any) -> None:
    for before in (profile_of(), profile_of(selection={"query": {"q": "bank"}})):
        described = outcome(lambda: parse_profile(merge_patch(profile_document(before), patch), LIMITS))  # noqa: B023
        assert outcome(lambda: patch_profile(before, patch, LIMITS)) == described  # noqa: B023


def test_a_selection_that_a_patch_leaves_is_not_limited_again() -> None:
    narrower = replace(LIMITS, members=1)
    assert patch_profile(profile_of(), {"name": "N"}, narrower) == profile_of(name="N")


def test_changes_name_fields_and_members() -> None:
    before = profile_of()
    after = profile_of(name="N", selection={"instruments": ["ins_3", "ins_9"]})
    assert describe_changes(before, after) == {
        "name": {"from": "Blue chips", "to": "N"},
        "instruments": {"added": ["ins_9"], "removed": ["ins_7"]},
    }
    swapped = profile_of(selection={"instruments": ["ins_3", "ins_7"]})
    assert describe_changes(before, swapped) == {
        "instruments": {"added": [], "removed": [], "reordered": True}
    }
    assert describe_changes(before, before) == {}


def test_changes_to_and_of_a_query_tell_both() -> None:
    banks = {"query": {"q": "bank", "status": ["active"]}}
    funds = {"query": {"asset_class": ["fund"], "status": ["delisted"]}}
    for old, new in ((GOOD["selection"], banks), (banks, funds), (funds, GOOD["selection"])):
        changes = describe_changes(profile_of(selection=old), profile_of(selection=new))
        assert changes == {"selection": {"from": old, "to": new}}
