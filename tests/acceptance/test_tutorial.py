"""The tutorial's commands, run in their order against the demo, answer as the tutorial shows."""

import re
import subprocess
from pathlib import Path
from typing import Final

from tests.acceptance.test_demo import environment, running_demo

TUTORIAL: Final = Path(__file__).parents[2] / "docs/tutorial.md"
BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END: Final = "\0"
TIMEOUT_S: Final = 120
ADDRESS: Final = "127.0.0.1:8080"


def commands() -> list[tuple[str, str]]:
    """Each command with what is shown as its answer, perhaps nothing."""
    found: list[tuple[str, str]] = []
    for block in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            found.append((command, answer.strip()))
    return found


def fits(shown: str, answer: str) -> bool:
    """Whether the answer is what is shown; `…` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), answer.strip(), re.DOTALL) is not None


def test_the_tutorial_works_as_shown(tmp_path: Path) -> None:
    (first, _), *others = commands()
    assert first == "make demo"
    assert len(others) > 10
    with running_demo(tmp_path / ".data") as demo:
        script = "\n".join(["set -e", *_with_ends(others, demo.port)])
        ran = subprocess.run(
            ["bash", "-c", script],
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=tmp_path,
            env=environment(),
        )
    answers = ran.stdout.replace("\r", "").split(END)
    assert ran.returncode == 0, (others[len(answers) - 1], ran.stderr)
    for (command, shown), answer in zip(others, answers, strict=False):
        assert fits(shown, answer), (command, answer)


def _with_ends(asked: list[tuple[str, str]], port: int) -> list[str]:
    """The commands for a demo at `port`, each with a mark after its answer."""
    return [f"{command.replace(ADDRESS, f'127.0.0.1:{port}')}\nprintf '\\0'" for command, _ in asked]
