"""Where an instrument shows what was searched for, as spans of its texts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from app.domain.names import Name, read_name, without_legal_forms
from app.domain.symbols import compact, roots, ticker_and_venues
from app.domain.text import IDEOGRAPH, fold, identifier_key, spelled_out, symbol_key, words
from app.search.expression import other_forms, whole_or_begun

Span: TypeAlias = tuple[int, int]
"""First character and the one behind the last, counted in code points."""
Spans: TypeAlias = dict[str, list[Span]]
"""By a field's path in the instrument."""

_Letter: TypeAlias = tuple[str, Span]
"""A folded character, and what it was folded from."""


def highlights(text: str, instrument: Mapping[str, Any]) -> Spans:
    """The spans by which an instrument (as the API shows it) matches a text; no field without one."""
    key = symbol_key(text)
    found: Spans = {
        "symbol": _symbol(instrument, key),
        "name": _words(instrument["name"], text),
    }
    for place, alias in enumerate(instrument["aliases"]):
        found[f"aliases.{place}"] = _beginning(alias, key)
    for kind, value in instrument["identifiers"].items():
        if value is not None and value == identifier_key(key):
            found[f"identifiers.{kind}"] = [(0, len(value))]
    return {path: spans for path, spans in found.items() if spans}


def _symbol(instrument: Mapping[str, Any], key: str) -> list[Span]:
    """As much of the symbol as was typed, perhaps with its venue."""
    symbol, mic = instrument["symbol"], instrument["mic"]
    if not (spans := _beginning(symbol, key)) and (asked := ticker_and_venues(key)) is not None:
        ticker, mics = asked
        own = symbol_key(symbol)
        if mic in mics and ticker in (own, *roots(own, mic, instrument["asset_class"], instrument["name"])):
            return _beginning(symbol, ticker)
    return spans


def _beginning(symbol: str, key: str) -> list[Span]:
    """As much of a symbol as was typed, with or without its punctuation."""
    wanted = compact(key)
    for end in range(1, len(symbol) + 1):
        begun = symbol_key(symbol[:end])
        if key and (begun == key or (wanted and compact(begun) == wanted)):
            return [(0, end)]
    return []


def _words(name: str, text: str) -> list[Span]:
    """The words of a name, or their beginnings, that were typed; none overlaps another."""
    shown = _typed_lengths(read_name(name), text)
    longest = max(map(len, shown), default=0)
    initials = {term[0] for term in shown}
    matches: list[Span] = []
    for letters in _foldings(name):
        for start, (initial, _) in enumerate(letters):
            if initial in initials and _begins(letters, start):
                matches += (
                    (run[0][1][0], run[shown[term] - 1][1][1])
                    for term, run in _words_from(letters, start, longest)
                    if term in shown
                )
    spans: list[Span] = []
    for start, end in sorted(matches, key=lambda span: (span[0], -span[1])):
        if not spans or spans[-1][1] <= start:
            spans.append((start, end))
    return spans


def _typed_lengths(name: Name, text: str) -> dict[str, int]:
    """Of the words by which a name is found, those that were typed: how much of each."""
    typed = words(text)
    # A legal form may be missing in the name, so it is there as a whole or not at all.
    forms = {**dict.fromkeys(typed, False), **dict(whole_or_begun(without_legal_forms(typed)))}
    forms |= {other: forms[word] for word, other in other_forms(text, typed).items()}
    # The only word may begin a name, however short it is.
    always_begun = name.words[:1] if len(typed) == 1 else []
    return {
        term: len(form)
        for form, may_begin in sorted(forms.items(), key=lambda item: len(item[0]))
        for term in name.searched
        if term == form or ((may_begin or term in always_begun) and term.startswith(form))
    }


def _words_from(
    letters: Sequence[_Letter], start: int, longest: int
) -> Iterator[tuple[str, Sequence[_Letter]]]:
    """What may be a word of up to `longest` letters, and where its letters stand."""
    word, run = "", []
    for place in range(start, len(letters)):
        if letters[place][0].isalnum():
            word += letters[place][0]
            run.append(letters[place])
            if place + 1 == len(letters) or _may_part(letters[place], letters[place + 1]):
                yield word, run
        if len(word) >= longest:
            break


def _foldings(name: str) -> list[list[_Letter]]:
    """A name's folded characters, and again with its umlauts written as two letters."""
    if name.isascii():
        return [[(letter, (place, place + 1)) for place, letter in enumerate(fold(name))]]
    parts = list(_parts(name))
    return [
        [(letter, span) for span in parts for letter in fold(spelling(name[slice(*span)]))]
        for spelling in (str, spelled_out)
    ]


def _parts(name: str) -> Iterator[Span]:
    """Its characters, those together that are folded into one: a letter and its accent, say."""
    start = 0
    for end in range(1, len(name)):
        after = fold(name[end])
        if after and fold(name[start : end + 1]) == fold(name[start:end]) + after:
            yield start, end
            start = end
    yield start, len(name)


def _begins(letters: Sequence[_Letter], place: int) -> bool:
    return letters[place][0].isalnum() and (place == 0 or _may_part(letters[place - 1], letters[place]))


def _may_part(before: _Letter, after: _Letter) -> bool:
    """Whether one word may end, and another begin, between two letters."""
    pair = (before[0], after[0])
    if not all(map(str.isalnum, pair)):
        return True
    return pair[0].isalpha() != pair[1].isalpha() or any(map(IDEOGRAPH.match, pair))
