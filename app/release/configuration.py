"""Evidence of the configuration: what to do about gaps, and whether parameters are registered."""

from pathlib import Path
from typing import Final

from app.release.folder import pretty
from app.release.pieces import Found, Missing, read_document, text_of
from app.release.source import Source

VERIFICATION_FILE: Final = "search_config_integration_verification.json"
MITIGATION_FILE: Final = "config_gap_mitigation.md"
PAGE: Final = "docs/config.md"


def gather_mitigation(source: Source) -> Found:
    """Raises Missing."""
    try:
        page = (source.root / PAGE).read_bytes()
    except OSError as error:
        raise Missing(f"{source.root / PAGE} cannot be read ({error.strerror})") from error
    return Found({MITIGATION_FILE: page}, source.commit, source.committed_at)


def gather_verification(file: Path | None) -> Found:
    """What `config verify` has written. Raises Missing."""
    document = read_document(file, "--config-verification")
    verdict = text_of(document, "verdict")
    if verdict is None:
        raise Missing(f"--config-verification: {file} is not what config verify writes")
    return Found(
        {VERIFICATION_FILE: pretty(document)},
        text_of(document, "commit"),
        text_of(document, "verified_at"),
        "passed" if verdict == "complete" else "failed",
        verdict,
    )
