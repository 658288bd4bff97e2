"""The source tree that a release is made of: where it is, and its commit."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.release.folder import ReleaseError

DIRTY = "-dirty"


@dataclass(frozen=True, slots=True)
class Source:
    root: Path
    commit: str
    """40 hexadecimal digits, and `-dirty` where files differ from that commit."""
    committed_at: str

    @classmethod
    def read(cls, root: Path) -> Self:
        """Raises ReleaseError where `root` is no clone of this project."""
        if not (root / "pyproject.toml").is_file() or not (root / "requirements").is_dir():
            raise ReleaseError(f"--source: {root} is no clone of this project; run this in one, or name it")
        return cls(
            root, describe_commit(root) or _unknown(root), _git(root, "log", "-1", "--format=%cI") or ""
        )

    @property
    def is_dirty(self) -> bool:
        return self.commit.endswith(DIRTY)

    def difference(self, commit: str | None) -> str | None:
        """Why something made at `commit` is not of this source; None: it is."""
        if commit is None:
            return "its commit is unknown"
        if commit != self.commit:
            return f"it is of commit {commit[:12]}, not of {self.commit[:12]}"
        return "files were changed since the commit" if self.is_dirty else None


def describe_commit(root: Path) -> str | None:
    """Of the working tree at `root`; None outside a repository."""
    return _git(root, "describe", "--always", "--abbrev=40", f"--dirty={DIRTY}", "--exclude=*")


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def _unknown(root: Path) -> str:
    raise ReleaseError(f"--source: {root} has no commit; a release is made from a git repository")
