"""A search as a caller asks for it: parsed from the query string, limited, and refused by field.

Every rule here names the field that breaks it and the way out. What comes out is safe to run:
nothing later in the path rejects it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from app.domain.currencies import quotation
from app.domain.errors import FieldError, InvalidInput
from app.domain.instrument import INSTRUMENT_FIELDS, AssetClass, Status
from app.domain.text import holds_controls, words

NO_CONTROLS: Final = "contains control characters; leave them out"
MAX_QUERY_LENGTH: Final = 200
MAX_QUERY_WORDS: Final = 30
MAX_FILTER_VALUES: Final = 50
MAX_FILTER_VALUE_LENGTH: Final = 100
MAX_OFFSET: Final = 10_000
MAX_BEFORE: Final = 2**31 - 1
MAX_EVENT_NUMBER: Final = 10**18 - 1
DEFAULT_LIMIT: Final = 20
DEFAULT_FACET_LIMIT: Final = 20
MAX_FACET_LIMIT: Final = 100
DEFAULT_SUGGESTIONS: Final = 10
DEFAULT_CHANGES: Final = 100
MAX_CHANGES: Final = 1_000

FILTERS: Final = ("asset_class", "mic", "currency", "country", "sector", "status")
"""Fields that a search may filter on, each repeatable: any value within one, all across."""

REPEATABLE: Final = (*FILTERS, "facets")
"""What may be given several times."""

SEARCH_FIELDS: Final = (
    *("q", *FILTERS, "sort", "limit", "offset", "cursor"),
    *("highlight", "fields", "explain", "facets", "facet_limit"),
)
SUGGEST_FIELDS: Final = ("q", "limit")
SAVED_SEARCH_FIELDS: Final = ("q", *FILTERS)
PAGE_FIELDS: Final = ("limit", "before")
CURSOR_PAGE_FIELDS: Final = ("limit", "cursor")
STREAM_FIELDS: Final = ("last_event_id",)
CHANGES_FIELDS: Final = ("since", "limit")
"""What each parser below knows; `app.domain.query_schema` says what each may be."""

CODE_LENGTHS: Final[Mapping[str, int]] = MappingProxyType({"mic": 4, "currency": 3, "country": 2})
CHOICES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"asset_class": tuple(AssetClass), "status": tuple(Status)}
)


_ACTIVE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"status": (Status.ACTIVE.value,)})


class Sort(StrEnum):
    RELEVANCE = "relevance"
    SYMBOL = "symbol"
    NAME = "name"
    UPDATED_AT = "-updated_at"


@dataclass(slots=True)
class Search:
    """A valid search. `text` is "" for the catalog; `filters` holds sorted values, none of them empty.

    Not frozen: each request makes one, and that would take ten times as long.
    """

    text: str
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sort: Sort = Sort.RELEVANCE
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    cursor: str | None = None
    highlight: bool = False
    """Whether to say where each hit shows what was searched for."""
    fields: tuple[str, ...] = ()
    """Which of INSTRUMENT_FIELDS to show; none: all."""
    explain: bool = False
    """Whether to say why each hit stands where it does."""
    facets: tuple[str, ...] = ()
    """The filters whose values are counted."""
    facet_limit: int = DEFAULT_FACET_LIMIT
    """How many values of each are told."""

    @property
    def text_key(self) -> str:
        """The same for texts that find the same, as far as their case tells."""
        return self.text.lower() if self.text.isascii() else self.text

    @property
    def is_plain(self) -> bool:
        """Whether it asks for the first page of a text, and for nothing else."""
        return (
            (self.filters is _ACTIVE or self.filters == _ACTIVE)
            and self.sort is Sort.RELEVANCE
            and self.limit == DEFAULT_LIMIT
            and not (
                self.offset or self.cursor or self.highlight or self.fields or self.explain or self.facets
            )
            and self.facet_limit == DEFAULT_FACET_LIMIT
        )


def parse_search(pairs: Sequence[tuple[str, str]], *, max_limit: int) -> Search:
    """The search that decoded query-string `pairs` describe. Raises InvalidInput naming every bad field."""
    if len(pairs) == 1 and pairs[0][0] == "q" and _is_plain_text(pairs[0][1]):  # as most searches
        return Search(" ".join(pairs[0][1].split()), _ACTIVE, limit=min(DEFAULT_LIMIT, max_limit))
    given = Given(pairs, known=SEARCH_FIELDS)
    text = given.text("q", "")
    filters = given.filters()
    sort = given.choice("sort", tuple(Sort), Sort.RELEVANCE)
    limit = given.number("limit", min(DEFAULT_LIMIT, max_limit), 1, max_limit)
    offset = given.number("offset", 0, 0, MAX_OFFSET)
    cursor = given.single("cursor")
    if cursor is not None and given.single("offset") is not None:
        given.refuse("cursor", "leave out offset when following a cursor")
    highlight, explain = given.flag("highlight"), given.flag("explain")
    fields = given.names("fields", INSTRUMENT_FIELDS)
    facets = given.names("facets", FILTERS)
    facet_limit = given.number("facet_limit", DEFAULT_FACET_LIMIT, 1, MAX_FACET_LIMIT)
    given.raise_if_refused()
    return Search(
        text,
        _or_active(filters),
        Sort(sort),
        limit,
        offset,
        cursor,
        highlight,
        fields,
        explain,
        facets,
        facet_limit,
    )


def parse_suggest(pairs: Sequence[tuple[str, str]], *, max_limit: int) -> Search:
    """The as-you-type search that `pairs` describe (`q`, `limit`). Raises InvalidInput."""
    given = Given(pairs, known=SUGGEST_FIELDS)
    text = given.text("q", None)
    limit = given.number("limit", min(DEFAULT_SUGGESTIONS, max_limit), 1, max_limit)
    given.raise_if_refused()
    return Search(text, _ACTIVE, limit=limit)


def parse_saved_search(document: Mapping[str, str | Sequence[str]], field: str) -> Search:
    """The search that a JSON object of `q` and filters describes; `field` is where the object stands.

    Raises InvalidInput naming every bad field, also where nothing narrows the search.
    """
    pairs = [
        (name, value)
        for name, values in document.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    given = Given(pairs, known=SAVED_SEARCH_FIELDS, within=f"{field}.")
    text = given.text("q", "")
    filters = given.filters()
    given.raise_if_refused()
    if not text and not filters:
        raise InvalidInput.of(field, f"is empty; give q or one of {', '.join(FILTERS)}")
    return Search(text, _or_active(filters))


def parse_page(pairs: Sequence[tuple[str, str]], *, max_limit: int) -> tuple[int, int | None]:
    """`limit` and `before` of a newest-first list. Raises InvalidInput."""
    given = Given(pairs, known=PAGE_FIELDS)
    limit = given.number("limit", min(DEFAULT_LIMIT, max_limit), 1, max_limit)
    before = given.number("before", 0, 1, MAX_BEFORE) if given.single("before") is not None else None
    given.raise_if_refused()
    return limit, before


def parse_cursor_page(pairs: Sequence[tuple[str, str]], *, max_limit: int) -> tuple[int, str | None]:
    """`limit` and `cursor` of a list. Raises InvalidInput."""
    given = Given(pairs, known=CURSOR_PAGE_FIELDS)
    limit = given.number("limit", min(DEFAULT_LIMIT, max_limit), 1, max_limit)
    given.raise_if_refused()
    return limit, given.single("cursor")


def parse_changes(pairs: Sequence[tuple[str, str]]) -> tuple[str | None, int]:
    """`since` and `limit` of a list of changes. Raises InvalidInput."""
    given = Given(pairs, known=CHANGES_FIELDS)
    limit = given.number("limit", DEFAULT_CHANGES, 1, MAX_CHANGES)
    given.raise_if_refused()
    return given.single("since"), limit


def parse_position(pairs: Sequence[tuple[str, str]], name: str) -> int | None:
    """The number of a profile's event that `pairs` give as `name`, if they do. Raises InvalidInput."""
    given = Given(pairs, known=(name,))
    number = given.number(name, -1, 0, MAX_EVENT_NUMBER)
    given.raise_if_refused()
    return None if number < 0 else number


def _or_active(filters: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """The filters, to active instruments where they do not say which status."""
    return MappingProxyType({**_ACTIVE, **filters}) if filters else _ACTIVE


def _is_plain_text(text: str) -> bool:
    """Whether nothing can be wrong with it, as a look tells: each of its characters may be a word."""
    return len(text) <= MAX_QUERY_WORDS and text.isascii() and text.isprintable()


def _has_word(text: str) -> bool:
    return any(character.isalnum() for character in text)


class Given:
    """What a caller sent, read field by field; refusals are collected so that all are told at once."""

    def __init__(self, pairs: Sequence[tuple[str, str]], known: tuple[str, ...], *, within: str = "") -> None:
        self._within = within
        self._errors: list[FieldError] = []
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if name in known:
                self._values.setdefault(name, []).append(value)
            else:
                self.refuse(name[:60], f"unknown parameter; known are {', '.join(known)}")
        for name, values in self._values.items():
            if len(values) > 1 and name not in REPEATABLE:
                self.refuse(name, "give it once")

    def refuse(self, name: str, message: str) -> None:
        self._errors.append(FieldError(self._within + name, message))

    def raise_if_refused(self) -> None:
        if self._errors:
            raise InvalidInput(*self._errors)

    def single(self, name: str) -> str | None:
        values = self._values.get(name)
        return values[0] if values else None

    def text(self, name: str, default: str | None) -> str:
        value = self.single(name)
        if value is None:
            if default is None:
                self.refuse(name, "is required")
            return default or ""
        if len(value) > MAX_QUERY_LENGTH:
            self.refuse(name, f"is {len(value)} characters long; at most {MAX_QUERY_LENGTH} are allowed")
        elif holds_controls(value):
            self.refuse(name, NO_CONTROLS)
        elif not (value.isascii() and len(value) <= MAX_QUERY_WORDS) and len(words(value)) > MAX_QUERY_WORDS:
            self.refuse(name, f"has more than {MAX_QUERY_WORDS} words; leave some out")
        return " ".join(value.split())

    def number(self, name: str, default: int, low: int, high: int) -> int:
        value = self.single(name)
        if value is None:
            return default
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18 and low <= int(value) <= high):
            self.refuse(name, f"must be a whole number from {low} to {high}")
            return default
        return int(value)

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self.single(name)
        if value is None:
            return default
        if value not in choices:
            self.refuse(name, f"must be one of {', '.join(choices)}")
            return default
        return value

    def flag(self, name: str) -> bool:
        return self.choice(name, ("true", "false"), "false") == "true"

    def names(self, name: str, known: Sequence[str]) -> tuple[str, ...]:
        """Some of the known names, separated by commas; each once."""
        found = tuple(part.strip() for value in self._values.get(name, []) for part in value.split(","))
        if unknown := [part for part in found if part not in known]:
            self.refuse(name, f"{unknown[0][:60]!r} is unknown; known are {', '.join(known)}")
        elif len(set(found)) < len(found):
            self.refuse(name, "name each once")
        return found

    def filters(self) -> dict[str, tuple[str, ...]]:
        """Every filter that was given, with its sorted values."""
        return {name: values for name in FILTERS if (values := self._filter_values(name))}

    def _filter_values(self, name: str) -> tuple[str, ...]:
        """The sorted values of one filter: canonical codes, or literal text for `sector`."""
        values = self._values.get(name, [])
        if len(values) > MAX_FILTER_VALUES:
            self.refuse(name, f"has {len(values)} values; at most {MAX_FILTER_VALUES} are allowed")
            return ()
        return tuple(sorted({self._filter_value(name, value.strip()) for value in values}))

    def _filter_value(self, name: str, value: str) -> str:
        if choices := CHOICES.get(name):
            if value.lower() not in choices:
                self.refuse(name, f"must be one of {', '.join(choices)}")
            return value.lower()
        if length := CODE_LENGTHS.get(name):
            code = value.upper()
            if not (len(code) == length and code.isascii() and code.isalnum()):
                self.refuse(name, f"must be a code of {length} letters or digits")
            elif name == "currency":
                if (known := quotation(code)) is not None:
                    return known.currency
                self.refuse(name, "is not an ISO 4217 currency")
            return code
        if len(value) > MAX_FILTER_VALUE_LENGTH or not value.isprintable() or not _has_word(value):
            self.refuse(name, f"must be a text of up to {MAX_FILTER_VALUE_LENGTH} printable characters")
        return value
