"""A controller at HAProxy: its folder cannot be written, its probes are refused, it is given orders."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from app.embedded.children import free_port
from app.monitoring.prometheus import Prometheus
from app.rollout.balancer import Balancer
from app.rollout.controller import Controller
from app.rollout.folder import Folder, FolderError
from app.rollout.folder import control as control_of
from app.rollout.machine import Order, OrderKind, Pause, Phase, State
from app.rollout.plan import PLAN_FILE, read_plan
from app.rollout.record import Record, Target
from tests.integration.conftest import eventually
from tests.integration.test_cli import clean_environment
from tests.integration.test_rollout_parts import invoke
from tests.packages import needed
from tests.rollout.stage import ROOT, start_haproxy

NOBODY = "http://127.0.0.1:1"
NOW = 1000.0
PROBE_TROUBLE = "the probe was refused"


@pytest.fixture
async def balancer(tmp_path: Path) -> AsyncIterator[Balancer]:
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    socket = tmp_path / "admin.sock"
    child, _ = await asyncio.to_thread(
        start_haproxy, needed("haproxy"), tmp_path, socket, urls, lambda _: socket.exists()
    )
    yield Balancer(str(socket), "registry", "users")
    child.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "rollout")
    folder.make()
    return folder


def half_way(balancer: Balancer) -> Record:
    """A rollout with half of the users at a canary that HAProxy's checks have not found for long enough."""
    target = Target("2.0.0", NOBODY, balancer.address, "registry", "users", NOBODY, NOBODY, 0, 1)
    record = Record.begin(target, read_plan(PLAN_FILE), "a test", [], {"verdict": "passed"})
    record.state = State(Phase.ROLLING_OUT, step=3, alarms_s={"down": 120}, looked_at=NOW)
    record.confirmed_share = 50
    return record


async def look_once(
    record: Record, folder: Folder, balancer: Balancer, tell: Callable[[str], None] = lambda _: None
) -> None:
    """A controller that is told to end at once: after its first look."""

    async def health() -> dict[str, str | None]:
        return {}

    stop = asyncio.Event()
    stop.set()
    async with aiohttp.ClientSession() as session:
        prometheus = Prometheus(session, NOBODY)
        controller = Controller(
            record, folder, balancer, prometheus, health, lambda: [PROBE_TROUBLE], tell, lambda: NOW
        )
        await controller.run(stop)


async def until_the_canary_is_down(balancer: Balancer) -> None:
    async def is_down() -> bool:
        return (await balancer.read()).canary_is_down

    await eventually(is_down)


@pytest.mark.parametrize("by_order", [False, True])
async def test_a_full_disk_stops_no_rollback(balancer: Balancer, folder: Folder, *, by_order: bool) -> None:
    await balancer.set_share(50)
    await until_the_canary_is_down(balancer)
    record = half_way(balancer)
    if by_order:
        folder.put_order(Order(OrderKind.ABORT, "operator", "enough"))
    decisions = folder.path / "decisions.jsonl"

    def fill_the_disk(_: str) -> None:
        """When the first line is written."""
        if decisions.is_file():
            decisions.unlink()
            decisions.mkdir()

    with pytest.raises(FolderError, match=r"decisions.jsonl cannot be written .*; the canary was set to 0 %"):
        await look_once(record, folder, balancer, fill_the_disk)
    assert (await balancer.read()).has_share(0)
    assert record.confirmed_share == 0
    assert folder.has_orders() is by_order, "what could not be written down is taken once more"


async def test_a_full_disk_and_no_balancer_are_both_told(balancer: Balancer, folder: Folder) -> None:
    await balancer.set_share(50)
    record = half_way(balancer)
    folder.put_order(Order(OrderKind.ABORT, "operator", "enough"))

    def take_all_away(_: str) -> None:
        (folder.path / "decisions.jsonl").unlink()
        (folder.path / "decisions.jsonl").mkdir()
        Path(balancer.address).unlink()

    with pytest.raises(FolderError, match=r"cannot be written .*; the canary was NOT set to 0 %: HAProxy at"):
        await look_once(record, folder, balancer, take_all_away)


async def test_a_version_that_is_not_probed_holds_and_is_told(balancer: Balancer, folder: Folder) -> None:
    await balancer.set_share(50)
    record = half_way(balancer)
    record.state = replace(record.state, alarms_s={})
    told: list[str] = []
    await look_once(record, folder, balancer, told.append)
    look = next(one for one in folder.read_decisions() if "findings" in one)
    assert ("probe", "hold", PROBE_TROUBLE) in [
        (f["name"], f["verdict"], f["text"]) for f in look["findings"]
    ]
    assert any(PROBE_TROUBLE in line for line in told)


async def test_an_order_that_the_controller_refuses_fails(balancer: Balancer, folder: Folder) -> None:
    """It was allowed by what the command could see, and no more when the controller took it."""
    await balancer.set_share(50)
    record = half_way(balancer)
    record.state = replace(record.state, alarms_s={})
    folder.write_state(record.as_json())
    record.state = replace(record.state, pause=Pause("another", "was quicker"))
    with control_of(folder, balancer.address, "registry"):
        for kind, expected, words in (
            ("pause", 1, "it is paused already, by another: was quicker"),
            ("resume", 0, "controller"),
        ):
            command = (kind, "--reason", "x", "--folder", str(folder.path))
            running = asyncio.create_task(asyncio.to_thread(invoke, *command))

            async def is_ordered() -> bool:
                return folder.has_orders()

            await eventually(is_ordered)
            await look_once(record, folder, balancer)
            status, said = await running
            assert (status, words in said) == (expected, True), said


async def test_what_a_controller_logs_is_text_on_standard_error(balancer: Balancer, folder: Folder) -> None:
    record = half_way(balancer)
    record.target = replace(record.target, probe_per_s=1)
    record.state = replace(record.state, alarms_s={})
    folder.write_state(record.as_json())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "rollout", "run", "--folder", str(folder.path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=clean_environment(),
    )
    assert process.stderr is not None
    lines: list[bytes] = []
    async with asyncio.timeout(60):
        while b"nothing to probe with" not in (lines or [b""])[-1]:
            lines.append(await process.stderr.readline())
            assert lines[-1], b"".join(lines)
    process.terminate()
    output, _ = await process.communicate()
    assert output == b""
    assert process.returncode == 1
