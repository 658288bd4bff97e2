"""The index's schema as data: every hash field of a document and how RediSearch reads it.

Names are TEXT without stemming and without stop words (IT, ON and A are tickers). Codes, symbols and
identifiers are TAG, which does not split `BRK.B`. `json` and `version` are not indexed: the first is
the finished answer, the second tells a stale document.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

SEPARATOR: Final = "|"
"""Between the values of one TAG field."""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    options: tuple[str, ...] = ()
    """RediSearch's type and options; none for a field that is stored only."""


def _tag(*more: str) -> tuple[str, ...]:
    return ("TAG", "SEPARATOR", SEPARATOR, *more)


FIELDS: Final = (
    Field("version"),
    Field("json"),
    Field("symbol", _tag("SORTABLE", "UNF")),
    Field("identifiers", _tag()),
    Field("name", ("TEXT", "NOSTEM", "SORTABLE", "UNF")),
    Field("first_word", _tag()),
    Field("starts", _tag()),
    Field("aliases", _tag()),
    Field("asset_class", _tag()),
    Field("mic", _tag()),
    Field("currency", _tag()),
    Field("country", _tag()),
    Field("sector", _tag()),
    Field("status", _tag()),
    Field("rank", ("NUMERIC", "SORTABLE")),
    Field("updated", ("NUMERIC", "SORTABLE")),
)

FIELD_NAMES: Final = tuple(field.name for field in FIELDS)

PROJECTION: Final = 1
"""To be raised whenever documents change their content without a change of `FIELDS`."""

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
    schema = [part for field in FIELDS if field.options for part in (field.name, *field.options)]
    options = ["ON", "HASH", "PREFIX", "1", key_prefix, "SKIPINITIALSCAN"]
    options += ["NOOFFSETS", "NOFREQS", "STOPWORDS", "0"]
    return [index_name, *options, "SCHEMA", *schema]
