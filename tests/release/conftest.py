"""A source of a release of its own: a small git repository with what evidence is made of."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, Protocol

import pytest

ROOT: Final = Path(__file__).parents[2]
SUITE: Final = "instrument-registry"
RULES: Final = """groups:
  - name: g
    rules: [{alert: Slow, expr: latency > 1, for: 2m}]
"""
RULE_TESTS: Final = """rule_files: [../rules.yml]
tests:
  - interval: 1m
    input_series: [{series: latency, values: 2x10}]
    alert_rule_test:
      - {alertname: Slow, eval_time: 5m, exp_alerts: [{}]}
"""
TESTS: Final = {
    "tests/test_profiles.py": "def test_one() -> None: ...\n",
    "tests/rollout/test_rehearsal.py": "import pytest\ndef test_four() -> None: ...\n"
    "@pytest.mark.slow\ndef test_five() -> None: ...\n",
    "tests/test_other.py": "def test_two() -> None: ...\n",
    "tests/test_long.py": "import pytest\npytestmark = pytest.mark.slow\ndef test_three() -> None: ...\n",
}


def git(root: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    run = subprocess.run(
        ["git", "-C", root, *arguments], capture_output=True, text=True, env=environment, check=True
    )
    return run.stdout.strip()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a repository with one commit."""
    root = tmp_path_factory.mktemp("template")
    files = {
        "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['slow']\n",
        "docs/config.md": "# Configuration\n",
        "deploy/prometheus/rules.yml": RULES,
        "deploy/prometheus/tests/slow.yml": RULE_TESTS,
        **TESTS,
    }
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (root / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/service.txt", root / "requirements/service.txt")
    shutil.copytree(ROOT / "migrations", root / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "All")
    return root


@pytest.fixture
def source(template: Path, tmp_path: Path) -> Path:
    """A repository like `template`, to be changed."""
    return shutil.copytree(template, tmp_path / "source")


@pytest.fixture
def commit(source: Path) -> str:
    return git(source, "rev-parse", "HEAD")


class Results(Protocol):
    """Makes the results at a commit of `make test`, or of `make rehearsal`.

    Failing ones are of a test of profiles that fails.
    """

    def __call__(self, commit: str, *, failing: bool = False, rehearsals: bool = False) -> Path: ...


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[bool, bool], str]:
    """What real runs have written: of tests, of tests of which one fails, and of rehearsals."""
    found = {}
    for failing, rehearsals in ((False, False), (True, False), (False, True)):
        folder = tmp_path_factory.mktemp("runs")
        for name, content in TESTS.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            outcome = f"test_one() -> None: assert {not failing}"
            (folder / name).write_text(content.replace("test_one() -> None: ...", outcome))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest"]
        which = ["slow or not slow", "tests/rollout"] if rehearsals else ["not slow", "tests"]
        options = ["--rootdir=.", "--junitxml=results.xml", "-o", f"junit_suite_name={SUITE}", "-m", *which]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        run = subprocess.run(
            [*command, *options], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert run.returncode == failing, run.stdout
        found[failing, rehearsals] = (folder / "results.xml").read_text()
    return found


@pytest.fixture
def results(runs: dict[tuple[bool, bool], str], tmp_path: Path) -> Results:
    def write(commit: str, *, failing: bool = False, rehearsals: bool = False) -> Path:
        file = tmp_path / ("rehearsal-results.xml" if rehearsals else "test-results.xml")
        file.write_text(runs[failing, rehearsals].replace(SUITE, f"{SUITE} {commit}"))
        return file

    return write
