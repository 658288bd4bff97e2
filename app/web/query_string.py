"""The query string as decoded pairs, strictly: what is not UTF-8 is refused, not replaced."""

from urllib.parse import parse_qsl, unquote

from aiohttp import web

from app.domain.errors import InvalidInput

_MAX_PARAMETERS = 400


def query_pairs(request: web.Request) -> list[tuple[str, str]]:
    """Raises InvalidInput."""
    return parse_pairs(request.rel_url.raw_query_string)


def parse_pairs(raw: str) -> list[tuple[str, str]]:
    """Raises InvalidInput."""
    if not raw:
        return []
    name, _, value = raw.partition("=")
    try:
        if name.isalpha() and value and "&" not in value and raw.isascii():  # one alone, as most
            return [(name, unquote(value.replace("+", " "), errors="strict"))]
        raw.encode("utf-8")
        return parse_qsl(
            raw, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except UnicodeError as error:
        raise InvalidInput.of(
            _field_at_fault(raw), "is not valid UTF-8; percent-encode its UTF-8 bytes"
        ) from error
    except ValueError as error:
        raise InvalidInput.of("query string", f"has more than {_MAX_PARAMETERS} parameters") from error


def _field_at_fault(raw: str) -> str:
    """The first parameter that does not decode."""
    for part in raw.split("&"):
        try:
            part.encode("utf-8")
            parse_qsl(part, keep_blank_values=True, errors="strict")
        except UnicodeError:
            name = part.partition("=")[0]
            return name if name.isidentifier() and name.isascii() else "query string"
    return "query string"
