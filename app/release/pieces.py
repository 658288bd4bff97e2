"""A piece of evidence: its files, where they are from, and whether they are of this release."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from app.release.folder import digest_of
from app.release.source import Source

Stage: TypeAlias = Literal["release", "rollout"]
Verdict: TypeAlias = Literal["passed", "failed"]


class State(StrEnum):
    CURRENT = "current"
    """Of this release's commit."""
    STALE = "stale"
    """Of another commit, or nobody knows of which."""
    MISSING = "missing"
    NOT_DUE = "not due"
    """There cannot be any yet, or nothing happened that it would be of."""


class Missing(Exception):
    """A piece that is not there; `str(error)` says why, and how to get it."""


class NotDue(Exception):
    """A piece that there cannot be; `str(error)` says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    name: str
    stage: Stage
    state: State
    reason: str | None = None
    """Why it is not current."""
    verdict: Verdict | None = None
    """None: it is not of a kind that can fail."""
    finding: str | None = None
    """What it says, in one line."""
    commit: str | None = None
    made_at: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "stage": self.stage,
            "state": self.state,
            "reason": self.reason,
            "verdict": self.verdict,
            "finding": self.finding,
            "commit": self.commit,
            "made_at": self.made_at,
            "files": [
                {"name": name, "sha256": digest_of(content), "bytes": len(content)}
                for name, content in self.files.items()
            ],
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What a gatherer brings: files, and what is known of them."""

    files: dict[str, bytes]
    commit: str | None
    made_at: str | None
    verdict: Verdict | None = None
    finding: str | None = None
    lacks: str | None = None
    """What is not in it, so that it counts as missing."""

    def piece(self, name: str, stage: Stage, source: Source) -> Piece:
        difference = source.difference(self.commit)
        state = State.CURRENT if difference is None else State.STALE
        if self.lacks is not None:
            state = State.MISSING
        return Piece(
            name,
            stage,
            state,
            self.lacks or difference,
            self.verdict,
            self.finding,
            self.commit,
            self.made_at,
            self.files,
        )


def read_document(file: Path | None, option: str) -> dict[str, Any]:
    """The JSON object in `file`, which `option` names. Raises Missing."""
    if file is None:
        raise Missing(f"none was named; name it with {option}")
    try:
        content = orjson.loads(file.read_bytes())
    except OSError as error:
        raise Missing(f"{option}: {file} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise Missing(f"{option}: {file} is no JSON") from error
    if not isinstance(content, dict):
        raise Missing(f"{option}: {file} holds no JSON object")
    return content


def text_of(content: dict[str, Any], name: str) -> str | None:
    value = content.get(name)
    return value if isinstance(value, str) else None
