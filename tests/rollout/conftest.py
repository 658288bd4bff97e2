"""A controller in a process of its own, over a stage with users."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from app.embedded.redis import EmbeddedRedis, start_redis
from app.rollout.folder import SUMMARY_FILE
from app.rollout.plan import read_plan
from tests.integration.test_cli import Finished, clean_environment
from tests.rollout.stage import CANARY_RELEASE, ROOT, Stage, stage
from tests.rollout.users import Users, users_of

PLAN: Final = Path(__file__).with_name("plan.toml")
END_S: Final = 150.0
_POLL_S: Final = 0.1
_STEPS: Final = [step.name for step in read_plan(PLAN).steps]


@dataclass(slots=True)
class Rehearsal:
    """A stage, its users, and the commands of a rollout on it."""

    stage: Stage
    users: Users
    folder: Path
    controllers: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def command(self, *arguments: str) -> Finished:
        """`instrument-registry rollout ARGUMENTS`, to its end."""
        process = await self._start(*arguments, "--folder", str(self.folder))
        output, messages = await asyncio.wait_for(process.communicate(), END_S)
        assert process.returncode is not None
        return Finished(process.returncode, output.decode(), messages.decode())

    async def start(self, *options: str) -> asyncio.subprocess.Process:
        """A controller of a new rollout, with evidence of a load test unless `options` ask for one."""
        stage = self.stage
        evidence = self.folder.with_name("load.json")
        evidence.write_text(json.dumps(load_evidence(stage.canary_url)))
        if "--load-test" not in options:
            options = (*options, "--load-evidence", str(evidence))
        process = await self._start(
            *("start", "--folder", str(self.folder), "--release", CANARY_RELEASE),
            *("--prometheus", stage.prometheus_url, "--haproxy", str(stage.socket)),
            *("--stable-url", stage.stable_url, "--canary-url", stage.canary_url),
            *("--plan", str(PLAN), "--probe", "15", "--unsigned", "a rehearsal"),
            *options,
        )
        self.controllers.append(process)
        return process

    async def run_again(self) -> asyncio.subprocess.Process:
        process = await self._start("run", "--folder", str(self.folder))
        self.controllers.append(process)
        return process

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli", "rollout", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.stage.folder,
            env=clean_environment() | {"PYTHONPATH": str(ROOT)},
        )

    def summary(self) -> dict[str, Any]:
        content = json.loads((self.folder / SUMMARY_FILE).read_bytes())
        assert isinstance(content, dict)
        return content

    def decisions(self) -> list[dict[str, Any]]:
        lines = (self.folder / "decisions.jsonl").read_bytes().splitlines()
        return [json.loads(line) for line in lines]

    async def until(self, is_reached: Callable[[dict[str, Any]], bool], timeout_s: float = END_S) -> None:
        """Until the summary is as wanted; fails where the controller ends before."""
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(FileNotFoundError):
                if is_reached(self.summary()):
                    return
            process = self.controllers[-1]
            if process.returncode is not None:
                _, messages = await process.communicate()
                pytest.fail(f"the controller has ended: {messages.decode()}")
            assert time.monotonic() < deadline, self.summary()
            await asyncio.sleep(_POLL_S)

    async def until_step(self, name: str) -> None:
        """Until it is in that step, or was."""
        reached = _STEPS[_STEPS.index(name) :]
        await self.until(lambda summary: summary["phase"] == "rolling out" and summary["step"] in reached)

    async def until_end(self) -> Finished:
        """How the last controller has ended."""
        process = self.controllers[-1]
        output, messages = await asyncio.wait_for(process.communicate(), END_S)
        assert process.returncode is not None
        return Finished(process.returncode, output.decode(), messages.decode())

    async def stop(self) -> None:
        for process in self.controllers:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.communicate()


def load_evidence(canary_url: str, release: str = CANARY_RELEASE) -> dict[str, Any]:
    """What `loadtest burst` leaves behind, as far as a rollout reads it."""
    return {
        "shape": "burst",
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": "passed",
        "thresholds": [{"name": "p95_ms", "limit": 145, "measured": 3.1, "verdict": "passed"}],
        "service": {"url": canary_url, "release": release},
        "commit": None,
    }


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """Other tests' versions are not in it."""
    server = start_redis(tmp_path, "rehearsal", persist=False)
    yield server
    server.child.stop()


@pytest.fixture
async def rehearsal(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, own_redis: EmbeddedRedis
) -> AsyncIterator[Rehearsal]:
    async with stage(tmp_path, database_url, own_redis.url()) as built, users_of(built.users_url) as users:
        rehearsal = Rehearsal(built, users, tmp_path / "rollout")
        try:
            yield rehearsal
        finally:
            await rehearsal.stop()
            keep_evidence(rehearsal, request.node.name.removeprefix("test_"))


def keep_evidence(rehearsal: Rehearsal, name: str) -> None:
    """Say what users met, and copy the rollout's files to the folder that REHEARSAL_OUTPUT names."""
    users, folder = rehearsal.users, rehearsal.folder
    facts = {
        "rehearsal": name,
        "requests": users.outcomes.total(),
        "failed": users.failed,
        "error_ratio": round(users.error_ratio, 6),
        "outcomes": dict(users.outcomes),
    }
    if (folder / SUMMARY_FILE).exists():
        summary = rehearsal.summary()
        facts |= {"phase": summary["phase"], "rollback": summary["rollback"] and summary["rollback"]["cause"]}
    print(json.dumps(facts))
    if (output := os.environ.get("REHEARSAL_OUTPUT")) and folder.exists():
        kept = Path(output) / name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept)
        (kept / "users.json").write_text(json.dumps(facts, indent=2) + "\n")
