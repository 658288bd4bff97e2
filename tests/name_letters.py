"""Counts which letters follow which in the names of instruments, and writes app/domain/name_letters.py anew.

    python -m tests.name_letters DATA

DATA is a folder to import. Whoever writes it anew raises `PROJECTION`, for sort keys change.
"""

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from app.domain.instrument import Listing
from app.domain.names import read_name
from app.domain.sort_key import END, LEAST, LONGEST_CONTEXT, NAME_ALPHABET
from app.ingest.files import file_source, find_files
from app.ingest.rows import RowReader, RowRejected

FILE: Final = Path("app/domain/name_letters.py")
ENOUGH: Final = 1_500
"""What fewer letters follow than these has no line of its own."""
LIKELIEST: Final = 12
"""The weight of what always follows; what never does has 0."""
HEADER: Final = '''"""How likely a letter is behind two others in a name; written by tests/name_letters.py.

A line for each two letters, for one behind whichever other, and for the beginning of a name. After the
colon are weights from "a", nearly never, to "{last}", always, doubled by each step: of the end of the name,
the space ("_"), the digits and the letters.
"""

from typing import Final

LETTERS: Final = """'''


def searched_names(paths: list[Path]) -> Iterator[str]:
    for file in find_files(paths):
        source = file_source(file, format_name=None, source=None, counted=lambda _: None)
        for row in source.rows:
            try:
                listing = source.convert(RowReader(row))
            except RowRejected:
                continue
            if isinstance(listing, Listing):
                yield " ".join(read_name(listing.name or listing.symbol).searched)


def lines(names: Iterable[str]) -> Iterator[str]:
    following: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name in names:
        context = ""
        for letter in (*name, END):
            if letter not in NAME_ALPHABET:
                break
            for known in {context, context[-1:]}:
                following[known][letter] += 1
            context = (context + letter)[-LONGEST_CONTEXT:]
    for context, counts in sorted(following.items()):
        if len(context) < LONGEST_CONTEXT or counts.total() >= ENOUGH:
            weights = [weight(counts[letter] / counts.total()) for letter in (END, *NAME_ALPHABET)]
            yield f"{context.replace(' ', '_')}:{''.join(weights)}"


def weight(probability: float) -> str:
    scaled = probability * 2**LIKELIEST
    return chr(ord(LEAST) + (round(math.log2(scaled)) if scaled > 1 else 0))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = "\n".join(lines(searched_names([Path(sys.argv[1])])))
    FILE.write_text(f'{HEADER.format(last=chr(ord(LEAST) + LIKELIEST))}\n{found}\n"""\n')
