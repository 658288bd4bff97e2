"""The index page of a release's folder: every piece of evidence, its files, and the sign-offs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.release.folder import INDEX_PAGE, read_index, replace_files
from app.release.signoffs import status
from app.report_page import Link, heading, html_page, paragraph, table


def write_index_page(folder: Path) -> None:
    """Anew, from the index and the sign-offs that are in `folder`. Raises ReleaseError."""
    index = read_index(folder)
    assert index is not None  # noqa: S101 - whoever calls this has written or read it
    replace_files(folder, (), {INDEX_PAGE: _page(index, status(folder)).encode()})


def _page(index: Mapping[str, Any], signed: Mapping[str, Any]) -> str:
    pieces = index["pieces"]
    files = [
        (piece["name"], Link(file["name"]), file["bytes"], file["sha256"])
        for piece in pieces
        for file in piece["files"]
    ]
    return html_page(
        f"Release {index['release']}: {index['verdict']}",
        [
            paragraph(
                f"Commit {index['commit']} of {index['committed_at']}; gathered at {index['made_at']}. "
                f"Digest of what is signed: {index['digest']}."
            ),
            table(
                ("evidence", "state", "why", "verdict", "finding", "of commit", "made at"),
                [
                    (
                        piece["name"],
                        piece["state"],
                        piece["reason"],
                        piece["verdict"],
                        piece["finding"],
                        (piece["commit"] or "")[:12],
                        piece["made_at"],
                    )
                    for piece in pieces
                ],
            ),
            heading("Files"),
            table(("evidence", "file", "bytes", "SHA-256"), files),
            heading("Sign-offs"),
            table(
                ("role", "state", "by", "at", "note", "lacking then"),
                [_signoff(role["role"], role["state"], role["signoff"] or {}) for role in signed["roles"]],
            ),
        ],
    )


def _signoff(role: str, state: str, entry: Mapping[str, Any]) -> tuple[str | None, ...]:
    lacking = ", ".join(entry.get("lacking", ()))
    return role, state, entry.get("by"), entry.get("at"), entry.get("note"), lacking
