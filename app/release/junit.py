"""Reports of tests and rehearsals, made of the JUnit XML that `make test` and `make rehearsal` write."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from app.release.folder import pretty
from app.release.pieces import Found, Missing
from app.release.source import Source
from app.times import utc_text

REPORT_FILE: Final = "test_report.json"
REHEARSALS_FILE: Final = "rehearsal_report.json"
PROFILES_FILE: Final = "subscription_management_test_report.json"
OF_PROFILES: Final = ("profile", "member_edit", "stream_changes", "write_groups")
"""Words in the names of modules whose tests are of subscription profiles."""
REHEARSALS: Final = "tests.rollout."
"""What the modules of rehearsals begin with; `make test` runs one of them, `make rehearsal` all."""
_COMMIT: Final = re.compile(r"\b[0-9a-f]{40}(-dirty)?\b")
_TEST: Final = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
_SLOW: Final = "pytestmark = pytest.mark.slow"
_MESSAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Option:
    """Of the command line: it names the file that a target of the Makefile writes."""

    name: str
    target: str
    file: str


TEST_RESULTS: Final = Option("--test-results", "make test", "test-results.xml")
REHEARSAL_RESULTS: Final = Option("--rehearsal-results", "make rehearsal", "rehearsal/rehearsal-results.xml")


@dataclass(frozen=True, slots=True)
class Case:
    module: str
    test: str
    outcome: str
    """`passed`, `failed` or `skipped`."""
    seconds: float
    message: str | None


@dataclass(frozen=True, slots=True)
class Run:
    commit: str | None
    started_at: str | None
    cases: list[Case]


def gather_tests(file: Path | None, source: Source) -> Found:
    """All tests. Raises Missing."""
    return _found(read_run(file), REPORT_FILE, expected_modules(source.root))


def gather_profile_tests(file: Path | None, source: Source) -> Found:
    """Those of subscription profiles. Raises Missing."""
    run = read_run(file)
    ours = Run(run.commit, run.started_at, [case for case in run.cases if is_of_profiles(case.module)])
    return _found(ours, PROFILES_FILE, filter(is_of_profiles, expected_modules(source.root)))


def gather_rehearsals(file: Path | None, source: Source) -> Found:
    """All rehearsals of a release, each passed or failed: one that was skipped was none. Raises Missing."""
    run = read_run(file, REHEARSAL_RESULTS)
    ours = Run(run.commit, run.started_at, [one for one in run.cases if one.module.startswith(REHEARSALS)])
    found = _found(ours, REHEARSALS_FILE, (), REHEARSAL_RESULTS)
    known = {(one.module, one.test.partition("[")[0]) for one in ours.cases if one.outcome != "skipped"}
    without = [test for module, test in expected_rehearsals(source.root) if (module, test) not in known]
    if not without:
        return found
    return replace(found, lacks=f"there are no results of {len(without)} rehearsals, {without[0]} for one")


def read_run(file: Path | None, option: Option = TEST_RESULTS) -> Run:
    """Raises Missing."""
    if file is None:
        raise Missing(
            f"none was named; name what {option.target} has written ({option.file}) with {option.name}"
        )
    try:
        root = ElementTree.fromstring(file.read_bytes())  # noqa: S314 - written by our own run
        suites = list(root.iter("testsuite"))
        cases = [_case(element) for element in root.iter("testcase")]
    except OSError as error:
        raise Missing(f"{option.name}: {file} cannot be read ({error.strerror})") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise Missing(f"{option.name}: {file} is no JUnit XML") from error
    commits = {found[0] for suite in suites if (found := _COMMIT.search(suite.get("name", "")))}
    begun = [suite.get("timestamp", "") for suite in suites]
    return Run(commits.pop() if len(commits) == 1 else None, _utc(min(begun, default="")), cases)


def expected_modules(root: Path) -> list[str]:
    """The test modules of the source, but for those that are slow as a whole."""
    return sorted(
        ".".join(file.relative_to(root).with_suffix("").parts)
        for file in (root / "tests").rglob("test_*.py")
        if _SLOW not in file.read_text(encoding="utf-8")
    )


def expected_rehearsals(root: Path) -> list[tuple[str, str]]:
    """The module and the name of each rehearsal of the source."""
    return [
        (REHEARSALS + file.stem, test)
        for file in sorted((root / "tests/rollout").glob("test_*.py"))
        for test in _TEST.findall(file.read_text(encoding="utf-8"))
    ]


def is_of_profiles(module: str) -> bool:
    return any(word in module.rpartition(".")[2] for word in OF_PROFILES)


def report_of(run: Run, expected: Iterable[str]) -> dict[str, Any]:
    outcomes = [case.outcome for case in run.cases]
    modules = sorted({case.module for case in run.cases})
    return {
        "verdict": "failed" if "failed" in outcomes else "passed",
        "commit": run.commit,
        "started_at": run.started_at,
        "tests": len(outcomes),
        **{outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "skipped")},
        "seconds": round(sum(case.seconds for case in run.cases), 3),
        "modules": [
            {"module": module, **_counts([case for case in run.cases if case.module == module])}
            for module in modules
        ],
        "modules_without_results": sorted(set(expected) - set(modules)),
        "failures": [asdict(case) for case in run.cases if case.outcome == "failed"],
        "skips": [asdict(case) for case in run.cases if case.outcome == "skipped"],
        "cases": [asdict(case) for case in run.cases],
    }


def _found(run: Run, name: str, expected: Iterable[str], option: Option = TEST_RESULTS) -> Found:
    if not any(case.outcome != "skipped" for case in run.cases):
        raise Missing(f"{option.name}: no test of these was run")
    report = report_of(run, expected)
    without = report["modules_without_results"]
    return Found(
        {name: pretty(report)},
        run.commit,
        run.started_at,
        report["verdict"],
        f"{report['tests']} tests, {report['failed']} failed, {report['skipped']} skipped",
        f"there are no results of {len(without)} test modules, {without[0]} for one" if without else None,
    )


def _case(element: ElementTree.Element) -> Case:
    outcome, message = "passed", None
    for kind, tags in (("skipped", ("skipped",)), ("failed", ("failure", "error"))):
        for tag in tags:
            if (found := element.find(tag)) is not None:
                outcome, message = kind, (found.get("message") or found.text or "")[:_MESSAGE]
    module = element.get("classname", "")
    head, _, last = module.rpartition(".")
    if last[:1].isupper():  # a class in the module
        module = head
    return Case(module, element.get("name", ""), outcome, float(element.get("time", "0")), message)


def _counts(cases: Sequence[Case]) -> dict[str, Any]:
    return {
        "tests": len(cases),
        "failed": sum(case.outcome == "failed" for case in cases),
        "skipped": sum(case.outcome == "skipped" for case in cases),
        "seconds": round(sum(case.seconds for case in cases), 3),
    }


def _utc(stamp: str) -> str | None:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return utc_text(moment)
