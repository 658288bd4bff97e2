"""What the README shows is what the demo answers."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

from tests.acceptance.test_demo import running_demo

README = Path(__file__).parents[2] / "README.md"
SHOWN = re.compile(r"^\$ curl '(?P<url>http://127\.0\.0\.1:8080[^']*)'\n(?P<answer>\{.*\})$", re.MULTILINE)


def stable(answer: Any) -> Any:
    """An answer without what the README says will differ."""
    for hit in answer.get("hits", answer.get("suggestions", [])):
        del hit["updated_at"]
    return {name: value for name, value in answer.items() if name != "next_cursor"}


def test_the_readmes_searches_answer_as_shown(tmp_path: Path) -> None:
    shown = SHOWN.findall(README.read_text(encoding="utf-8"))
    assert len(shown) == 3
    with running_demo(tmp_path / "data") as demo:
        for url, answer in shown:
            own = url.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{demo.port}")
            with urllib.request.urlopen(own, timeout=10) as response:  # noqa: S310 - our own demo
                assert stable(json.load(response)) == stable(json.loads(answer)), url
