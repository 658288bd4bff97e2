"""What MkDocs calls while it builds the site (`hooks` in mkdocs.yml)."""

import re
from pathlib import Path
from typing import Any, Final

from docsite.navigation import expanded
from docsite.reference import PARTS

_MARK: Final = re.compile(r"<!-- generated: ([\w-]+) -->")


def on_config(config: Any) -> Any:
    left_out = config.not_in_nav
    config.nav = expanded(config.nav, Path(config.docs_dir), left_out.match_file)
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    return _MARK.sub(lambda mark: PARTS[mark[1]](), markdown)
