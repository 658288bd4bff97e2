"""Profiles and their events in words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from app.terminal import output, print_table, printable

if TYPE_CHECKING:
    from instrument_registry_client.models import Profile

_EVENT_WIDTH: Final = 400
"""Characters of one field of an event that people are shown; --json has all of it."""


def print_profile(found: "Profile") -> None:
    selection = found["selection"]
    rows = [
        ("id", found["id"]),
        ("name", found["name"]),
        ("owner", found["owner"]),
        ("description", found["description"]),
        ("state", found["status"]),
        ("channels", " ".join(found["channels"])),
        ("delivery", _options(found["delivery"])),
        ("selects", _options(selection["query"] or {}) if "query" in selection else "a list"),
        ("instruments", found["instrument_count"]),
        ("version", found["version"]),
        ("updated", found["updated_at"]),
    ]
    shown = [(title, printable(str(value))) for title, value in rows if value not in (None, "")]
    print_table(("profile", ""), shown, styles=("cyan", "bold"))


def _options(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {' or '.join(value) if isinstance(value, list) else value}" for name, value in values.items()
    )


def print_event(number: int, kind: str, data: Mapping[str, Any]) -> None:
    said = {name: value for name, value in data.items() if name not in ("number", "at", "version")}
    output.print(f"{data.get('at', ''):27} {number:>6} ", end="", style="dim")
    output.print(f"{kind:12}", end="", style="bold")
    output.print(" ".join(f"{name}={printable(_compact(value))}" for name, value in said.items()))


def _compact(value: object) -> str:
    text = str(value)
    return text if len(text) <= _EVENT_WIDTH else f"{text[: _EVENT_WIDTH - 3]}..."
