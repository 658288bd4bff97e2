"""Gathers all evidence of a release into one folder, with an index of what it is and what it lacks."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from app.release import rollback, rollouts
from app.release.alert_tests import gather_alert_tests
from app.release.configuration import gather_mitigation, gather_verification
from app.release.folder import (
    FORMAT,
    INDEX_FILE,
    INDEX_PAGE,
    SIGNOFFS_FILE,
    ReleaseError,
    pretty,
    read_index,
    replace_files,
    signed_digest,
)
from app.release.junit import gather_profile_tests, gather_rehearsals, gather_tests
from app.release.load_results import gather_baseline, gather_current
from app.release.migrations import DATABASE, database_piece, gather_migrations
from app.release.pieces import Found, Missing, NotDue, Piece, Stage, State
from app.release.sbom import gather_sbom
from app.release.source import Source
from app.times import utc_text

COMPLETE: Final = "complete"
INCOMPLETE: Final = "incomplete"
FAILED: Final = "failed"
BASELINE: Final = "load tests, baseline"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where evidence is that was made before; None or empty where it was not named."""

    load_baseline: Sequence[Path] = ()
    load_results: Sequence[Path] = ()
    test_results: Path | None = None
    rehearsal_results: Path | None = None
    config_verification: Path | None = None
    database_url: str | None = None
    rollout: Path | None = None
    is_before_rollout: bool = False
    prometheus: str | None = None
    logs: Sequence[Path] = ()
    around_rollback_s: float = 900.0


def gather(release: str, source: Source, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Write the pieces and the index into `folder`; returns the index. Raises ReleaseError."""
    old = read_index(folder)
    if old is not None and old["release"] != release:
        raise ReleaseError(
            f"--output: {folder} holds the evidence of {old['release']}; name another folder for {release}"
        )
    pieces = [
        _baseline(source, inputs),
        _piece(
            "load tests, current",
            source,
            lambda: gather_current(inputs.load_results, inputs.load_baseline),
        ),
        _piece(
            "tests of subscription profiles",
            source,
            lambda: gather_profile_tests(inputs.test_results, source),
        ),
        _piece("tests", source, lambda: gather_tests(inputs.test_results, source)),
        _piece("rehearsals", source, lambda: gather_rehearsals(inputs.rehearsal_results, source)),
        _piece("tests of alerts", source, lambda: gather_alert_tests(source)),
        _piece("configuration gaps and their mitigation", source, lambda: gather_mitigation(source)),
        _piece(
            "verification of the configuration",
            source,
            lambda: gather_verification(inputs.config_verification),
        ),
        _piece("migrations", source, lambda: gather_migrations(source)),
        _piece("dependencies and licences", source, lambda: gather_sbom(source, release)),
        _or_missing(
            DATABASE,
            "rollout",
            lambda: database_piece(source, inputs.database_url, is_before=inputs.is_before_rollout),
        ),
        *_of_rollout(release, inputs),
    ]
    shown = [piece.as_json() for piece in pieces]
    index = {
        "format": FORMAT,
        "release": release,
        "commit": source.commit,
        "committed_at": source.committed_at,
        "made_at": utc_text(),
        "verdict": _verdict(pieces),
        "digest": signed_digest(release, source.commit, shown),
        "pieces": shown,
    }
    content = {name: data for piece in pieces for name, data in piece.files.items()}
    left = [file["name"] for piece in (old or {"pieces": []})["pieces"] for file in piece["files"]]
    assert not {INDEX_FILE, INDEX_PAGE, SIGNOFFS_FILE} & content.keys()  # noqa: S101 - a slip in this code
    replace_files(folder, left, content | {INDEX_FILE: pretty(index)})
    return index


def _verdict(pieces: Sequence[Piece]) -> str:
    if any(piece.verdict == "failed" for piece in pieces):
        return FAILED
    due = {piece.state for piece in pieces} - {State.NOT_DUE}
    return COMPLETE if due == {State.CURRENT} else INCOMPLETE


def _baseline(source: Source, inputs: Inputs) -> Piece:
    """It is of another commit by nature, but of a known one."""
    piece = _piece(BASELINE, source, lambda: gather_baseline(inputs.load_baseline))
    if piece.state is State.STALE and piece.commit is not None:
        return replace(piece, state=State.CURRENT, reason=None)
    return piece


def _piece(name: str, source: Source, make: Callable[[], Found]) -> Piece:
    return _or_missing(name, "release", lambda: make().piece(name, "release", source))


def _of_rollout(release: str, inputs: Inputs) -> list[Piece]:
    def read() -> dict[str, Any]:
        return rollouts.read_summary(inputs.rollout, is_before=inputs.is_before_rollout)

    def decisions() -> Piece:
        summary = read()
        assert inputs.rollout is not None  # noqa: S101 - for the type checker
        return rollouts.rollout_piece(summary, inputs.rollout, release)

    def rolled_back() -> Piece:
        summary = read()
        period = rollback.period_of(rollback.rollback_of(summary), inputs.around_rollback_s, time.time())
        return asyncio.run(rollback.rollback_piece(summary, release, period, inputs.prometheus, inputs.logs))

    return [
        _or_missing(rollouts.NAME, "rollout", decisions),
        _or_missing(rollback.NAME, "rollout", rolled_back),
    ]


def _or_missing(name: str, stage: Stage, make: Callable[[], Piece]) -> Piece:
    try:
        return make()
    except Missing as error:
        return Piece(name, stage, State.MISSING, str(error))
    except NotDue as error:
        return Piece(name, stage, State.NOT_DUE, str(error))
