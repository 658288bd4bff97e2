"""FT.SEARCH as it is sent everywhere: sorted, with values as `PARAMS`, an explicit time and dialect."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.search.generation import index_name


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
    command += ["LIMIT", skip, limit]
    if parameters:  # RediSearch refuses none of them
        command += ["PARAMS", len(parameters), *parameters]
    return [*command, "TIMEOUT", timeout_ms, "DIALECT", 2]


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
