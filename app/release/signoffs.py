"""Who has signed a release off, and who has not.

A sign-off is of the evidence as it was then: when that has changed, the role has to sign again. Lines are
only added, and each has the digest of the line before it, so that one that was changed or removed is noticed.
A name is what was said on the command line: who may write to the folder is up to its host.
"""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

from app.release.folder import (
    SIGNOFFS_FILE,
    ReleaseError,
    digest_of,
    digest_on_disk,
    lacking,
    read_index,
)
from app.times import utc_text

ROLES: Final = (
    "performance",
    "security",
    "reliability",
    "database",
    "product",
    "engineering",
    "operations",
)
MAX_NAME: Final = 200
MAX_NOTE: Final = 1000


@dataclass(frozen=True, slots=True)
class Signoff:
    release: str
    role: str
    by: str
    note: str | None
    at: str
    commit: str
    evidence: str
    """Digest of what was signed."""
    lacking: list[str]
    """What the evidence lacked, or had failed in."""
    previous: str | None
    """Digest of the line before."""


def sign(folder: Path, role: str, by: str, release: str | None, note: str | None) -> Signoff:
    """Add a sign-off of the evidence in `folder`. Raises ReleaseError."""
    _check(role, by, note)
    index = _index_of(folder, release)
    evidence = digest_on_disk(folder, index)
    if evidence is None:
        raise ReleaseError(
            f"files in {folder} are not as its index says; gather them again with instrument-registry "
            "release-evidence"
        )
    lacks = lacking(index)
    if lacks and not (note or "").strip():
        raise ReleaseError(
            f"--note: the evidence lacks {', '.join(lacks)}; gather it, or say why it is signed all the same"
        )
    with (folder / SIGNOFFS_FILE).open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        lines = file.read()
        entries = _parse(lines, folder)
        if (known := _in_force(entries, index["release"], evidence).get(role)) is not None:
            raise ReleaseError(
                f"--role: {role} has signed this evidence of {known.release} already, by {known.by} at "
                f"{known.at}; sign-offs are not replaced"
            )
        signed = Signoff(
            release=index["release"],
            role=role,
            by=by.strip(),
            note=(note or "").strip() or None,
            at=utc_text(),
            commit=index["commit"],
            evidence=evidence,
            lacking=lacks,
            previous=digest_of(lines.splitlines()[-1]) if lines else None,
        )
        _append(file, signed)
    return signed


def missing_signoffs(folder: Path, release: str) -> list[str]:
    """The roles that have not signed `release` and the evidence as it is now. Raises ReleaseError."""
    index = read_index(folder)
    if index is None or index["release"] != release:
        return list(ROLES)
    evidence = digest_on_disk(folder, index)
    signed = {} if evidence is None else _in_force(read_signoffs(folder), release, evidence)
    return [role for role in ROLES if role not in signed]


def read_signoffs(folder: Path) -> list[Signoff]:
    """All of them, the first first. Raises ReleaseError where a line is not as it was written."""
    try:
        lines = (folder / SIGNOFFS_FILE).read_bytes()
    except FileNotFoundError:
        return []
    return _parse(lines, folder)


def status(folder: Path) -> dict[str, Any]:
    """Each role with its last sign-off, and whether that is of the evidence as it is now."""
    index = _index_of(folder, None)
    evidence = digest_on_disk(folder, index)
    entries = {entry.role: entry for entry in read_signoffs(folder)}
    roles = []
    for role in ROLES:
        entry = entries.get(role)
        if entry is None:
            state = "missing"
        else:
            is_current = (entry.release, entry.evidence) == (index["release"], evidence)
            state = "signed" if is_current else "outdated"
        roles.append({"role": role, "state": state, "signoff": None if entry is None else asdict(entry)})
    return {
        "release": index["release"],
        "commit": index["commit"],
        "evidence": index["verdict"],
        "evidence_unchanged": evidence is not None,
        "lacking": lacking(index),
        "complete": all(role["state"] == "signed" for role in roles),
        "roles": roles,
    }


def _check(role: str, by: str, note: str | None) -> None:
    if role not in ROLES:
        raise ReleaseError(f"--role: {role!r} is none; those that sign are {', '.join(ROLES)}")
    if not 1 <= len(by.strip()) <= MAX_NAME or not by.isprintable():
        raise ReleaseError(f"--by: must be a name of 1 to {MAX_NAME} printable characters")
    if note is not None and not (len(note) <= MAX_NOTE and note.isprintable()):
        raise ReleaseError(f"--note: must be one line of at most {MAX_NOTE} characters")


def _index_of(folder: Path, release: str | None) -> dict[str, Any]:
    index = read_index(folder)
    if index is None:
        raise ReleaseError(
            f"{folder} holds no evidence; gather it with "
            f"instrument-registry release-evidence --output {folder}"
        )
    if release is not None and index["release"] != release:
        raise ReleaseError(
            f"--release: {folder} holds the evidence of {index['release']}, not of {release}; name "
            "the folder of that with --folder"
        )
    return index


def _in_force(entries: list[Signoff], release: str, evidence: str) -> dict[str, Signoff]:
    return {entry.role: entry for entry in entries if (entry.release, entry.evidence) == (release, evidence)}


def _parse(lines: bytes, folder: Path) -> list[Signoff]:
    entries, previous = [], None
    for number, line in enumerate(lines.splitlines(), start=1):
        try:
            entry = _entry(orjson.loads(line))
        except (ValueError, TypeError) as error:
            raise _broken(folder, number) from error
        if entry.previous != previous:
            raise _broken(folder, number)
        entries.append(entry)
        previous = digest_of(line)
    return entries


def _entry(content: Mapping[str, Any]) -> Signoff:
    return Signoff(**content)


def _broken(folder: Path, number: int) -> ReleaseError:
    return ReleaseError(
        f"line {number} of {folder / SIGNOFFS_FILE} is not as it was written, or one before it; restore the "
        "file from a copy: it is only ever added to"
    )


def _append(file: IO[bytes], signed: Signoff) -> None:
    file.write(orjson.dumps(asdict(signed)) + b"\n")
    file.flush()
    os.fsync(file.fileno())
