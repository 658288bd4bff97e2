"""FT.SEARCH as it is sent everywhere: sorted, with values as `PARAMS`, an explicit time and dialect."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from app.search.generation import index_name

_REMEMBERED: Final = 1_024
"""Heads of searches; many texts have the same."""


def search_command(
    generation: int,
    expression: str,
    parameters: Sequence[str],
    *,
    returned: Sequence[str],
    limit: int,
    timeout_ms: int,
    skip: int = 0,
    sort_field: str = "rank",
    is_ascending: bool = True,
) -> list[str | int]:
    """Asks a generation for some fields of up to `limit` hits; `parameters` are name and value in turn."""
    command: list[str | int] = ["FT.SEARCH", index_name(generation), expression]
    command += ["RETURN", len(returned), *returned]
    command += ["SORTBY", sort_field, "ASC" if is_ascending else "DESC"]
    command += ["LIMIT", skip, limit, "TIMEOUT", timeout_ms, "DIALECT", 2]
    if parameters:  # RediSearch refuses none of them
        command += ["PARAMS", len(parameters), *parameters]
    return command


class Head(NamedTuple):
    """A search by rising numbers without the values of its parameters, which come last.

    Searches for other texts have the same, so it is packed once for all.
    """

    generation: int
    expression: str
    returned: tuple[str, ...]
    sort_field: str
    limit: int
    timeout_ms: int

    def command(self, parameters: Sequence[str]) -> list[str | int]:
        return search_command(
            self.generation,
            self.expression,
            parameters,
            returned=self.returned,
            limit=self.limit,
            timeout_ms=self.timeout_ms,
            sort_field=self.sort_field,
        )


def packed(heads: tuple[Head, ...], parameters: Sequence[str]) -> list[bytes]:
    """Searches as they go to Redis (RESP), with the same parameters each: name and value in turn."""
    values = _bulk(parameters)
    return [head + values for head in _packed_heads(heads, len(parameters))]


@lru_cache(_REMEMBERED)
def _packed_heads(heads: tuple[Head, ...], parameters: int) -> list[bytes]:
    commands = [head.command(("",) * parameters) for head in heads]
    return [
        b"*%d\r\n%b" % (len(command), _bulk(map(str, command[: len(command) - parameters])))
        for command in commands
    ]


def _bulk(arguments: Iterable[str]) -> bytes:
    encoded = [argument.encode() for argument in arguments]
    return b"".join([b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in encoded])


def profile_command(search: Sequence[str | bytes | int]) -> list[str | bytes | int]:
    """Has Redis carry a search out once more, and tell where its time went."""
    _, index, *question = search
    return ["FT.PROFILE", index, "SEARCH", "LIMITED", "QUERY", *question]


def profile_of(search: Sequence[str | bytes | int], reply: Mapping[bytes, Any]) -> dict[str, Any]:
    """A search and what Redis says of it, in its own words."""
    profile = reply.get(b"profile", reply.get(b"Profile", {}))  # versions of the engine differ
    return {"command": list(map(_plain, search)), "profile": _plain(profile)}


def _plain(value: Any) -> Any:
    """With texts in place of bytes."""
    match value:
        case bytes():
            return value.decode(errors="replace")
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list():
            return list(map(_plain, value))
    return value
