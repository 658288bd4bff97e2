"""Adding and removing members of a profile: what was asked, and what becomes of a list of members.

Members are a set in the order in which they came. What is there already is not added, what is not there
is not removed; so edits of different instruments commute, whoever makes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from app.domain.errors import FieldError, InvalidInput
from app.domain.instrument import parse_public_id, public_id
from app.domain.json_model import at_most, read_model

MAX_ITEMS: Final = 10_000
"""Of each list."""


class Result(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


_Ids: TypeAlias = Annotated[
    list[Annotated[str, Field(strict=True)]],
    at_most(MAX_ITEMS, "instruments"),
    Field(json_schema_extra={"maxItems": MAX_ITEMS}),
]


class MemberEditDocument(BaseModel):
    """Instruments to add and to remove; at least one."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"minItems": 1}}} for name in ("add", "remove")
            ],
            "examples": [{"add": ["ins_272"], "remove": ["ins_273"], "atomic": False}],
        },
    )

    add: _Ids = []
    remove: _Ids = []
    atomic: Annotated[bool, Field(strict=True)] = True


@dataclass(frozen=True, slots=True)
class Item:
    """One instrument to add or to remove; `number` None: refused for `refusal` whatever the members are."""

    field: str
    text: str
    number: int | None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class MemberEdit:
    add: tuple[Item, ...]
    remove: tuple[Item, ...]
    atomic: bool
    """Whether nothing is done if any item is refused."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item. `message` says why it was rejected."""

    item: Item
    result: Result
    message: str = ""


@dataclass(frozen=True, slots=True)
class Edited:
    members: tuple[int, ...]
    outcomes: tuple[Outcome, ...]
    """Of what is to be added, then of what is to be removed, each in the order given."""

    def count(self, result: Result) -> int:
        return sum(outcome.result is result for outcome in self.outcomes)


def parse_member_edit(document: object) -> MemberEdit:
    """The edit that a JSON value describes. Raises InvalidInput naming every field of the wrong shape."""
    given = read_model(MemberEditDocument, document)
    if not given.add and not given.remove:
        raise InvalidInput.of("body", "names no instrument; give add or remove (lists of ids)")
    seen: dict[int, str] = {}
    return MemberEdit(_items("add", given.add, seen), _items("remove", given.remove, seen), given.atomic)


def edit_members(
    edit: MemberEdit, members: Sequence[int], unusable: Mapping[int, str], max_members: int
) -> Edited:
    """What an edit makes of `members`. `unusable` says of instruments why they cannot become members.

    Raises InvalidInput naming every item that is refused where the edit is atomic.
    """
    kept = dict.fromkeys(members)
    leaving = sum(item.number in kept for item in edit.remove)
    outcomes = [_add(item, kept, unusable, max_members + leaving) for item in edit.add]
    outcomes += [_remove(item, kept) for item in edit.remove]
    refused = [outcome for outcome in outcomes if outcome.result is Result.REJECTED]
    if edit.atomic and refused:
        raise InvalidInput(*(FieldError(outcome.item.field, outcome.message) for outcome in refused))
    return Edited(tuple(kept), tuple(outcomes))


def _items(name: str, texts: Sequence[str], seen: dict[int, str]) -> tuple[Item, ...]:
    items = []
    for place, text in enumerate(texts):
        field = f"{name}[{place}]"
        number = parse_public_id(text)
        if number is None:
            items.append(Item(field, text, None, f"is not an instrument id like {public_id(1)}"))
        elif number in seen:
            items.append(Item(field, text, None, f"repeats {text}, which is at {seen[number]} already"))
        else:
            seen[number] = field
            items.append(Item(field, text, number))
    return tuple(items)


def _add(item: Item, kept: dict[int, None], unusable: Mapping[int, str], room: int) -> Outcome:
    if item.number is None:
        return Outcome(item, Result.REJECTED, item.refusal)
    if item.number in kept:
        return Outcome(item, Result.UNCHANGED)
    if (reason := unusable.get(item.number)) is not None:
        return Outcome(item, Result.REJECTED, f"{item.text} is {reason}")
    if len(kept) >= room:
        return Outcome(item, Result.REJECTED, "would be one more instrument than a profile may have")
    kept[item.number] = None
    return Outcome(item, Result.ADDED)


def _remove(item: Item, kept: dict[int, None]) -> Outcome:
    if item.number is None:
        return Outcome(item, Result.REJECTED, item.refusal)
    if item.number not in kept:
        return Outcome(item, Result.UNCHANGED)
    if len(kept) == 1:
        return Outcome(item, Result.REJECTED, "would leave no instrument; delete the profile instead")
    del kept[item.number]
    return Outcome(item, Result.REMOVED)
