"""What the fields of a query may be, as JSON Schema for the API's description, by the constants that the
parsers of `app.domain.query` go by. A parser may allow more (any case of a code, spaces around it)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from app.domain import query
from app.domain.access import INDEX_ADMIN
from app.domain.instrument import INSTRUMENT_FIELDS, Status
from app.domain.query import FILTERS, Sort

Schema: TypeAlias = Mapping[str, Any]
EVENT_NUMBER: Final[Schema] = {
    "type": "integer",
    "minimum": 0,
    "maximum": query.MAX_EVENT_NUMBER,
    "description": "the last event that was seen; what came after it is sent first",
    "examples": [41],
}
CURSOR: Final[Schema] = {
    "type": "string",
    "description": "`next_cursor` of the page before",
    "examples": ["WyI0ZDRmNzEzOWVjZGQiLDEsMiw1MDQ3ODU3ODgzMTE5ODg4LDAsM10"],
}
BEFORE: Final[Schema] = {
    "type": "integer",
    "minimum": 1,
    "maximum": query.MAX_BEFORE,
    "description": "`next_before` of the page before",
    "examples": [3],
}
SINCE: Final[Schema] = {
    "type": "string",
    "description": "`next` of the changes before, or of an export",
    "examples": ["WyI3NTEyODgwOTE3MjI2NDgxNzkzLzEiLCIxMDQyOjEwNDI6IixudWxsLGZhbHNlLG51bGwsMF0"],
}

_TEXT: Final[Schema] = {
    "type": "string",
    "maxLength": query.MAX_QUERY_LENGTH,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
    "description": f"a name, a symbol or an identifier, of at most {query.MAX_QUERY_WORDS} words",
    "examples": ["apple"],
}
_OFFSET: Final[Schema] = {
    "type": "integer",
    "minimum": 0,
    "maximum": query.MAX_OFFSET,
    "default": 0,
    "description": "how many hits to leave out; not together with cursor",
}
_FACETS: Final[Schema] = {
    "type": "array",
    "items": {"type": "string", "enum": list(FILTERS)},
    "uniqueItems": True,
    "description": "whose values to count among all hits; several may also have commas between them",
}
_FACET_LIMIT: Final[Schema] = {
    "type": "integer",
    "minimum": 1,
    "maximum": query.MAX_FACET_LIMIT,
    "default": query.DEFAULT_FACET_LIMIT,
    "description": "how many values of each facet, the most frequent, are told",
}

_CODES: Final[Mapping[str, tuple[str, str]]] = {
    "mic": ("ISO 10383", "XNAS"),
    "currency": ("ISO 4217, or a unit of the trade such as GBX", "USD"),
    "country": ("of the issuer, ISO 3166-1 alpha-2", "US"),
}


def search(max_limit: int) -> Schema:
    fields: dict[str, Schema] = {
        "q": {**_TEXT, "default": ""},
        **{name: _repeated(name) for name in FILTERS},
        "sort": {"type": "string", "enum": list(Sort), "default": Sort.RELEVANCE},
        "limit": limit(query.DEFAULT_LIMIT, max_limit),
        "offset": _OFFSET,
        "cursor": CURSOR,
        "highlight": {
            "type": "boolean",
            "default": False,
            "description": "say where each hit shows what was searched for",
        },
        "fields": {
            "type": "string",
            "examples": ["id,symbol,name"],
            "description": f"show only these, separated by commas: {', '.join(INSTRUMENT_FIELDS)}",
        },
        "explain": {
            "type": "boolean",
            "default": False,
            "description": f"say why each hit stands where it does; needs the scope {INDEX_ADMIN}",
        },
        "facets": _FACETS,
        "facet_limit": _FACET_LIMIT,
    }
    return query_of(query.SEARCH_FIELDS, fields)


def suggest(max_limit: int) -> Schema:
    fields = {"q": _TEXT, "limit": limit(query.DEFAULT_SUGGESTIONS, max_limit)}
    return query_of(query.SUGGEST_FIELDS, fields, required=("q",))


def newest_first(max_limit: int) -> Schema:
    fields = {"limit": limit(query.DEFAULT_LIMIT, max_limit), "before": BEFORE}
    return query_of(query.PAGE_FIELDS, fields)


def by_cursor(max_limit: int) -> Schema:
    fields = {"limit": limit(query.DEFAULT_LIMIT, max_limit), "cursor": CURSOR}
    return query_of(query.CURSOR_PAGE_FIELDS, fields)


def changes(_max_limit: int) -> Schema:
    fields = {"since": SINCE, "limit": limit(query.DEFAULT_CHANGES, query.MAX_CHANGES)}
    return query_of(query.CHANGES_FIELDS, fields)


def stream(_max_limit: int) -> Schema:
    (name,) = query.STREAM_FIELDS
    return query_of(query.STREAM_FIELDS, {name: EVENT_NUMBER})


def query_of(
    names: Sequence[str], fields: Mapping[str, Schema], *, required: Sequence[str] = ()
) -> dict[str, Any]:
    """A query string that holds these names and no other; a list is a field that may be repeated."""
    return {
        "type": "object",
        "properties": {name: fields[name] for name in names},
        "required": list(required),
        "additionalProperties": False,
    }


def limit(default: int, max_limit: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": max_limit, "default": min(default, max_limit)}


def saved_search() -> dict[str, Any]:
    """The JSON object that `parse_saved_search` reads: a filter is one value, or a list of them."""
    fields = {"q": _TEXT, **{name: {"anyOf": [_filter(name), _repeated(name)]} for name in FILTERS}}
    return {**query_of(query.SAVED_SEARCH_FIELDS, fields), "minProperties": 1}


def _repeated(name: str) -> Schema:
    return {
        "type": "array",
        "items": _filter(name),
        "maxItems": query.MAX_FILTER_VALUES,
        "description": "any of these" + (f"; absent: {Status.ACTIVE}" if name == "status" else ""),
    }


def _filter(name: str) -> Schema:
    """One value of a filter."""
    if choices := query.CHOICES.get(name):
        return {"type": "string", "enum": list(choices)}
    if length := query.CODE_LENGTHS.get(name):
        return {
            "type": "string",
            "pattern": f"^[A-Za-z0-9]{{{length}}}$",
            "description": _CODES[name][0],
            "examples": [_CODES[name][1]],
        }
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": query.MAX_FILTER_VALUE_LENGTH,
        "description": "printable, with a letter or a digit",
        "examples": ["Information Technology"],
    }
