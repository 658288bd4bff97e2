"""What is found when a canary is looked at."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 - no password
    HOLD = "hold"
    """It cannot be told: too few requests, or nothing could be seen. Never as good as a pass."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison of a number with its limit; `text` says it in words."""

    name: str
    verdict: Verdict
    text: str
    measured: float | None = None
    limit: float | None = None
    requests: float | None = None


def worst(findings: Iterable[Finding]) -> Verdict:
    """FAIL where any fails, else HOLD where any holds. Of nothing at all: HOLD."""
    verdicts = {finding.verdict for finding in findings}
    for verdict in (Verdict.FAIL, Verdict.HOLD, Verdict.PASS):
        if verdict in verdicts:
            return verdict
    return Verdict.HOLD
