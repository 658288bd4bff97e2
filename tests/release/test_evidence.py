"""What is gathered of a release, what is named as missing, stale or failed, and the index of it."""

import asyncio
import hashlib
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from typer.testing import CliRunner, Result

from app.cli import cli
from app.release.evidence import Inputs, gather
from app.release.folder import ReleaseError, read_index
from app.release.junit import OF_PROFILES, expected_modules, expected_rehearsals, is_of_profiles
from app.release.sbom import bill_of_materials
from app.release.source import Source
from app.rollout.folder import Folder
from app.times import utc_text
from loadtests.evidence import evaluate
from tests.packages import needed
from tests.release.backfilled import Past, prometheus_with
from tests.release.conftest import ROOT, SUITE, Results, git
from tests.unit.test_load_evidence import BOTH, measured

FOLDER_FILES: Final = {
    "production_load_test_results.json",
    "production_load_test_results_optimized.json",
    "load_test_comparison.json",
    "load_test_comparison.html",
    "subscription_management_test_report.json",
    "test_report.json",
    "rehearsal_report.json",
    "alert_test_results.json",
    "config_gap_mitigation.md",
    "search_config_integration_verification.json",
    "migrations.json",
    "sbom.cdx.json",
    "index.json",
    "index.html",
}


def load_evidence(shape: str, commit: str | None, waited: float = 1.0, p95_ms: float = 100) -> dict[str, Any]:
    """What `loadtest` writes, of requests that took `waited` times as long."""
    run = measured([one._replace(waited_ms=one.waited_ms * waited) for one in BOTH], p95_ms=p95_ms)
    return {
        "shape": shape,
        "started_at": "2026-01-01T00:00:00+00:00",
        "seconds": 100.0,
        "factor": 1.0,
        **evaluate(run),
        "service": {"instruments": 7, "processes": 1},
        "commit": commit,
        "machine": {"cores": 2, "architecture": "x", "python": "3.11"},
    }


@pytest.fixture
def inputs(source: Path, commit: str, results: Results) -> dict[str, Path]:
    """Options to files of this release, and of a baseline."""
    folder = source.parent
    files = {
        "--load-baseline": {"runs": [load_evidence(shape, "0" * 40) for shape in ("burst", "sustained")]},
        "--load-results": {"runs": [load_evidence(shape, commit, 0.5) for shape in ("burst", "sustained")]},
        "--config-verification": {
            "verdict": "complete",
            "commit": commit,
            "verified_at": "2026-01-01T00:00:00Z",
        },
    }
    found = {
        "--test-results": results(commit),
        "--rehearsal-results": results(commit, rehearsals=True),
    }
    for option, content in files.items():
        found[option] = folder / f"{option.strip('-')}.json"
        found[option].write_bytes(orjson.dumps(content))
    return found


def gathering(source: Path, inputs: dict[str, Path], *options: str) -> Result:
    needed("prometheus", "promtool")
    named = [str(part) for option in inputs.items() for part in option]
    command = ["release-evidence", "--release", "1.4.0", "--source", str(source)]
    return CliRunner().invoke(cli, [*command, "--output", str(source.parent / "release"), *named, *options])


def pieces(source: Path) -> dict[str, dict[str, Any]]:
    index = orjson.loads((source.parent / "release/index.json").read_bytes())
    return {piece["name"]: piece for piece in index["pieces"]}


def document(source: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads((source.parent / "release" / name).read_bytes())
    return content


def test_all_of_it_is_complete_before_the_rollout(source: Path, inputs: dict[str, Path], commit: str) -> None:
    result = gathering(source, inputs, "--before-rollout")
    assert result.exit_code == 0, result.stdout + result.stderr
    folder = source.parent / "release"
    assert {file.name for file in folder.iterdir()} == FOLDER_FILES
    index = document(source, "index.json")
    assert (index["verdict"], index["commit"], index["release"]) == ("complete", commit, "1.4.0")
    for piece in index["pieces"]:
        assert piece["state"] == ("current" if piece["stage"] == "release" else "not due"), piece
        assert piece["stage"] == "rollout" or (piece["made_at"] and piece["commit"])
        for file in piece["files"]:
            content = (folder / file["name"]).read_bytes()
            assert (file["sha256"], file["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    page = (folder / "index.html").read_text()
    assert all(f'href="{name}"' in page for name in FOLDER_FILES - {"index.json", "index.html"})
    assert not re.search(r"<(script|link|img)|@import|url\(|src=|https?://", page)


def test_load_tests_are_compared_row_by_row(source: Path, inputs: dict[str, Path]) -> None:
    slower = load_evidence("sustained", "0" * 40)
    slower["machine"]["cores"] = 4
    slower["sides"]["service"]["by_request"]["lookup"] = {"requests": 5, "latency_ms": {}} | {
        "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}
    }
    slower["sides"]["service"]["errors"] = {"lookup: status 503": 2, "search: status 503": 1}
    inputs["--load-baseline"].write_bytes(orjson.dumps(slower))
    result = gathering(source, inputs, "--before-rollout")
    assert result.exit_code == 1
    assert pieces(source)["load tests, baseline"]["reason"] == "there is no run of burst"
    comparison = document(source, "load_test_comparison.json")
    rows = {(row["shape"], row["request"]): row for row in comparison["rows"]}
    both = rows["sustained", "all requests"]
    assert (both["baseline"]["p95_ms"], both["current"]["p95_ms"], both["ratio"]["p95_ms"]) == (9, 4.5, 0.5)
    assert both["ratio"]["rate_per_s"] == 1 and rows["sustained", "search"]["baseline"]["errors"] == 1
    only = rows["sustained", "lookup"]
    assert (only["current"], only["ratio"]["p95_ms"], only["baseline"]["errors"]) == (None, None, 2)
    assert rows["burst", "search"]["baseline"] is None
    assert comparison["only_in_baseline"] == [["sustained", 1, "lookup"]]
    assert {one["of"] for one in comparison["differences"]} == {"machine.cores"}
    assert "machine.cores" in (source.parent / "release/load_test_comparison.html").read_text()


def test_the_report_of_profile_tests_is_of_those_alone(source: Path, inputs: dict[str, Path]) -> None:
    gathering(source, inputs, "--before-rollout")
    report = document(source, "subscription_management_test_report.json")
    assert [module["module"] for module in report["modules"]] == ["tests.test_profiles"]
    assert (report["verdict"], report["tests"], report["failed"]) == ("passed", 1, 0)
    assert document(source, "test_report.json")["tests"] == 3


def test_nothing_is_assumed_where_nothing_is_given(source: Path) -> None:
    result = gathering(source, {})
    assert result.exit_code == 1 and "missing: load tests, baseline" in result.stderr
    states = {name: piece["state"] for name, piece in pieces(source).items()}
    assert [name for name, state in states.items() if state == "current"] == [
        "tests of alerts",
        "configuration gaps and their mitigation",
        "migrations",
        "dependencies and licences",
    ]
    assert states["rollout decisions"] == states["rollback"] == "missing"
    assert gathering(source, {}, "--allow-missing").exit_code == 0


@pytest.mark.parametrize(
    ("option", "content", "piece", "why"),
    [
        ("--test-results", "<testsuites/>", "tests", "no test of these was run"),
        ("--test-results", "no XML", "tests", "no JUnit XML"),
        ("--config-verification", "[]", "verification of the configuration", "holds no JSON object"),
        ("--config-verification", "{}", "verification of the configuration", "not what config verify writes"),
        ("--load-results", '{"shape": "burst"}', "load tests, current", "not what loadtest writes"),
        ("--load-results", "{", "load tests, current", "is no JSON"),
    ],
)
def test_what_cannot_be_read_is_missing_and_named(
    source: Path, inputs: dict[str, Path], option: str, content: str, piece: str, why: str
) -> None:
    inputs[option].write_text(content)
    assert gathering(source, inputs, "--before-rollout").exit_code == 1
    found = pieces(source)[piece]
    assert found["state"] == "missing" and option in found["reason"] and why in found["reason"]
    inputs[option].unlink()
    gathering(source, inputs, "--before-rollout")
    assert "No such file" in pieces(source)[piece]["reason"]


def test_evidence_of_another_commit_is_stale(source: Path, inputs: dict[str, Path], commit: str) -> None:
    (source / "docs/config.md").write_text("# Other\n")
    git(source, "commit", "-qam", "Other")
    result = gathering(source, inputs, "--before-rollout")
    assert result.exit_code == 1 and "stale: load tests, current" in result.stderr
    found = pieces(source)
    stale = [name for name, piece in found.items() if piece["state"] == "stale"]
    assert stale == [
        "load tests, current",
        "tests of subscription profiles",
        "tests",
        "rehearsals",
        "verification of the configuration",
    ]
    assert found["tests"]["reason"] == f"it is of commit {commit[:12]}, not of " + git(
        source, "rev-parse", "--short=12", "HEAD"
    )
    assert gathering(source, inputs, "--before-rollout", "--allow-missing").exit_code == 0


def test_evidence_of_an_unknown_commit_or_of_changed_files_is_stale(
    source: Path, inputs: dict[str, Path]
) -> None:
    inputs["--config-verification"].write_text('{"verdict": "complete"}')
    gathering(source, inputs, "--before-rollout")
    assert pieces(source)["verification of the configuration"]["reason"] == "its commit is unknown"
    (source / "docs/config.md").write_text("# Changed\n")
    gathering(source, inputs, "--before-rollout")
    assert pieces(source)["migrations"]["reason"] == "files were changed since the commit"


@pytest.mark.parametrize(
    ("break_it", "piece"),
    [
        ("test", "tests of subscription profiles"),
        ("alert", "tests of alerts"),
        ("load", "load tests, current"),
        ("config", "verification of the configuration"),
    ],
)
def test_what_failed_is_never_allowed(
    source: Path, inputs: dict[str, Path], results: Results, break_it: str, piece: str
) -> None:
    if break_it == "alert":
        file = source / "deploy/prometheus/rules.yml"
        file.write_text(file.read_text().replace("> 1", "> 5"))
    elif break_it == "config":
        inputs["--config-verification"].write_text('{"verdict": "incomplete"}')
    git(source, "commit", "-qam", "Broken", "--allow-empty")
    commit = git(source, "rev-parse", "HEAD")
    inputs["--test-results"] = results(commit, failing=break_it == "test")
    limit = 1 if break_it == "load" else 100
    runs = [load_evidence(shape, commit, p95_ms=limit) for shape in ("burst", "sustained")]
    inputs["--load-results"].write_bytes(orjson.dumps({"runs": runs}))
    result = gathering(source, inputs, "--before-rollout", "--allow-missing")
    assert result.exit_code == 1 and re.search(rf"failed: .*{piece}", result.stderr)
    assert pieces(source)[piece]["verdict"] == "failed"
    assert document(source, "index.json")["verdict"] == "failed"


def test_make_test_writes_what_is_gathered() -> None:
    run = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True)
    head = git(ROOT, "rev-parse", "HEAD")
    assert "--junitxml=test-results.xml" in run.stdout
    assert f'junit_suite_name="{SUITE} {head}' in run.stdout
    modules = expected_modules(ROOT)
    assert all(any(word in module for module in modules) for word in OF_PROFILES)
    assert "tests.integration.test_profiles_api" in filter(is_of_profiles, modules)


def test_rehearsals_are_those_of_make_rehearsal_alone(
    source: Path, inputs: dict[str, Path], results: Results, commit: str
) -> None:
    gathering(source, inputs, "--before-rollout")
    report = document(source, "rehearsal_report.json")
    assert (report["tests"], report["passed"], report["commit"]) == (2, 2, commit)
    whole = inputs["--rehearsal-results"].read_text()
    skipped = re.sub(r'(name="test_four"[^>]*?) ?/>', r'\1><skipped message="no"/></testcase>', whole)
    failed = skipped.replace("skipped", "failure")
    for given, state, words in (
        (results(commit).read_text(), "missing", "there are no results of 1 rehearsals, test_five for one"),
        (skipped, "missing", "there are no results of 1 rehearsals, test_four for one"),
        (failed, "current", "2 tests, 1 failed, 0 skipped"),
        ("<testsuites/>", "missing", "--rehearsal-results: no test of these was run"),
    ):
        inputs["--rehearsal-results"].write_text(given)
        result = gathering(source, inputs, "--before-rollout")
        found = pieces(source)["rehearsals"]
        assert result.exit_code == 1
        assert (found["state"], words in (found["reason"] or found["finding"])) == (state, True), found
    del inputs["--rehearsal-results"]
    gathering(source, inputs, "--before-rollout")
    assert pieces(source)["rehearsals"]["reason"] == (
        "none was named; name what make rehearsal has written (rehearsal/rehearsal-results.xml) with "
        "--rehearsal-results"
    )


def test_make_rehearsal_writes_what_is_gathered() -> None:
    command = ["make", "-n", "rehearsal", "OUTPUT=there"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--junitxml=there/rehearsal-results.xml" in run.stdout
    assert f'junit_suite_name="{SUITE} {git(ROOT, "rev-parse", "HEAD")}' in run.stdout
    rehearsals = expected_rehearsals(ROOT)
    assert ("tests.rollout.test_rehearsal", "test_a_good_canary_gets_all_users") in rehearsals


def test_a_test_module_without_results_is_missing(source: Path, inputs: dict[str, Path]) -> None:
    (source / "tests/test_profile_streams.py").write_text("def test_four() -> None: ...\n")
    gathering(source, inputs, "--before-rollout")
    found = pieces(source)
    for name in ("tests", "tests of subscription profiles"):
        assert found[name]["reason"] == (
            "there are no results of 1 test modules, tests.test_profile_streams for one"
        )


def test_gathering_again_replaces_what_was_there(source: Path, inputs: dict[str, Path]) -> None:
    gathering(source, inputs, "--before-rollout")
    folder = source.parent / "release"
    (folder / "kept.txt").write_text("")
    del inputs["--load-baseline"]
    gathering(source, inputs, "--before-rollout")
    names = {file.name for file in folder.iterdir()}
    assert "kept.txt" in names and "production_load_test_results.json" not in names
    assert not {name for name in names if "comparison" in name}
    other = CliRunner().invoke(
        cli,
        ["release-evidence", "--release", "1.5.0", "--source", str(source), "--output", str(folder)],
    )
    assert other.exit_code == 1 and "holds the evidence of 1.4.0" in str(other.exception)


@pytest.mark.parametrize(
    "name", ["../kept.txt", "/etc/hostname", "..", ".", "", "sub/kept.txt", "signoffs.jsonl", "a\0b", 7]
)
def test_an_index_that_names_other_files_removes_none(
    source: Path, inputs: dict[str, Path], name: object
) -> None:
    gathering(source, inputs, "--before-rollout")
    folder = source.parent / "release"
    kept = [source.parent / "kept.txt", folder / "sub/kept.txt", folder / "signoffs.jsonl"]
    (folder / "sub").mkdir()
    for file in kept:
        file.write_text("")
    index = document(source, "index.json")
    index["pieces"][0]["files"][0]["name"] = name
    (folder / "index.json").write_bytes(orjson.dumps(index))
    result = gathering(source, inputs, "--before-rollout")
    assert isinstance(result.exception, ReleaseError), result.exception
    assert "pieces.0.files.0.name" in str(result.exception) and "another folder" in str(result.exception)
    assert all(file.exists() for file in kept)


@pytest.mark.parametrize(
    "broken",
    [
        {"pieces": None},
        {"pieces": [{}]},
        {"pieces": [{"name": "tests"}]},
        {"release": 1},
        {"digest": None},
        {"format": 2},
    ],
)
def test_a_broken_index_is_said(tmp_path: Path, broken: dict[str, Any]) -> None:
    whole = dict.fromkeys(("release", "commit", "committed_at", "made_at", "verdict", "digest"), "x")
    file = tmp_path / "index.json"
    file.write_bytes(orjson.dumps({"format": 1, "pieces": [], **whole}))
    assert read_index(tmp_path) is not None
    for content in ({"format": 1, "pieces": [], **whole} | broken, {"format": 1}):
        file.write_bytes(orjson.dumps(content))
        with pytest.raises(ReleaseError, match="another folder"):
            read_index(tmp_path)


def test_a_folder_that_is_no_clone_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["release-evidence", "--release", "1", "--source", str(tmp_path)])
    assert result.exit_code == 1 and "--source" in str(result.exception)


async def test_the_database_is_asked_for_its_migrations(source: Path, database_url: str) -> None:
    inputs = Inputs(database_url=database_url)
    await asyncio.to_thread(gather, "1.4.0", Source.read(source), inputs, source.parent / "release")
    found = pieces(source)["migrations of the database"]
    assert (found["state"], found["verdict"]) == ("current", "passed")
    migrations = document(source, "migrations.json")
    assert document(source, "migrations_of_database.json")["revision"] == migrations["head"]
    assert [one["after"] for one in migrations["migrations"]][:2] == [None, "0001_instruments"]
    assert len(migrations["migrations"][0]["files"]) == 3


def test_the_bill_of_materials_is_valid_and_repeats_itself() -> None:
    pins = (ROOT / "requirements/service.txt").read_text()
    bom = bill_of_materials(pins, "1.4.0", "2026-01-01T00:00:00Z")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(orjson.dumps(bom).decode()) is None
    assert bom == bill_of_materials(pins, "1.4.0", "2026-01-01T00:00:00Z")
    components = {one["name"]: one for one in bom["components"]}
    assert len(components) == len(re.findall(r"^[\w.-]+(\[.*\])?==", pins, re.MULTILINE))
    assert components["aiohttp"]["licenses"] and components["orjson"]["licenses"]
    depends = {one["ref"]: one["dependsOn"] for one in bom["dependencies"]}
    aiohttp = components["aiohttp"]["bom-ref"]
    assert aiohttp in depends["pkg:pypi/instrument-registry@1.4.0"]
    assert components["yarl"]["bom-ref"] in depends[aiohttp]
    assert all(ref in depends for refs in depends.values() for ref in refs)


def stamp(seconds: float) -> str:
    return utc_text(datetime.fromtimestamp(seconds, UTC), "milliseconds")


def rollout_folder(root: Path, phase: str, release: str = "1.4.0", **rollback: Any) -> Path:
    """What a rollout leaves behind."""
    folder = Folder(root / "rollout")
    folder.make()
    summary = {
        "release": release,
        "phase": phase,
        "updated_at": stamp(0),
        "users_in_all": {"requests": 1000, "errors": 2},
        "rollback": rollback or None,
    }
    folder.write_summary(summary)
    folder.add_decision({"event": "look"})
    return folder.path


@pytest.mark.parametrize(
    ("phase", "release", "state", "verdict"),
    [
        ("promoted", "1.4.0", "current", "passed"),
        ("refused", "1.4.0", "current", "failed"),
        ("promoted", "1.3.0", "stale", "passed"),
        ("rolling out", "1.4.0", "missing", None),
    ],
)
def test_a_rollout_is_gathered_when_it_has_ended(
    source: Path, phase: str, release: str, state: str, verdict: str | None
) -> None:
    folder = rollout_folder(source.parent, phase, release)
    gathering(source, {"--rollout": folder})
    found = pieces(source)["rollout decisions"]
    assert (found["state"], found["verdict"]) == (state, verdict)
    assert pieces(source)["rollback"]["state"] == "not due"
    if state == "current":
        assert "1000 requests, 2 failed" in found["finding"]


def test_a_rollback_is_shown_with_its_metrics_and_the_errors_of_the_period(
    source: Path, tmp_path: Path
) -> None:
    """A canary that fails a tenth of its requests, and is taken back 20 minutes ago."""
    now = datetime.now(UTC).timestamp()
    ago, hour = 1200, 3600
    base = {"job": "registry", "route": "/v1/instruments/search"}

    def until_then(per_s: float) -> Any:
        return lambda age: 100 + (hour - max(age, ago)) * per_s

    def canary(status: str, per_s: float) -> list[Past]:
        of = base | {"track": "canary", "status": status}
        name = "registry_http_request_seconds"
        return [
            Past(f"{name}_bucket", of | {"le": "0.25"}, until_then(per_s), hour, 10),
            Past(f"{name}_bucket", of | {"le": "+Inf"}, until_then(per_s), hour, 10),
            Past(f"{name}_count", of, until_then(per_s), hour, 10),
        ]

    stable = Past(
        "registry_http_request_seconds_count",
        base | {"track": "stable", "status": "200"},
        lambda age: 100 + (hour - age) * 5.0,
        hour,
        10,
    )
    folder = rollout_folder(
        source.parent,
        "rolled back",
        cause="errors",
        text="10 % of requests fail",
        decided_at=stamp(now - ago),
        confirmed_at=stamp(now - ago + 5),
        restored=True,
        restored_after_s=30.5,
    )
    log = tmp_path / "api.log"
    lines = [
        {"timestamp": stamp(now - ago - 60), "level": "info", "event": "request", "status": 503, "n": 2},
        {"timestamp": stamp(now - ago - 90), "level": "error", "event": "request failed", "n": 1}
        | {"error": "postgresql://ada:hidden@db/x refused ir_" + 43 * "k"},
        {"timestamp": stamp(now - ago), "level": "info", "event": "request", "status": 200},
        {"timestamp": stamp(now - ago - 7200), "level": "error", "event": "long ago"},
    ]
    log.write_bytes(b"\n".join([*map(orjson.dumps, lines), b"no JSON"]))
    around = ["--around-rollback", "600"]
    with prometheus_with(tmp_path, [stable, *canary("200", 0.9), *canary("500", 0.1)]) as url:
        asked = {"--rollout": folder}
        gathering(source, asked, "--prometheus", url, *around)
        assert pieces(source)["rollback"]["reason"].startswith("no logs were named")
        gathering(source, asked, "--prometheus", url, "--log", str(log), *around)
    found = pieces(source)["rollback"]
    assert (found["state"], found["verdict"]) == ("current", "passed"), found
    report = document(source, "rollback.json")
    before, after = (report[when]["canary"] for when in ("before", "after"))
    assert before["requests_per_s"] == pytest.approx(1, rel=0.1)
    assert before["errors_per_s"] == pytest.approx(0.1, rel=0.1) and 100 < before["p95_ms"] <= 250
    assert after["errors_per_s"] < 0.05 and report["after"]["stable"]["errors_per_s"] == 0
    assert report["logs"] == {"lines": 5, "of_the_period": 3, "errors": 2, "not_json": 1}
    kept = (source.parent / "release/rollback_errors.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["n"] for line in kept] == [1, 2]
    assert orjson.loads(kept[0])["error"] == "postgresql://***@db/x refused ***"
    assert (source.parent / "release/rollback.html").read_text().count("<svg") == 3
    gathering(source, asked)
    assert "--prometheus" in pieces(source)["rollback"]["reason"]
    nowhere = "http://ada:secret@127.0.0.1:1"
    gathering(source, asked, "--prometheus", nowhere, *around)
    assert "Prometheus at http://127.0.0.1:1 does not answer" in pieces(source)["rollback"]["reason"]
    result = gathering(source, asked, "--prometheus", "ada:secret@prometheus")
    assert result.exit_code == 1 and "--prometheus: is no URL" in result.stderr
    for file in (source.parent / "release").iterdir():
        assert b"secret" not in file.read_bytes(), file
