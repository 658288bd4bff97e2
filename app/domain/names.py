"""What is left of a name when it is asked for: without the legal form, and without the kind of share.

Two names are the same here when they have the same words in any order.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from app.domain.instrument import AssetClass
from app.domain.text import fold, folded_words, parts_of_compounds, spelled_out, words

LEGAL_FORMS: Final = frozenset(
    (
        *(
            "inc",
            "incorporated",
            "corp",
            "corporation",
            "co",
            "company",
            "ltd",
            "limited",
            "plc",
            "llc",
            "lp",
        ),
        *(
            "ag",
            "aktiengesellschaft",
            "se",
            "kgaa",
            "gmbh",
            "kg",
            "sa",
            "spa",
            "srl",
            "nv",
            "bv",
            "sab",
            "ltda",
        ),
        *("ab", "publ", "asa", "as", "oyj", "oy", "nyrt", "jsc", "pjsc", "ojsc", "pte", "pty", "tbk", "bhd"),
        *("berhad", "pcl", "holding", "holdings", "group"),
    )
)
"""Abbreviations of ISO 20275's legal forms as exchanges write them; groups and holdings besides."""
_JOINING: Final = frozenset(("and", "the"))
MAX_JOINED_LENGTH: Final = 2
"""Letters of a first word that people write together with the next."""
_KIND_OF_SHARE: Final = re.compile(
    r" (?:class [a-z] )?(?:common (?:stock|shares?)|capital stock|ordinary shares?|ord shs|registered shares?"
    r"|new york registry shares|american depositary (?:shares?|receipts?)|sponsored adr|adr|ads|class [a-z]"
    r"|(?:sab|sa|sapi) de (?:cv|rl))\b.*"
)
"""What the United States' listings say after a company's name, and Mexico's legal forms."""
_KIND_WORDS: Final = frozenset(
    (
        "class",
        "common",
        "capital",
        "ordinary",
        "ord",
        "registered",
        "registry",
        "depositary",
        "adr",
        "ads",
        "de",
    )
)
"""Of the words of each kind of share, one."""


def name_key(name_words: Sequence[str]) -> str:
    """Eight characters that stand for a name's words in any order; "" where there are none."""
    significant = sorted(word for word in name_words if word not in _JOINING) or sorted(name_words)
    if not significant:
        return ""
    # 48 bits: that any two of a million names are taken for one has a chance of 0.2 %.
    return urlsafe_b64encode(blake2b(" ".join(significant).encode(), digest_size=6).digest()).decode()


def without_legal_forms(name_words: Sequence[str]) -> list[str]:
    """The words that are not legal forms; all of them where nothing else is."""
    return [word for word in name_words if word not in LEGAL_FORMS] or list(name_words)


@dataclass(frozen=True, slots=True)
class Name:
    """What a name is found by."""

    words: list[str]
    """Its own, in order."""
    searched: list[str]
    """All words by which it is found, each once: its own first, and then those of other ways to write it.

    Besides Coca-Cola also Coca and Cola (they are its words) and CocaCola; besides L'Oréal also L and Oréal;
    besides Müller also Mueller; besides JP Morgan also JPMorgan.
    """
    first: list[str]
    """What it begins with, however it is typed: of `The Home Depot` the and home."""


def read_name(name: str) -> Name:
    folded = fold(name)
    own = folded_words(folded)
    if not own:
        return Name([], [], [])
    searched, first = list(own), own[:1]
    if not folded.replace(" ", "").isalnum():
        searched += parts_of_compounds(folded)
    if len(own) > 1:
        if own[0] in _JOINING:
            first.append(own[1])
        if len(own[0]) <= MAX_JOINED_LENGTH or f"{own[0]}-{own[1]}" in folded:
            first.append(own[0] + own[1])
    if (other := spelled_out(name)) != name:
        spelled = words(other)
        searched += spelled
        first += spelled[:1]
    return Name(own, list(dict.fromkeys(searched + first)), list(dict.fromkeys(first)))


def core_words(name_words: Sequence[str], asset_class: str) -> list[str]:
    """The words by which a name is asked for: `Apple Inc. Common Stock` is apple.

    Of a crypto currency pair, the name of the coin.
    """
    if asset_class == AssetClass.CRYPTO:
        return list(name_words[:-1] or name_words)
    if asset_class == AssetClass.EQUITY and not _KIND_WORDS.isdisjoint(name_words):
        name_words = _KIND_OF_SHARE.sub("", " ".join(name_words)).split() or name_words
    return without_legal_forms(name_words)
