"""What a write makes of an instrument: columns for a new one, or those that differ from what is stored.

A patch looks at nothing that it does not name: what an import let through, somebody else may mend.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final, TypeVar

import orjson

from app.domain.days import parse_day
from app.domain.errors import Conflict, FieldError, InvalidInput
from app.domain.identifiers import IDENTIFIER_FIELDS
from app.domain.instrument import Status, decimal_text
from app.domain.instrument_document import InstrumentDocument, InstrumentFields
from app.domain.instrument_fields import MAX_ALIASES, MAX_DATED_ALIASES
from app.domain.json_model import read_model
from app.domain.venues import mic_of_code

MAX_ATTRIBUTES: Final = 100
UNCHANGEABLE: Final = ("id", "version", "updated_at")
_NEVER_NULL: Final = ("symbol", "name", "asset_class", "status", "primary")
_COLUMNS: Final[Mapping[str, str]] = {"primary": "is_primary"}
"""Of fields that are called otherwise."""
_DATES: Final = frozenset({"status", "listed_on", "delisted_on"})

_Fields = TypeVar("_Fields", bound=InstrumentFields)


@dataclass(frozen=True, slots=True)
class Stored:
    """An instrument before a write: its columns as Python has them, JSON objects decoded."""

    number: int
    version: int
    columns: Mapping[str, Any]
    dated_aliases: frozenset[str]
    """Those of its aliases with dates that are shown now."""
    dated_count: int
    """How many there are, shown or not."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be stored: columns, and which of them somebody set by hand (attributes by their names)."""

    columns: Mapping[str, Any]
    edited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Effective:
    """When a delisting takes effect: on a day (UTC), `at` a time of it or with its beginning."""

    day: date
    at: datetime | None = None

    @property
    def moment(self) -> datetime:
        return self.at or datetime.combine(self.day, time(), UTC)


def parse_instrument(document: object, now: datetime) -> Change:
    """A new instrument from a JSON value. Raises InvalidInput naming every bad field."""
    return new_instrument(_read(InstrumentDocument, document, {}), now)


def parse_patch(document: object, public_id: str) -> InstrumentFields:
    """A merge patch (RFC 7396) of an instrument. Raises InvalidInput naming every bad field."""
    return _read(InstrumentFields, document, {"id": public_id})


def parse_effective(text: str) -> Effective:
    """A date, or a time with its offset (RFC 3339). Raises ValueError."""
    try:
        day, is_time, _ = text.upper().partition("T")
        if (parsed := parse_day(day)) is None:
            raise ValueError("not in the form that RFC 3339 has of a date")
        if not is_time:
            return Effective(parsed)
        at = datetime.fromisoformat(text.upper())
        if at.tzinfo is None:
            raise ValueError("without an offset")
        at = at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            "is neither a date like 2026-01-31 nor a time like 2026-01-31T09:00:00Z "
            "(in a URL, write the + of an offset as %2B)"
        ) from error
    return Effective(at.date(), at)


def new_instrument(given: InstrumentFields, now: datetime) -> Change:
    """Raises InvalidInput."""
    columns = {name: value for name, value in _columns(given, {}).items() if value is not None}
    edited = _edited(columns, {})
    if "mic" not in given.model_fields_set and (mic := mic_of_code(columns.get("exchange", ""))):
        columns["mic"] = mic
    _refuse([*_size_errors(columns), *_life_errors(columns, {}, now)])
    return Change(columns, edited)


def patch_instrument(stored: Stored, given: InstrumentFields, now: datetime) -> Change:
    """What a merge patch changes; nothing where all is as it says. Raises InvalidInput."""
    errors = [
        FieldError(name, "cannot be null; give another value, or leave it out")
        for name in _NEVER_NULL
        if name in given.model_fields_set and getattr(given, name) is None
    ]
    _refuse(errors)
    columns = _columns(given, stored.columns)
    if "aliases" in columns:  # as they are shown, among them those that have dates alone
        dated = stored.dated_aliases.difference(stored.columns["aliases"])
        columns["aliases"] = [alias for alias in columns["aliases"] if alias not in dated]
    errors += _life_errors(columns, stored.columns, now)
    columns = {name: value for name, value in columns.items() if value != stored.columns.get(name)}
    errors += _size_errors(columns)
    if "symbol" in columns and stored.dated_count >= MAX_DATED_ALIASES:
        errors.append(FieldError("symbol", "cannot change: there is no room for one more former symbol"))
    _refuse(errors)
    named = {name: value for name, value in columns.items() if name != "status" or given.status is not None}
    return Change(columns, _edited(named, stored.columns))


def delist_instrument(stored: Stored, effective: Effective | None, now: datetime) -> Change:
    """What a delisting changes: nothing where it is delisted already.

    Raises Conflict where it was delisted on another day, InvalidInput for a day before it was listed.
    """
    old = stored.columns
    if old["status"] == Status.DELISTED:
        if effective is not None and effective.day != old["delisted_on"]:
            since = f"on {old['delisted_on']}" if old["delisted_on"] else "on a day that is not known"
            raise Conflict(f"it is delisted already, {since}; to correct that, patch delisted_on")
        return Change({})
    when = effective or Effective(now.date())
    if old["listed_on"] is not None and when.day < old["listed_on"]:
        raise InvalidInput.of(
            "effective_at",
            f"would be before listed_on ({old['listed_on']}); give a later day, or correct that",
        )
    columns: dict[str, Any] = {"delisted_on": when.day, "delist_at": None}
    if when.moment <= now:
        columns["status"] = Status.DELISTED
    else:
        columns["delist_at"] = when.at
    columns = {name: value for name, value in columns.items() if value != old[name]}
    return Change(columns, ("status", "delisted_on") if columns else ())


def place_of(columns: Mapping[str, Any]) -> tuple[str, str] | None:
    """Venue and symbol, which one living instrument has at a time; None: it is delisted."""
    if columns.get("status") == Status.DELISTED:
        return None
    return columns.get("mic") or columns.get("exchange") or "", columns["symbol"]


def _read(model: type[_Fields], document: object, tolerated: Mapping[str, object]) -> _Fields:
    errors: list[FieldError] = []
    if isinstance(document, Mapping):
        errors = [
            FieldError(name, "cannot be changed; leave it out")
            for name in UNCHANGEABLE
            if name in document and not (name in tolerated and document[name] == tolerated[name])
        ]
        document = {name: value for name, value in document.items() if name not in UNCHANGEABLE}
    try:
        given = read_model(model, document)
    except InvalidInput as error:
        raise InvalidInput(*errors, *error.errors) from error
    _refuse(errors)
    return given


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise InvalidInput(*errors)


def _columns(given: InstrumentFields, old: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that `given` names, each as it is to be; objects merged into what is there."""
    columns: dict[str, Any] = {}
    for name in given.model_fields_set & InstrumentFields.model_fields.keys():
        value = getattr(given, name)
        match name:
            case "identifiers" if value is None:
                columns |= dict.fromkeys(IDENTIFIER_FIELDS)
            case "identifiers":
                columns |= value.model_dump(exclude_unset=True)
            case "contract":
                columns[name] = None if value is None else _merged(old.get(name), _json_values(value))
            case "attributes":
                columns[name] = {} if value is None else _merged(old.get(name), value)
            case "aliases":
                columns[name] = list(dict.fromkeys(value or ()))
            case _:
                columns[_COLUMNS.get(name, name)] = value
    return columns


def _merged(old: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**(old or {}), **given}.items() if value is not None}


def _json_values(part: Any) -> dict[str, Any]:
    """As they are read back from JSON."""
    values: dict[str, Any] = orjson.loads(
        orjson.dumps(part.model_dump(exclude_unset=True), default=decimal_text)
    )
    return values


def _edited(columns: Mapping[str, Any], old: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that were set by hand; of attributes, those that differ: `attributes.website`."""
    edited = [name for name in columns if name != "attributes"]
    if "attributes" in columns:
        before, after = old.get("attributes", {}), columns["attributes"]
        edited += [f"attributes.{name}" for name in before | after if before.get(name) != after.get(name)]
    return tuple(sorted(edited))


def _size_errors(columns: Mapping[str, Any]) -> Iterable[FieldError]:
    for name, limit in (("aliases", MAX_ALIASES), ("attributes", MAX_ATTRIBUTES)):
        if (count := len(columns.get(name, ()))) > limit:
            yield FieldError(name, f"would be {count}; at most {limit} are allowed")


def _life_errors(columns: dict[str, Any], old: Mapping[str, Any], now: datetime) -> Iterable[FieldError]:
    """Whether status and dates fit together. Who has been delisted by now gets that status."""
    if _DATES.isdisjoint(columns):
        return
    final = {**old, **columns}
    listed_on, delisted_on = final.get("listed_on"), final.get("delisted_on")
    if delisted_on is None:
        return
    if listed_on is not None and delisted_on < listed_on:
        yield FieldError("delisted_on", f"is before listed_on ({listed_on})")
    is_kept = delisted_on == old.get("delisted_on")
    moment = Effective(delisted_on, old.get("delist_at") if is_kept else None).moment
    if moment > now:
        if final.get("status") == Status.DELISTED:
            yield FieldError(
                "delisted_on", "lies ahead, so that the status cannot be delisted yet; change one"
            )
    elif "status" not in columns:
        columns["status"] = Status.DELISTED
    elif final["status"] != Status.DELISTED:
        yield FieldError(
            "status",
            f"contradicts delisted_on ({delisted_on}); set that to null, or to a day that lies ahead",
        )
