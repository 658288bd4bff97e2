"""A search to RediSearch expressions: its tiers, best first, with every user's word passed as a parameter.

No text of a caller ever becomes part of an expression: field names and operators are ours, values are
`PARAMS`. So `@symbol:{*}` or `a|b -c` are searched for literally.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.query import Search, Sort
from app.domain.text import symbol_key, words
from app.search.document import MAX_SHORT_PREFIX
from app.search.schema import tag_value

MAX_SYMBOL_LIKE_LENGTH: Final = 5
"""A single word of letters longer than this is a name before it is the beginning of a symbol."""

_SORT_FIELDS: Final[Mapping[Sort, tuple[str, str]]] = {
    Sort.RELEVANCE: ("rank", "ASC"),
    Sort.SYMBOL: ("symbol", "ASC"),
    Sort.NAME: ("name", "ASC"),
    Sort.UPDATED_AT: ("updated", "DESC"),
}
NUMERIC_SORT_FIELDS: Final = ("rank", "updated")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask RediSearch: disjoint `tiers` of one result, each sorted by `sort_field`.

    `parameters` are name and value in turn, for all tiers alike.
    """

    tiers: tuple[str, ...]
    parameters: tuple[str, ...]
    sort_field: str
    sort_order: str


def search_plan(search: Search) -> Plan:
    """The tiers of a search: exact identifier or symbol, symbol prefix, name prefix, all words.

    A search without a text is the catalog: one tier of everything that the filters let through.
    """
    return _plan(search, inner_words=True)


def suggest_plan(search: Search) -> Plan:
    """The tiers of an as-you-type search: all but the words in the middle of a name."""
    return _plan(search, inner_words=False)


def _plan(search: Search, *, inner_words: bool) -> Plan:
    parameters = _Parameters()
    filters = _filters(search.filters, parameters)
    sort_field, sort_order = _SORT_FIELDS[search.sort]
    if not search.text:
        return Plan((filters or "*",), tuple(parameters.flat), sort_field, sort_order)
    tiers = _text_tiers(search.text, parameters, inner_words=inner_words)
    if search.sort is not Sort.RELEVANCE and tiers:
        tiers = [_any(tiers)]
    disjoint = (f"{filters} {tier} {_none(tiers[:place])}".strip() for place, tier in enumerate(tiers))
    return Plan(tuple(disjoint), tuple(parameters.flat), sort_field, sort_order)


class _Parameters:
    """Values on their way into `PARAMS`."""

    def __init__(self) -> None:
        self.flat: list[str] = []

    def add(self, value: str) -> str:
        """A reference to `value` for use in an expression."""
        name = f"p{len(self.flat) // 2}"
        self.flat += (name, value)
        return f"${name}"


def _filters(filters: Mapping[str, tuple[str, ...]], parameters: _Parameters) -> str:
    return " ".join(
        f"@{name}:{{{' | '.join(parameters.add(tag_value(value)) for value in values)}}}"
        for name, values in filters.items()
    )


def _text_tiers(text: str, parameters: _Parameters, *, inner_words: bool) -> list[str]:
    """Tiers for a text that is not empty, best first; they may overlap."""
    key = tag_value(symbol_key(text))
    if not key:  # nothing but separators, which no instrument can be found by
        return []
    name_words = words(text)
    symbol = parameters.add(key)
    exact = f"@symbol:{{{symbol}}} | @aliases:{{{symbol}}}"
    if identifier := key.replace(" ", "").replace("-", ""):
        exact += f" | @identifiers:{{{parameters.add(identifier)}}}"
    if len(key) <= MAX_SHORT_PREFIX:
        begins = [f"@starts:{{{symbol}}}"]
    else:
        symbol_prefix = f"(@symbol:{{{symbol}*}} | @aliases:{{{symbol}*}})"
        name_prefix = _name_prefix(name_words, parameters)
        if _is_name_first(key):
            begins = [_any([symbol_prefix, *name_prefix])]
        else:
            begins = [symbol_prefix, *name_prefix]
    inner = [_all_words(name_words, parameters)] if inner_words and name_words else []
    return [f"({exact})", *begins, *inner]


def _is_name_first(key: str) -> bool:
    return key.isalpha() and len(key) > MAX_SYMBOL_LIKE_LENGTH


def _name_prefix(name_words: Sequence[str], parameters: _Parameters) -> list[str]:
    """Names that begin with the first word and have all others; none where the text has no word."""
    if not name_words:
        return []
    first, *others = name_words
    begin = parameters.add(first)
    if not others:
        return [f"@first_word:{{{begin}*}}" if len(first) > MAX_SHORT_PREFIX else f"@starts:{{{begin}}}"]
    return [f"(@first_word:{{{begin}}} {_all_words(name_words, parameters)})"]


def _all_words(name_words: Sequence[str], parameters: _Parameters) -> str:
    """Every word is in the name, whole or as a word's beginning.

    A short word is taken whole, for too many words begin so, unless it is the last of several: that
    one is perhaps still being typed, and the others narrow the search.
    """
    parts = []
    for place, word in enumerate(name_words, 1):
        may_begin = len(word) > MAX_SHORT_PREFIX or 1 < place == len(name_words)
        parts.append(parameters.add(word) + ("*" if may_begin else ""))
    return f"@name:({' '.join(parts)})"


def _any(expressions: Sequence[str]) -> str:
    return expressions[0] if len(expressions) == 1 else f"({' | '.join(expressions)})"


def _none(expressions: Sequence[str]) -> str:
    return " ".join(f"-{expression}" for expression in expressions)
