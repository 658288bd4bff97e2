"""The navigation takes pages as they come: a pattern stands for every page that has no place of its own.

MkDocs wants each page named. Decisions, runbooks and pages for operators are added by those who write them,
and a page that somebody forgot to name would be a page that nobody finds.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

Entry: TypeAlias = "str | dict[str, str | list[Entry]]"


def expanded(
    entries: Sequence[Entry], folder: Path, left_out: Callable[[str], bool] = lambda _: False
) -> list[Entry]:
    """`entries` with each pattern such as `adr/*.md` replaced by the pages of `folder` that it fits, by name.

    Pages that another entry names, and those that are `left_out`, have no second place. A section without a
    page is dropped.
    """
    named = {path for path in _paths(entries) if "*" not in path}

    def expand(entry: Entry) -> Iterator[Entry]:
        if isinstance(entry, str):
            if "*" not in entry:
                yield entry
                return
            found = sorted(page.relative_to(folder).as_posix() for page in folder.glob(entry))
            yield from (page for page in found if page not in named and not left_out(page))
            return
        for title, content in entry.items():
            if isinstance(content, str):
                yield {title: content}
            elif pages := [page for item in content for page in expand(item)]:
                yield {title: pages}

    return [page for entry in entries for page in expand(entry)]


def _paths(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for content in entry.values():
                yield from _paths([content] if isinstance(content, str) else content)
