"""Who signs what, once, and what is noticed of changes afterwards."""

import fcntl
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from app.cli import cli
from app.release.evidence import Inputs, gather
from app.release.folder import ReleaseError
from app.release.signoffs import ROLES, missing_signoffs, read_signoffs, sign
from app.release.source import Source

NOTE = "nothing was measured here"
LACKING = Inputs(is_before_rollout=True)


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    """Evidence of 1.4.0, which lacks most."""
    folder = tmp_path / "release"
    gather("1.4.0", Source.read(source), LACKING, folder)
    return folder


def signing(folder: Path, *options: str, role: str = "security", by: str = "Ada Lovelace") -> Result:
    command = ["release", "sign", "--folder", str(folder), "--role", role, "--by", by]
    return CliRunner().invoke(cli, [*command, *options])


def status(folder: Path) -> dict[str, str]:
    result = CliRunner().invoke(cli, ["release", "status", "--folder", str(folder), "--json"])
    assert result.exit_code == 0, result.stderr
    return {one["role"]: one["state"] for one in orjson.loads(result.stdout)["roles"]}


def test_seven_roles_sign_one_release(folder: Path, commit: str) -> None:
    assert missing_signoffs(folder, "1.4.0") == list(ROLES)
    for number, role in enumerate(ROLES):
        result = signing(folder, "--note", NOTE, "--release", "1.4.0", role=role)
        assert result.exit_code == 0, result.stderr
        assert missing_signoffs(folder, "1.4.0") == list(ROLES[number + 1 :])
    assert "All 7 have signed." in result.stdout
    entry = read_signoffs(folder)[1]
    index = orjson.loads((folder / "index.json").read_bytes())
    assert (entry.role, entry.by, entry.note) == ("security", "Ada Lovelace", NOTE)
    assert (entry.commit, entry.evidence) == (commit, index["digest"])
    assert entry.at.endswith("Z") and "tests (missing)" in entry.lacking
    assert set(status(folder).values()) == {"signed"}
    assert (folder / "index.html").read_text().count("Ada Lovelace") == 7
    assert missing_signoffs(folder, "1.5.0") == list(ROLES)


@pytest.mark.parametrize(
    ("options", "role", "by", "named"),
    [
        (["--note", NOTE], "security", "Grace", "security has signed this evidence of 1.4.0 already, by Ada"),
        (
            ["--note", NOTE],
            "treasurer",
            "Ada",
            "--role: 'treasurer' is none; those that sign are perf",
        ),
        (
            ["--note", NOTE, "--release", "1.5.0"],
            "product",
            "Ada",
            "the evidence of 1.4.0, not of 1.5.0",
        ),
        (["--note", NOTE], "product", " ", "--by"),
        (["--note", NOTE], "product", "A\nB", "--by"),
        (["--note", "a\nb"], "product", "Ada", "--note"),
        ([], "product", "Ada", "--note: the evidence lacks"),
        (["--note", " "], "product", "Ada", "--note: the evidence lacks"),
    ],
)
def test_what_cannot_be_signed_is_said(
    folder: Path, options: list[str], role: str, by: str, named: str
) -> None:
    assert signing(folder, "--note", NOTE).exit_code == 0
    result = signing(folder, *options, role=role, by=by)
    assert result.exit_code == 1 and named in str(result.exception)
    assert len(read_signoffs(folder)) == 1


def test_a_folder_without_evidence_is_not_signed(tmp_path: Path) -> None:
    result = signing(tmp_path)
    assert result.exit_code == 1 and "release-evidence --output" in str(result.exception)
    assert missing_signoffs(tmp_path, "1.4.0") == list(ROLES)


def test_changed_evidence_is_to_be_signed_again(folder: Path, source: Path, tmp_path: Path) -> None:
    sign(folder, "security", "Ada", None, NOTE)
    gather("1.4.0", Source.read(source), LACKING, folder)  # the same again
    assert status(folder)["security"] == "signed"
    verification = tmp_path / "verification.json"
    verification.write_text('{"verdict": "complete"}')
    gather("1.4.0", Source.read(source), Inputs(config_verification=verification), folder)
    assert status(folder)["security"] == "outdated"
    assert missing_signoffs(folder, "1.4.0") == list(ROLES)
    sign(folder, "security", "Ada", None, NOTE)
    assert "security" not in missing_signoffs(folder, "1.4.0") and len(read_signoffs(folder)) == 2


def test_files_that_were_changed_by_hand_are_noticed(folder: Path) -> None:
    sign(folder, "security", "Ada", None, NOTE)
    (folder / "sbom.cdx.json").write_text("{}")
    assert missing_signoffs(folder, "1.4.0") == list(ROLES)
    assert status(folder)["security"] == "outdated"
    with pytest.raises(ReleaseError, match="not as its index says"):
        sign(folder, "product", "Ada", None, NOTE)


def test_signoffs_that_were_changed_by_hand_are_noticed(folder: Path) -> None:
    for role in ROLES[:3]:
        sign(folder, role, "Ada", None, NOTE)
    file = folder / "signoffs.jsonl"
    first, second, third = file.read_bytes().splitlines()
    for lines in (
        [first.replace(b"Ada", b"Eve"), second, third],
        [first, third],
        [second, third],
        [first, b"{}"],
        [first, b"{"],
    ):
        file.write_bytes(b"\n".join(lines) + b"\n")
        with pytest.raises(ReleaseError, match="is not as it was written"):
            missing_signoffs(folder, "1.4.0")


def test_those_who_sign_at_once_take_turns(folder: Path) -> None:
    with ThreadPoolExecutor(1) as pool, (folder / "signoffs.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = pool.submit(sign, folder, "security", "Grace", None, NOTE)
        assert not wait([second], timeout=0.5).done
        fcntl.flock(file, fcntl.LOCK_UN)
        assert second.result(timeout=30).by == "Grace"
    assert len(read_signoffs(folder)) == 1
