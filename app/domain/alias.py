"""Aliases: the names that people use for an instrument and the symbols that it had, some of them for a time.

Two lists hold an instrument's aliases. `plain` are names without dates; the sources of instruments replace
that list. `dated` are all others, which are told one by one: by people, by files of aliases, and by a
change of the symbol itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.domain.days import parse_day
from app.domain.errors import Conflict, FieldError, InvalidInput, NotFound
from app.domain.instrument_fields import MAX_ALIASES, MAX_DATED_ALIASES
from app.domain.json_model import read_model
from app.domain.query import Given
from app.domain.query_schema import Schema, query_of
from app.domain.text import symbol_key

MAX_ALIAS_LENGTH: Final = 100
NO_DATE: Final = "none"
"""In a query string: a validity that is open at this end."""
WHICH_FIELDS: Final = ("kind", "valid_from")
_NO_DAY: Final = "must be a date like 2026-01-31"


class AliasKind(StrEnum):
    NAME = "name"
    """Finds the instrument while it is valid."""
    SYMBOL = "symbol"
    """Goes on finding it when it is no longer valid."""


@dataclass(frozen=True, slots=True)
class Alias:
    """`valid_to` is the first day on which it no longer is; None: the validity is open at that end."""

    alias: str
    kind: AliasKind
    valid_from: date | None = None
    valid_to: date | None = None

    @property
    def is_plain(self) -> bool:
        return self.kind is AliasKind.NAME and self.valid_from is None and self.valid_to is None

    def is_in_force(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_to is None or day < self.valid_to
        )

    def overlaps(self, other: "Alias") -> bool:
        """Whether both are the same, but for upper and lower case, on any day."""
        return (
            self.kind is other.kind
            and symbol_key(self.alias) == symbol_key(other.alias)
            and (self.valid_from is None or other.valid_to is None or self.valid_from < other.valid_to)
            and (other.valid_from is None or self.valid_to is None or other.valid_from < self.valid_to)
        )

    def __str__(self) -> str:
        return f"the {self.kind} {self.alias!r}, {_day(self.valid_from)} to {_day(self.valid_to)}"


@dataclass(frozen=True, slots=True)
class Aliases:
    """All aliases of one instrument."""

    plain: tuple[str, ...]
    dated: tuple[Alias, ...]

    @property
    def all(self) -> tuple[Alias, ...]:
        return (*(Alias(name, AliasKind.NAME) for name in self.plain), *self.dated)


@dataclass(frozen=True, slots=True)
class Which:
    """An alias as a caller names it; what is not given fits any."""

    alias: str
    kind: AliasKind | None = None
    valid_from: date | None = None
    any_valid_from: bool = True

    def fits(self, alias: Alias) -> bool:
        return (
            symbol_key(alias.alias) == symbol_key(self.alias)
            and self.kind in (None, alias.kind)
            and (self.any_valid_from or self.valid_from == alias.valid_from)
        )


def add_alias(aliases: Aliases, new: Alias) -> Aliases:
    """The aliases with `new` among them. Raises Conflict where it overlaps one, or they are too many."""
    if overlapping := next(filter(new.overlaps, aliases.all), None):
        raise Conflict(f"the instrument has {overlapping}, already; remove that first, or choose other dates")
    if new.is_plain:
        _refuse_surplus(len(aliases.plain), MAX_ALIASES, "names without dates")
        return replace(aliases, plain=(*aliases.plain, new.alias))
    return _with_dated(aliases, new)


def tell_alias(aliases: Aliases, new: Alias, *, overwrite: bool) -> Aliases:
    """As `add_alias`, for a file that tells an alias: what is there already stays as it is.

    A name without dates is dated too, so that the sources of the instrument do not replace it.
    `overwrite`: dated aliases that overlap it make room.
    """
    overlapping = [alias for alias in aliases.all if new.overlaps(alias)]
    if any(replace(alias, alias=new.alias) == new for alias in overlapping):
        return aliases
    in_the_way = [alias for alias in overlapping if not overwrite or alias not in aliases.dated]
    if in_the_way:
        raise Conflict(
            f"the instrument has {in_the_way[0]}, already; remove that first, or import with --overwrite"
        )
    kept = tuple(alias for alias in aliases.dated if alias not in overlapping)
    return _with_dated(replace(aliases, dated=kept), new)


def remove_alias(aliases: Aliases, which: Which) -> Aliases:
    """The aliases without the one that is named. Raises NotFound, or Conflict if several fit."""
    fitting = [alias for alias in aliases.all if which.fits(alias)]
    fitting = [alias for alias in fitting if alias.alias == which.alias] or fitting
    if not fitting:
        raise NotFound(f"the instrument has no such alias as {which.alias[:MAX_ALIAS_LENGTH]!r}")
    if len({(alias.alias, alias.kind, alias.valid_from) for alias in fitting}) > 1:
        raise Conflict(
            f"several fit: {'; '.join(map(str, fitting))}; spell it as it is, "
            f"and give kind and valid_from (a date, or {NO_DATE})"
        )
    return Aliases(
        tuple(name for name in aliases.plain if Alias(name, AliasKind.NAME) not in fitting),
        tuple(alias for alias in aliases.dated if alias not in fitting),
    )


def _with_dated(aliases: Aliases, new: Alias) -> Aliases:
    _refuse_surplus(len(aliases.dated), MAX_DATED_ALIASES, "dated aliases and former symbols")
    return replace(aliases, dated=(*aliases.dated, new))


def _refuse_surplus(count: int, limit: int, what: str) -> None:
    if count >= limit:
        raise Conflict(f"the instrument has {count} {what}, the most that are allowed; remove one first")


def _day(day: date | None) -> str:
    return "an open date" if day is None else day.isoformat()


def _read_day(value: object) -> object:
    day = parse_day(value) if isinstance(value, str) else None
    if day is None:
        raise PydanticCustomError("day", _NO_DAY)
    return day


_Day: TypeAlias = Annotated[date, BeforeValidator(_read_day)]


class AliasDocument(BaseModel):
    """A name that people use for an instrument, or a symbol that it had."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"alias": "google", "kind": "name"},
                {"alias": "FB", "kind": "symbol", "valid_from": "2012-05-18", "valid_to": "2022-06-09"},
            ]
        },
    )

    alias: Annotated[
        str, Field(strict=True, json_schema_extra={"minLength": 1, "maxLength": MAX_ALIAS_LENGTH})
    ]
    """Printable, with a letter or a digit; compared without regard to case."""
    kind: AliasKind
    """A `name` finds the instrument while it is valid; a `symbol` that it had goes on finding it."""
    valid_from: _Day | None = None
    """The first day (UTC); absent: from ever."""
    valid_to: _Day | None = None
    """The first day on which it no longer is; absent: for ever."""


def parse_alias(document: object) -> Alias:
    """The alias that a JSON value describes. Raises InvalidInput naming every bad field."""
    given = read_model(AliasDocument, document)
    return checked_alias(Alias(given.alias, given.kind, given.valid_from, given.valid_to))


def checked_alias(alias: Alias) -> Alias:
    """The alias with single spaces. Raises InvalidInput naming every bad field."""
    text = " ".join(alias.alias.split())
    errors = []
    if not 1 <= len(text) <= MAX_ALIAS_LENGTH:
        errors.append(FieldError("alias", f"must have 1 to {MAX_ALIAS_LENGTH} characters"))
    elif not text.isprintable() or not any(map(str.isalnum, text)):
        errors.append(FieldError("alias", "must be printable, with a letter or a digit"))
    if alias.valid_from and alias.valid_to and alias.valid_to <= alias.valid_from:
        errors.append(FieldError("valid_to", f"must be after valid_from ({alias.valid_from})"))
    if errors:
        raise InvalidInput(*errors)
    return replace(alias, alias=text)


def parse_which(alias: str, pairs: Sequence[tuple[str, str]]) -> Which:
    """Which alias `alias` and a query string name. Raises InvalidInput."""
    given = Given(pairs, known=WHICH_FIELDS)
    kind = given.choice("kind", tuple(AliasKind), "")
    day = given.single("valid_from")
    valid_from = None if day is None else parse_day(day)
    if valid_from is None and day not in (None, NO_DATE):
        given.refuse("valid_from", f"{_NO_DAY}, or {NO_DATE}")
    given.raise_if_refused()
    return Which(alias, AliasKind(kind) if kind else None, valid_from, any_valid_from=day is None)


def which_schema(_max_limit: int) -> Schema:
    """What `parse_which` reads, as JSON Schema."""
    fields: dict[str, Schema] = {
        "kind": {"type": "string", "enum": list(AliasKind), "description": "absent: any"},
        "valid_from": {
            "type": "string",
            "anyOf": [{"format": "date"}, {"const": NO_DATE}],
            "description": "of the one that is meant, where several fit; absent: any",
        },
    }
    return query_of(WHICH_FIELDS, fields)


def dated_document(dated: Sequence[Alias]) -> list[dict[str, Any]]:
    """Dated aliases as they are stored."""
    return [
        {"alias": a.alias, "kind": a.kind, "valid_from": a.valid_from, "valid_to": a.valid_to} for a in dated
    ]


def read_dated(document: Sequence[dict[str, Any]]) -> tuple[Alias, ...]:
    """The reverse of `dated_document`."""
    return tuple(
        Alias(
            entry["alias"],
            AliasKind(entry["kind"]),
            _stored_day(entry, "valid_from"),
            _stored_day(entry, "valid_to"),
        )
        for entry in document
    )


def _stored_day(entry: dict[str, Any], name: str) -> date | None:
    text = entry.get(name)
    return None if text is None else date.fromisoformat(text)
