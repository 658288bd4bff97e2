"""Edits of members as a table and as properties: sets in an order, and named culprits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.instrument import public_id
from app.domain.member_edit import MAX_ITEMS, Result, edit_members, parse_member_edit

numbers = st.lists(st.integers(1, 30), unique=True)


def ids(*given_numbers: int) -> list[str]:
    return [public_id(number) for number in given_numbers]


def results(document: dict[str, Any], members: tuple[int, ...] = (1, 2), most: int = 4) -> Any:
    edited = edit_members(parse_member_edit({"atomic": False, **document}), members, {9: "delisted"}, most)
    return edited.members, [(outcome.item.field, outcome.result.value) for outcome in edited.outcomes]


def test_each_item_has_its_result_in_the_order_given() -> None:
    document = {"add": [*ids(3, 2, 9), "x", *ids(3)], "remove": ids(1, 7, 3)}
    assert results(document) == (
        (2, 3),
        [
            ("add[0]", "added"),
            ("add[1]", "unchanged"),
            ("add[2]", "rejected"),
            ("add[3]", "rejected"),
            ("add[4]", "rejected"),
            ("remove[0]", "removed"),
            ("remove[1]", "unchanged"),
            ("remove[2]", "rejected"),
        ],
    )


def test_an_atomic_edit_names_every_culprit() -> None:
    edit = parse_member_edit({"add": [*ids(3, 9), "x"], "remove": ids(3)})
    with pytest.raises(InvalidInput) as refused:
        edit_members(edit, (1, 2), {9: "delisted"}, 10)
    assert [(error.field, error.message) for error in refused.value.errors] == [
        ("add[1]", "ins_9 is delisted"),
        ("add[2]", "is not an instrument id like ins_1"),
        ("remove[0]", "repeats ins_3, which is at add[0] already"),
    ]


def test_members_that_leave_make_room() -> None:
    assert results({"add": ids(5, 6), "remove": ids(1, 2)}, (1, 2), most=2)[0] == (5, 6)
    assert results({"add": ids(5, 6), "remove": ids(1)}, (1, 2), most=2) == (
        (2, 5),
        [("add[0]", "added"), ("add[1]", "rejected"), ("remove[0]", "removed")],
    )


def test_the_last_member_stays() -> None:
    assert results({"remove": ids(2, 1)}) == ((1,), [("remove[0]", "removed"), ("remove[1]", "rejected")])


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "body"),
        ({}, "body"),
        ({"add": "ins_1"}, "add"),
        ({"add": [1]}, "add[0]"),
        ({"remove": None}, "remove"),
        ({"add": ids(1), "atomic": "no"}, "atomic"),
        ({"add": ids(1), "then": 1}, "then"),
        ({"add": ["ins_1"] * (MAX_ITEMS + 1)}, "add"),
    ],
)
def test_a_wrong_shape_is_refused_by_field(document: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_member_edit(document)
    assert [error.field for error in refused.value.errors] == [field]


@given(members=numbers.filter(bool), add=numbers, remove=numbers)
def test_what_is_left_is_what_set_algebra_says(members: list[int], add: list[int], remove: list[int]) -> None:
    remove = [number for number in remove if number not in add]
    if not add and not remove:
        return
    edit = parse_member_edit({"add": ids(*add), "remove": ids(*remove), "atomic": False})
    edited = edit_members(edit, members, {}, 100)
    expected = (set(members) | set(add)) - set(remove)
    assert set(edited.members) == expected or (not expected and len(edited.members) == 1)
    kept = [number for number in members if number in edited.members]
    assert list(edited.members[: len(kept)]) == kept
    assert edited.count(Result.ADDED) - edited.count(Result.REMOVED) == len(edited.members) - len(members)
