"""The index's schema as data: every hash field of a document and how RediSearch reads it.

Names are TEXT without stemming and without stop words (IT, ON and A are tickers). Codes, symbols and
identifiers are TAG, which does not split `BRK.B`. `json` and `version` are not indexed: the first is
the finished answer (see `app.search.stored_json`), the second tells a stale document.

Sort keys are numbers: only these can be searched on from, and have a range looked at without the rest. Each
is there once more as a key in a lane (see `app.search.lanes`).
"""

from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final

SEPARATOR: Final = "|"
"""Between the values of one TAG field."""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    key: str
    """In the hash: of a quarter of a million documents each letter counts."""
    options: tuple[str, ...] = ()
    """RediSearch's type and options; none for a field that is stored only."""


def _tag(*more: str) -> tuple[str, ...]:
    return ("TAG", "SEPARATOR", SEPARATOR, *more)


FIELDS: Final = (
    Field("version", "version"),
    Field("json", "json"),
    Field("symbol", "s", _tag()),
    Field("roots", "r", _tag()),
    Field("identifiers", "i", _tag()),
    Field("name", "n", ("TEXT", "NOSTEM", "SORTABLE", "UNF")),
    Field("core_name", "w", _tag("CASESENSITIVE")),
    Field("first_words", "b", _tag()),
    Field("starts", "p", _tag()),
    Field("word_starts", "q", _tag()),
    Field("aliases", "a", _tag()),
    Field("asset_class", "ac", _tag()),
    Field("mic", "m", _tag()),
    Field("currency", "cu", _tag()),
    Field("country", "co", _tag()),
    Field("sector", "se", _tag()),
    Field("status", "st", _tag()),
    Field("rank", "k", ("NUMERIC", "SORTABLE")),
    Field("updated", "u", ("NUMERIC", "SORTABLE")),
    Field("name_order", "no", ("NUMERIC", "SORTABLE")),
    Field("symbol_order", "so", ("NUMERIC", "SORTABLE")),
    Field("rank_in_lane", "lk", ("NUMERIC",)),
    Field("updated_in_lane", "lu", ("NUMERIC",)),
    Field("name_in_lane", "ln", ("NUMERIC",)),
    Field("symbol_in_lane", "ls", ("NUMERIC",)),
)

KEY_OF: Final = MappingProxyType({field.name: field.key for field in FIELDS})

PROJECTION: Final = 6
"""To be raised whenever documents, or what is counted of them, change without a change of `FIELDS`."""

FINGERPRINT: Final = sha256(repr((PROJECTION, FIELDS)).encode()).hexdigest()[:12]
"""Tells whether a generation was built by this version of the code."""


def tag_value(text: str) -> str:
    """`text` as one value of a TAG field: a separator inside it would make it two."""
    return " ".join(text.replace(SEPARATOR, " ").split())


def create_arguments(index_name: str, key_prefix: str) -> list[str]:
    """The arguments of FT.CREATE for an index over the hashes under `key_prefix`.

    SKIPINITIALSCAN: documents are written after the index is made, so there is nothing to scan.
    NOOFFSETS, NOFREQS: nothing is scored by the place or number of its words.
    """
    schema = [
        part for field in FIELDS if field.options for part in (field.key, "AS", field.name, *field.options)
    ]
    options = ["ON", "HASH", "PREFIX", "1", key_prefix, "SKIPINITIALSCAN"]
    options += ["NOOFFSETS", "NOFREQS", "STOPWORDS", "0"]
    return [index_name, *options, "SCHEMA", *schema]
