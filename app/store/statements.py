"""Loads the named SQL statements of `sql/*.sql`.

A file holds statements, each under a line `-- name: some_name` and its own comment. A line
`-- include: some_name` is replaced by another statement of the same file, so that a list of
columns stands in one place.
"""

import re
from importlib import resources
from types import MappingProxyType
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_INCLUDE: Final = re.compile(r"^-- include: (\w+)$", re.MULTILINE)

_names: Final[dict[str, str]] = {}
"""Of all statements that were loaded, by their texts."""


def name_of(text: str) -> str | None:
    """The file and name of a statement; None where it is none of these."""
    return _names.get(text)


class Statements:
    """The statements of one file, by name."""

    def __init__(self, file_name: str) -> None:
        text = resources.files("app.store").joinpath("sql", file_name).read_text(encoding="utf-8")
        _, *parts = _NAME.split(text)
        raw = dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
        self._texts: Final = MappingProxyType(
            {name: _INCLUDE.sub(lambda match: raw[match[1]], body) for name, body in raw.items()}
        )
        for name, body in self._texts.items():
            _names[body] = f"{file_name.removesuffix('.sql')}.{name}"

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self._texts)
