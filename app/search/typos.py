"""Names that were nearly typed: which of them is meant, and what should have been typed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from rapidfuzz.distance import OSA

from app.domain.names import read_name, without_legal_forms
from app.domain.text import most_edits, one_letter_swapped, words
from app.search.reply import Hit

NEAR: Final = "near"
"""The way in which these match."""
FIRST_LETTER_COST: Final = 1
"""People seldom get the first letter wrong: it counts as another edit."""
MIN_MEANT_LENGTH: Final = 5
"""Shorter words are not mistaken for each other, but for two neighbouring letters that were swapped."""


@dataclass(frozen=True, slots=True)
class Near:
    """An instrument whose name is near: by how many edits, and by how many of its words were not typed."""

    edits: int
    words_left: int
    hit: Hit
    meant: str
    """The words that were typed, put right."""


def nearest_first(text: str, hits: Sequence[Hit]) -> list[Near]:
    """The hits whose names are near a text, by their distance; of the same distance, as they come."""
    typed = without_legal_forms(words(text))
    near = [found for hit in hits if (found := _near(typed, hit)) is not None]
    return sorted(near, key=lambda found: (found.edits, found.words_left))


def _near(typed: Sequence[str], hit: Hit) -> Near | None:
    name = read_name(orjson.loads(hit.json)["name"])
    meant, edits = [], 0
    for word in typed:
        nearest = min(
            ((cost, other) for other in name.searched if (cost := _edits(word, other)) is not None),
            default=None,
        )
        if nearest is None:
            return None
        edits += nearest[0]
        meant.append(word if nearest[0] == 0 else nearest[1])
    return Near(edits, len(set(name.words) - set(meant)), hit._replace(way=NEAR), " ".join(meant))


def _edits(typed: str, word: str) -> int | None:
    """How many letters of a word were typed wrong; None where it is another word."""
    if word.startswith(typed):
        return 0
    if len(word) < MIN_MEANT_LENGTH and word not in one_letter_swapped(typed):
        return None
    edits = int(OSA.distance(typed, word))
    if edits > most_edits(typed):
        return None
    return edits + (FIRST_LETTER_COST if typed[0] != word[0] else 0)
