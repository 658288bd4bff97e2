"""What a process holds in memory of index generations."""

from collections.abc import Mapping
from typing import Final, TypeVar

KEPT: Final = 2
"""Of so many: the live one, and one that cursors still point into."""

_Held = TypeVar("_Held")


def with_generation(held: Mapping[int, _Held], generation: int, value: _Held) -> dict[int, _Held]:
    """What is held, with something of a generation that was read just now; without those read long ago."""
    others = [item for item in held.items() if item[0] != generation]
    return dict([*others[1 - KEPT :], (generation, value)])
