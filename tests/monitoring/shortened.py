"""The rules with their time divided: every `for` and every range. A test sees in seconds what takes minutes.

Thresholds stay as they are, those of ages as well. Recorded series keep the name of their whole window.
"""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import yaml

from tests.monitoring.files import RULES, read_yaml

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE: Final = re.compile(r"\[(\d+)([smhd])\]")
_DURATION: Final = re.compile(r"(\d+)([smhd])")
SHORTEST_RANGE_MS: Final = 3000
"""A rate needs several scrapes, which come every half a second here."""


def write_shortened_rules(folder: Path, factor: int) -> None:
    for file in RULES:
        content = deepcopy(read_yaml(file))
        for group in content["groups"]:
            for rule in group["rules"]:
                _shorten(rule, factor)
        (folder / file.name).write_text(yaml.safe_dump(content, sort_keys=False))


def _shorten(rule: dict[str, Any], factor: int) -> None:
    rule["expr"] = _RANGE.sub(
        lambda found: f"[{max(_milliseconds(found, factor), SHORTEST_RANGE_MS)}ms]", rule["expr"]
    )
    if "for" in rule:
        found = _DURATION.fullmatch(rule["for"])
        assert found is not None, rule["for"]
        rule["for"] = f"{_milliseconds(found, factor)}ms"


def _milliseconds(found: "re.Match[str]", factor: int) -> int:
    return int(found[1]) * _SECONDS[found[2]] * 1000 // factor
