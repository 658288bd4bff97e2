"""JSON texts, bounded in depth and breadth before anything else looks at what they say."""

from typing import Any, Final

import orjson

from app.domain.errors import InvalidInput

MAX_DEPTH: Final = 32
MAX_FIELDS: Final = 1000
"""Of one object: each that is unknown is named."""


def parse_json(raw: bytes, field: str) -> Any:
    """What the text says. Raises InvalidInput naming `field`."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidInput.of(field, f"is not valid JSON: {error}") from error
    # Each level needs a bracket, so most texts need no closer look.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise InvalidInput.of(field, f"is nested deeper than {MAX_DEPTH} levels")
    if raw.count(b":") > MAX_FIELDS and _has_wider(value, MAX_FIELDS):
        raise InvalidInput.of(field, f"has an object of more than {MAX_FIELDS} fields")
    return value


def _has_wider(value: Any, fields: int) -> bool:
    if isinstance(value, dict):
        return len(value) > fields or any(_has_wider(inner, fields) for inner in value.values())
    return isinstance(value, list) and any(_has_wider(inner, fields) for inner in value)


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(inner, dict | list) for inner in level)
