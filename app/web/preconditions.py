"""Entity tags and the conditions that requests put on them (RFC 9110, section 13)."""

import re
from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import hdrs, web

from app.domain.errors import InvalidInput, PreconditionRequired

_TAG: Final = r'(?:W/)?"[^"]*"'
_TAGS: Final = re.compile(rf"\s*(?:\*|{_TAG}(?:\s*,\s*{_TAG})*)\s*")
_EACH: Final = re.compile(rf"\*|{_TAG}")


def entity_tag(version: int | str) -> str:
    return f'"{version}"'


def is_known(request: web.Request, version: int | str) -> bool:
    """Whether If-None-Match names this version (section 13.1.2)."""
    given = request.headers.getall(hdrs.IF_NONE_MATCH, None)
    return given is not None and _names([tags.replace("W/", "") for tags in given], version)


def required_match(request: web.Request) -> Callable[[int], bool]:
    """Tells of a version whether If-Match allows a write to it (section 13.1.1; weak tags never match).

    Raises PreconditionRequired where the request has no If-Match, InvalidInput for what is none.
    """
    given = request.headers.getall(hdrs.IF_MATCH, None)
    if given is None:
        raise PreconditionRequired(
            "a write needs If-Match with the ETag that was read; read it and try again"
        )
    if not all(map(_TAGS.fullmatch, given)):
        raise InvalidInput.of(hdrs.IF_MATCH, 'is no list of entity tags; write the ETag with its quotes: "3"')
    return lambda version: _names(given, version)


def optional_match(request: web.Request) -> Callable[[int], bool]:
    """As `required_match`, where a request without If-Match writes to any version."""
    return required_match(request) if hdrs.IF_MATCH in request.headers else lambda _: True


def _names(header_lines: Iterable[str], version: int | str) -> bool:
    known = {tag for line in header_lines for tag in _EACH.findall(line)}
    return "*" in known or entity_tag(version) in known
