"""What a rollout has decided, from the folder that `instrument-registry rollout` writes."""

from pathlib import Path
from typing import Any, Final

from app.release.folder import pretty
from app.release.pieces import Missing, NotDue, Piece, State, read_document, text_of
from app.rollout import folder as rollout_folder
from app.rollout.machine import ENDS, Phase

SUMMARY_FILE: Final = "rollout_summary.json"
DECISIONS_FILE: Final = "rollout_decisions.jsonl"
NAME: Final = "rollout decisions"


def read_summary(folder: Path | None, *, is_before: bool) -> dict[str, Any]:
    """Raises Missing, or NotDue before the rollout."""
    if is_before:
        raise NotDue("the rollout has not begun")
    return read_document(None if folder is None else folder / rollout_folder.SUMMARY_FILE, "--rollout")


def rollout_piece(summary: dict[str, Any], folder: Path, release: str) -> Piece:
    """A rollout is of a release by its name. Raises Missing."""
    file = folder / rollout_folder.DECISIONS_FILE
    try:
        decisions = file.read_bytes()
    except OSError as error:
        raise Missing(f"--rollout: {file} cannot be read ({error.strerror})") from error
    phase = text_of(summary, "phase")
    if phase not in ENDS:
        raise Missing(f"the rollout has not ended: it is {phase or 'in no phase'}")
    of = text_of(summary, "release")
    users = summary.get("users_in_all") or {}
    return Piece(
        NAME,
        "rollout",
        State.CURRENT if of == release else State.STALE,
        None if of == release else f"it is of release {of or 'unknown'}, not of {release}",
        "passed" if phase == Phase.PROMOTED else "failed",
        f"{phase}; users made {users.get('requests', 'an unknown number of')} requests, "
        f"{users.get('errors', 'an unknown number')} failed",
        made_at=text_of(summary, "updated_at"),
        files={SUMMARY_FILE: pretty(summary), DECISIONS_FILE: decisions},
    )
