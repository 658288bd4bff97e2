"""A search to RediSearch expressions: its tiers, best first, with every user's word passed as a parameter.

No text of a caller ever becomes part of an expression: field names and operators are ours, values are
`PARAMS`. So `@symbol:{*}` or `a|b -c` are searched for literally.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.domain.identifiers import is_identifier
from app.domain.names import name_key, without_legal_forms
from app.domain.query import Search, Sort
from app.domain.ranking import LEADS, Way, pin_lead
from app.domain.symbols import compact, ticker_and_venues
from app.domain.text import identifier_key, most_edits, one_letter_swapped, spelled_out, symbol_key, words
from app.search.document import MAX_SHORT_PREFIX, WORD_START
from app.search.schema import tag_value


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


class _Asked:
    """What a text asks for, each part as an expression; the values go into `PARAMS`."""

    def __init__(self, text: str) -> None:
        self.parameters: list[str] = []
        self._references: dict[str, str] = {}
        self._text = text
        self._words: list[str] | None = None
        self.key = tag_value(symbol_key(text))
        self._symbol = self.add(self.key) if self.key else ""
        self.at_venues = ticker_and_venues(self.key)
        """A ticker and the MICs that it is asked for at; None where no venue is named."""

    @property
    def words(self) -> list[str]:
        if self._words is None:
            self._words = words(self._text)
        return self._words

    def add(self, value: str) -> str:
        """A reference to `value` for use in an expression; the same for the same."""
        reference = self._references.get(value)
        if reference is None:
            name = f"p{len(self._references)}"
            self.parameters += (name, value)
            reference = self._references[value] = f"${name}"
        return reference

    def exact(self) -> str:
        """An identifier, a symbol, or a ticker at the venue that is named with it."""
        found = f"@symbol:{{{self._symbol}}}"
        if identifier := identifier_key(self.key):
            found += f" | @identifiers:{{{self.add(identifier)}}}"
        if self.at_venues is not None:
            ticker, mics = self.at_venues
            root, venues = self.add(ticker), " | ".join(map(self.add, mics))
            found += f" | ((@roots:{{{root}}} | @symbol:{{{root}}}) @mic:{{{venues}}})"
        return f"({found})"

    def named(self) -> str:
        """The root of a symbol, an alias, or a whole name, perhaps without its legal form."""
        roots = " | ".join(self.add(root) for root in dict.fromkeys((self.key, compact(self.key))) if root)
        found = f"@roots:{{{roots}}} | @aliases:{{{self._symbol}}}"
        if self.words:
            found += f" | @core_name:{{{self.add(name_key(without_legal_forms(self.words)))}}}"
        return f"({found})"

    def beginning(self) -> str:
        """The beginning of a symbol, an alias or a name; of a name's first word, where more follow."""
        if len(self.key) <= MAX_SHORT_PREFIX:
            return f"@starts:{{{self._symbol}}}"
        found = [f"@symbol:{{{self._symbol}*}}", f"@aliases:{{{self._symbol}*}}"]
        if len(self.words) == 1 and len(self.words[0]) <= MAX_SHORT_PREFIX:
            found.append(f"@starts:{{{self.add(self.words[0])}}}")
        elif len(self.words) == 1:
            found.append(f"@first_words:{{{self.add(self.words[0])}*}}")
        elif self.words:
            found.append(f"(@first_words:{{{self.add(self.words[0])}}} {self.every_word()})")
        return f"({' | '.join(found)})"

    def every_word(self) -> str:
        """Every word is in the name, whole or as a word's beginning; legal forms need not be."""
        others = other_forms(self._text, self.words)
        parts = [
            self._word(dict.fromkeys((word, others.get(word, word))), may_begin=may_begin)
            for word, may_begin in whole_or_begun(without_legal_forms(self.words))
        ]
        return f"({' '.join(parts)})"

    def nearly_every_word(self, edits: int) -> str:
        """As `every_word`, but a word may have up to `edits` letters wrong; "" where none may have."""
        needed = without_legal_forms(self.words)
        allowed = [min(edits, most_edits(word)) for word in needed]
        if max(allowed, default=0) < edits:
            return ""
        return f"@name:({' '.join(map(self._misspelt, needed, allowed))})"

    def _word(self, forms: Iterable[str], *, may_begin: bool) -> str:
        return _any([self._begun(form) if may_begin else f"@name:{self.add(form)}" for form in forms])

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


WAYS: Final[Mapping[Way, Callable[[_Asked], str]]] = {
    Way.EXACT: _Asked.exact,
    Way.NAMED: _Asked.named,
    Way.BEGINNING: _Asked.beginning,
    Way.WORDS: _Asked.every_word,
}
EVERYTHING: Final = "*"
PINNED: Final = "pinned"
SUGGESTED: Final = (Way.EXACT, Way.NAMED, Way.BEGINNING)
"""As somebody types: not the words in the middle of a name."""


def exact_plan(search: Search) -> Plan | None:
    """Of a text that means nothing else than what has it as identifier, or ticker and venue, if any has; None
    of others."""
    asked = _Asked(search.text)
    if asked.at_venues is None and not is_identifier(search.text):
        return None
    return _plan(search, asked, [Tier(asked.exact(), LEADS[Way.EXACT], Way.EXACT)])


def search_plan(search: Search, ways: Sequence[Way] = tuple(Way), pinned: Sequence[int] = ()) -> Plan:
    """A search without a text is the catalog: one tier of all that the filters let through.

    `pinned` are the ranks of instruments that come before all others, a tier for each.
    """
    asked = _Asked(search.text)
    if not search.text:
        return _plan(search, asked, [Tier("")])
    if not asked.key:  # nothing but separators, which no instrument can be found by
        return _plan(search, asked, [])
    wanted = [way for way in ways if way is not Way.WORDS or asked.words]
    first = [Tier(f"@rank:[{rank} {rank}]", pin_lead(place), PINNED) for place, rank in enumerate(pinned)]
    plan = _plan(search, asked, [*first, *(Tier(WAYS[way](asked), LEADS[way], way) for way in wanted)])
    is_typed = Way.BEGINNING in ways and len(asked.key) > MAX_SHORT_PREFIX
    if is_typed and search.sort is Sort.RELEVANCE:
        return plan._replace(typed=" ".join(asked.words).encode())
    return plan


def typo_plan(search: Search) -> Plan:
    """Names whose words are nearly those of the search: first with one letter wrong in any, then with two."""
    asked = _Asked(search.text)
    tiers = [Tier(found) for edits in (1, 2) if (found := asked.nearly_every_word(edits))]
    return _plan(search, asked, tiers)


def _plan(search: Search, asked: _Asked, tiers: Sequence[Tier]) -> Plan:
    filters = _filters(search.filters, asked)
    if search.sort is not Sort.RELEVANCE and tiers:
        tiers = [Tier(_any([tier.expression for tier in tiers]))]
    disjoint, better = [], ""
    for expression, lead, way in tiers:
        disjoint.append(Tier(f"{filters} {expression}{better}".strip() or EVERYTHING, lead, way))
        better += f" -{expression}"
    return Plan(tuple(disjoint), tuple(asked.parameters), ORDERS[search.sort])


def _filters(filters: Mapping[str, tuple[str, ...]], asked: _Asked) -> str:
    return " ".join(
        f"@{name}:{{{' | '.join(asked.add(tag_value(value)) for value in values)}}}"
        for name, values in filters.items()
    )


def _any(expressions: Sequence[str]) -> str:
    return expressions[0] if len(expressions) == 1 else f"({' | '.join(expressions)})"
