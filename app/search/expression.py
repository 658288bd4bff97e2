"""A search to RediSearch expressions: its tiers, best first, with every user's word passed as a parameter.

No text of a caller ever becomes part of an expression: field names and operators are ours, values are
`PARAMS`. So `@symbol:{*}` or `a|b -c` are searched for literally.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from app.domain.identifiers import is_identifier
from app.domain.names import name_key, without_legal_forms
from app.domain.query import Search, Sort
from app.domain.ranking import LEADS, Way, pin_lead
from app.domain.symbols import compact, ticker_and_venues
from app.domain.text import identifier_key, most_edits, one_letter_swapped, spelled_out, symbol_key, words
from app.search.document import MAX_SHORT_PREFIX, WORD_START
from app.search.schema import SEPARATOR, tag_value


@dataclass(frozen=True, slots=True)
class Order:
    """How a sort orders: by a number, and where that is the same, by a text."""

    field: str
    lane_field: str
    """The field of the number in its lane (see `app.search.lanes`)."""
    is_ascending: bool = True
    text: str = ""
    """The field of the text; "" where the order of what has the same number does not matter."""


ORDERS: Final[Mapping[Sort, Order]] = {
    Sort.RELEVANCE: Order("rank", "rank_in_lane"),
    Sort.SYMBOL: Order("symbol_order", "symbol_in_lane", text="symbol"),
    Sort.NAME: Order("name_order", "name_in_lane", text="name"),
    Sort.UPDATED_AT: Order("updated", "updated_in_lane", is_ascending=False),
}


class Tier(NamedTuple):
    """One way to match. Its hits come before those of another that are less than `lead` points better."""

    expression: str
    lead: int = 0
    way: str = ""
    """Names it in an explanation."""


class Plan(NamedTuple):
    """What to ask RediSearch: disjoint `tiers` of one result, each in the same order.

    `parameters` are name and value in turn, for all tiers alike.
    """

    tiers: tuple[Tier, ...]
    parameters: tuple[str, ...]
    order: Order
    typed: bytes = b""
    """The words of the text, where names that begin with them come first; b"" where none do."""


def whole_or_begun(needed: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each word that must be in a name, and whether it may be the beginning of a word there.

    A short word is taken whole, for too many words begin so, unless it is the last of several: that one is
    perhaps still being typed, and the others narrow the search.
    """
    for place, word in enumerate(needed, 1):
        yield word, len(word) > MAX_SHORT_PREFIX or 1 < place == len(needed)


def other_forms(text: str, text_words: Sequence[str]) -> dict[str, str]:
    """A text's words -> the same with umlauts written as two letters; {} where not as many come of it."""
    if text.isascii():
        return {}
    other = words(spelled_out(text))
    return dict(zip(text_words, other, strict=True)) if len(other) == len(text_words) else {}


class _Form(NamedTuple):
    """What the expressions for a text look like: references to its values, and parts made of them.

    Many texts have the same, so what is made of it is made once.
    """

    symbol: str
    identifier: str
    """"" where it cannot be one."""
    ticker: str
    mics: tuple[str, ...]
    """Where the ticker is asked for; none: no venue is named."""
    roots: tuple[str, ...] = ()
    is_short: bool = False
    """Whether all that begins so is listed under it."""
    core_name: str = ""
    first: str = ""
    """Finds names by how they begin; "" where the text has no word."""
    words: tuple[str, ...] = ()
    """Each finds names by a word that must be in them."""
    is_one_word: bool = False

    def exact(self) -> str:
        """An identifier, a symbol, or a ticker at the venue that is named with it."""
        found = f"@symbol:{{{self.symbol}}}"
        if self.identifier:
            found += f" | @identifiers:{{{self.identifier}}}"
        if self.mics:
            venues = " | ".join(self.mics)
            found += f" | ((@roots:{{{self.ticker}}} | @symbol:{{{self.ticker}}}) @mic:{{{venues}}})"
        return f"({found})"

    def named(self) -> str:
        """The root of a symbol, an alias, or a whole name, perhaps without its legal form."""
        found = f"@roots:{{{' | '.join(self.roots)}}} | @aliases:{{{self.symbol}}}"
        if self.core_name:
            found += f" | @core_name:{{{self.core_name}}}"
        return f"({found})"

    def beginning(self) -> str:
        """The beginning of a symbol, an alias or a name; of a name's first word, where more follow."""
        if self.is_short:
            return f"@starts:{{{self.symbol}}}"
        found = [f"@symbol:{{{self.symbol}*}}", f"@aliases:{{{self.symbol}*}}"]
        if self.is_one_word:
            found.append(self.first)
        elif self.first:
            found.append(f"({self.first} {self.every_word()})")
        return f"({' | '.join(found)})"

    def every_word(self) -> str:
        """Every word is in the name, whole or as a word's beginning; legal forms need not be."""
        return f"({' '.join(self.words)})"


class _Text:
    """What a search asks for; the values go into `PARAMS`."""

    def __init__(self, search: Search) -> None:
        self._text = search.text
        self.filters, values = _filters(tuple(search.filters.items()))
        self._references = {**values}
        self.key = symbol_key(search.text)
        if SEPARATOR in self.key:
            self.key = tag_value(self.key)
        self.at_venues = ticker_and_venues(self.key)
        """A ticker and the MICs that it is asked for at; None where no venue is named."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Name and value in turn."""
        return tuple([part for value, name in self._references.items() for part in (name[1:], value)])

    def add(self, value: str) -> str:
        """A reference to `value` for use in an expression; the same for the same."""
        reference = self._references.get(value)
        if reference is None:
            reference = self._references[value] = f"$p{len(self._references)}"
        return reference

    def as_symbol(self) -> _Form:
        """What finds it exactly."""
        return _Form(*self._symbol())

    def as_name(self, text_words: Sequence[str]) -> _Form:
        """What finds it in every way; these are its words."""
        symbol, compacted, is_short = self._symbol(), compact(self.key), len(self.key) <= MAX_SHORT_PREFIX
        roots = symbol[:1] if compacted in (self.key, "") else (symbol[0], self.add(compacted))
        if not text_words:
            return _Form(*symbol, roots, is_short)
        needed, others = without_legal_forms(text_words), other_forms(self._text, text_words)
        found = [
            self._word(word, others.get(word, word), may_begin=may_begin)
            for word, may_begin in whole_or_begun(needed)
        ]
        first, is_one_word = text_words[0], len(text_words) == 1
        reference = self.add(first)
        if not is_one_word:
            begins = f"@first_words:{{{reference}}}"
        elif len(first) <= MAX_SHORT_PREFIX:
            begins = f"@starts:{{{reference}}}"
        else:
            begins = f"@first_words:{{{reference}*}}"
        core_name = self.add(name_key(needed))
        return _Form(*symbol, roots, is_short, core_name, begins, tuple(found), is_one_word)

    def nearly_every_word(self, text_words: Sequence[str], edits: int) -> str:
        """As `every_word`, but a word may have up to `edits` letters wrong; "" where none may have."""
        needed = without_legal_forms(text_words)
        allowed = [min(edits, most_edits(word)) for word in needed]
        if max(allowed, default=0) < edits:
            return ""
        return f"@name:({' '.join(map(self._misspelt, needed, allowed))})"

    def _symbol(self) -> tuple[str, str, str, tuple[str, ...]]:
        """The first parts of a form."""
        identifier = identifier_key(self.key)
        symbol, as_identifier = self.add(self.key), self.add(identifier) if identifier else ""
        if self.at_venues is None:
            return symbol, as_identifier, "", ()
        ticker, mics = self.at_venues
        return symbol, as_identifier, self.add(ticker), tuple(map(self.add, mics))

    def _word(self, word: str, other: str, *, may_begin: bool) -> str:
        """`other` is the word in its other form, or itself."""
        find = self._begun if may_begin else self._whole
        return find(word) if other == word else _any((find(word), find(other)))

    def _whole(self, word: str) -> str:
        return f"@name:{self.add(word)}"

    def _begun(self, word: str) -> str:
        if len(word) > WORD_START:
            return f"@name:{self.add(word)}*"
        return f"@word_starts:{{{self.add(word)}{'*' if len(word) < WORD_START else ''}}}"

    def _misspelt(self, word: str, edits: int) -> str:
        whole = self.add(word)
        forms = [f"{whole}*" if len(word) > MAX_SHORT_PREFIX else whole]
        if edits:
            forms += [self.add(swapped) for swapped in one_letter_swapped(word)]
            forms.append(f"{'%' * edits}{whole}{'%' * edits}")
        return _any(forms)


WAYS: Final[Mapping[Way, Callable[[_Form], str]]] = {
    Way.EXACT: _Form.exact,
    Way.NAMED: _Form.named,
    Way.BEGINNING: _Form.beginning,
    Way.WORDS: _Form.every_word,
}
ALL_WAYS: Final = tuple(Way)
EVERYTHING: Final = "*"
PINNED: Final = "pinned"
SUGGESTED: Final = (Way.EXACT, Way.NAMED, Way.BEGINNING)
"""As somebody types: not the words in the middle of a name."""
_REMEMBERED: Final = 1_024
"""Forms of texts."""
_FILTERS_REMEMBERED: Final = 256
"""One may have 300 values of 100 letters."""


def exact_plan(search: Search) -> Plan | None:
    """Of a text that means nothing else than what has it as identifier, or ticker and venue, if any has; None
    of others."""
    text = _Text(search)
    if text.at_venues is None and not is_identifier(search.text):
        return None
    tiers = _tiers(text.filters, text.as_symbol(), (Way.EXACT,), (), is_ranked=search.sort is Sort.RELEVANCE)
    return Plan(tiers, text.parameters, ORDERS[search.sort])


def search_plan(search: Search, ways: tuple[Way, ...] = ALL_WAYS, pinned: Sequence[int] = ()) -> Plan:
    """A search without a text is the catalog: one tier of all that the filters let through.

    `pinned` are the ranks of instruments that come before all others, a tier for each.
    """
    text, text_words = _Text(search), words(search.text)
    is_ranked = search.sort is Sort.RELEVANCE
    tiers: tuple[Tier, ...]
    if not search.text:
        tiers = (Tier(text.filters or EVERYTHING),)
    elif not text.key:  # nothing but separators, which no instrument can be found by
        tiers = ()
    else:
        tiers = _tiers(text.filters, text.as_name(text_words), ways, tuple(pinned), is_ranked=is_ranked)
    is_typed = is_ranked and Way.BEGINNING in ways and len(text.key) > MAX_SHORT_PREFIX
    typed = " ".join(text_words).encode() if is_typed else b""
    return Plan(tiers, text.parameters, ORDERS[search.sort], typed)


def typo_plan(search: Search) -> Plan:
    """Names whose words are nearly those of the search: first with one letter wrong in any, then with two."""
    text, text_words = _Text(search), words(search.text)
    tiers = [Tier(found) for edits in (1, 2) if (found := text.nearly_every_word(text_words, edits))]
    return Plan(_disjoint(text.filters, tiers), text.parameters, ORDERS[search.sort])


@lru_cache(_FILTERS_REMEMBERED)
def _filters(filters: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[str, Mapping[str, str]]:
    """What lets through what all of them do, and the references to their values."""
    values = dict.fromkeys(tag_value(value) for _, values in filters for value in values)
    references = {value: f"$p{place}" for place, value in enumerate(values)}
    expressions = [
        f"@{name}:{{{' | '.join([references[tag_value(value)] for value in values])}}}"
        for name, values in filters
    ]
    return " ".join(expressions), references


@lru_cache(_REMEMBERED)
def _tiers(
    filters: str, form: _Form, ways: tuple[Way, ...], pinned: tuple[int, ...], *, is_ranked: bool
) -> tuple[Tier, ...]:
    wanted = [way for way in ways if way is not Way.WORDS or form.words]
    tiers = [Tier(f"@rank:[{rank} {rank}]", pin_lead(place), PINNED) for place, rank in enumerate(pinned)]
    tiers += [Tier(WAYS[way](form), LEADS[way], way) for way in wanted]
    return _disjoint(filters, tiers if is_ranked else [Tier(_any([tier.expression for tier in tiers]))])


def _disjoint(filters: str, tiers: Iterable[Tier]) -> tuple[Tier, ...]:
    """The tiers, each without what a better one finds."""
    disjoint, better = [], ""
    for expression, lead, way in tiers:
        disjoint.append(Tier(f"{filters} {expression}{better}".strip(), lead, way))
        better += f" -{expression}"
    return tuple(disjoint)


def _any(expressions: Sequence[str]) -> str:
    return expressions[0] if len(expressions) == 1 else f"({' | '.join(expressions)})"
