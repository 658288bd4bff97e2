"""What a rollout has decided, from the folder that `instrument-registry rollout` writes."""

from pathlib import Path
from typing import Any, Final

from app.release.folder import pretty
from app.release.pieces import Missing, NotDue, Piece, State, read_document, text_of

SUMMARY_FILE: Final = "rollout_summary.json"
DECISIONS_FILE: Final = "rollout_decisions.jsonl"
NAME: Final = "rollout decisions"
_PROMOTED: Final = "promoted"
_ENDS: Final = (_PROMOTED, "rolled back", "aborted", "refused")


def read_summary(folder: Path | None, *, is_before: bool) -> dict[str, Any]:
    """Raises Missing, or NotDue before the rollout."""
    if is_before:
        raise NotDue("the rollout has not begun")
    return read_document(None if folder is None else folder / "summary.json", "--rollout")


def rollout_piece(summary: dict[str, Any], folder: Path, release: str) -> Piece:
    """A rollout is of a release by its name. Raises Missing."""
    try:
        decisions = (folder / "decisions.jsonl").read_bytes()
    except OSError as error:
        raise Missing(f"--rollout: {folder / 'decisions.jsonl'} cannot be read ({error.strerror})") from error
    phase = text_of(summary, "phase")
    if phase not in _ENDS:
        raise Missing(f"the rollout has not ended: it is {phase or 'in no phase'}")
    of = text_of(summary, "release")
    users = summary.get("users_in_all") or {}
    return Piece(
        NAME,
        "rollout",
        State.CURRENT if of == release else State.STALE,
        None if of == release else f"it is of release {of or 'unknown'}, not of {release}",
        "passed" if phase == _PROMOTED else "failed",
        f"{phase}; users made {users.get('requests', 'an unknown number of')} requests, "
        f"{users.get('errors', 'an unknown number')} failed",
        made_at=text_of(summary, "updated_at"),
        files={SUMMARY_FILE: pretty(summary), DECISIONS_FILE: decisions},
    )
