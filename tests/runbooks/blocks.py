"""The commands of runbooks, as they stand there."""

import re
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "docs/runbooks"
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a page, or of a part of one."""
    return [code for name, code in _BLOCK.findall(text) if name == language]


def section(page: str, heading: str) -> str:
    """What stands under a heading of a page."""
    parts = re.split(r"^## (.+)$", (FOLDER / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]
