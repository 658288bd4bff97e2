"""The folder of one release: its evidence, its index, and its sign-offs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from app.domain.errors import RegistryError
from app.files import replace_file

INDEX_FILE: Final = "index.json"
INDEX_PAGE: Final = "index.html"
SIGNOFFS_FILE: Final = "signoffs.jsonl"
FORMAT: Final = 1


class ReleaseError(RegistryError):
    """The release's folder or what is put into it cannot be used; `str(error)` has the way out."""


def _plain_name(name: str) -> str:
    """Of a file that a gathering has written into the folder itself, and that the next one may remove."""
    if Path(name).name != name or name in ("", "..") or not name.isprintable():
        raise ValueError("is no name of a file in this folder")
    if name in (INDEX_FILE, INDEX_PAGE, SIGNOFFS_FILE):
        raise ValueError("is no file of evidence")
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _File(_Strict):
    name: Annotated[str, AfterValidator(_plain_name)]
    sha256: str
    bytes: int


class _Piece(_Strict):
    name: str
    stage: str
    state: str
    reason: str | None
    verdict: str | None
    finding: str | None
    commit: str | None
    made_at: str | None
    files: list[_File]


class _Index(_Strict):
    format: int
    release: str
    commit: str
    committed_at: str
    made_at: str
    verdict: str
    digest: str
    pieces: list[_Piece]


def pretty(content: Any) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_index(folder: Path) -> dict[str, Any] | None:
    """None where there is no evidence yet. Raises ReleaseError."""
    file = folder / INDEX_FILE
    try:
        index = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ReleaseError(
            f"{file} cannot be read: {error}; gather the evidence in another folder"
        ) from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise ReleaseError(f"{file} is no index of evidence that this version knows; name another folder")
    try:
        _Index.model_validate(index)
    except ValidationError as error:
        first = error.errors()[0]
        raise ReleaseError(
            f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}; gather the evidence in "
            "another folder"
        ) from error
    return index


def signed_digest(release: str, commit: str, pieces: Iterable[Mapping[str, Any]]) -> str:
    """Of all that there is to be signed: pieces as the index has them, but for those of the rollout."""
    seen = [
        [piece["name"], piece["state"], [[file["name"], file["sha256"]] for file in piece["files"]]]
        for piece in pieces
        if piece["stage"] == "release"
    ]
    return digest_of(orjson.dumps([release, commit, seen]))


def digest_on_disk(folder: Path, index: Mapping[str, Any]) -> str | None:
    """As `signed_digest`, of what is in the folder now; None where a file is not as the index says."""
    for piece in index["pieces"]:
        for file in piece["files"]:
            try:
                content = (folder / file["name"]).read_bytes()
            except OSError:
                return None
            if piece["stage"] == "release" and digest_of(content) != file["sha256"]:
                return None
    return signed_digest(index["release"], index["commit"], index["pieces"])


def lacking(index: Mapping[str, Any]) -> list[str]:
    """In words: the pieces that are missing, stale or failed, those of the rollout left out."""
    return [
        f"{piece['name']} ({'failed' if piece['verdict'] == 'failed' else piece['state']})"
        for piece in index["pieces"]
        if piece["stage"] == "release" and (piece["state"] != "current" or piece["verdict"] == "failed")
    ]


def replace_files(folder: Path, old: Sequence[str], new: Mapping[str, bytes]) -> None:
    """Remove what an earlier gathering has left, and write `new`, its last file last."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in old:
        if name not in new:
            (folder / name).unlink(missing_ok=True)
    for name, content in new.items():
        replace_file(folder / name, content)
