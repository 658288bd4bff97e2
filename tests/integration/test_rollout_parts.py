"""The parts of a rollout, each against the real thing: HAProxy, Prometheus, files, locks, commands."""

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from app.cli import cli
from app.domain.errors import RegistryError
from app.embedded.children import free_port, start_child
from app.monitoring.prometheus import Prometheus, PrometheusUnavailable
from app.release.evidence import Inputs, gather
from app.release.signoffs import ROLES, missing_signoffs, sign
from app.release.source import Source
from app.rollout.balancer import Balancer, BalancerUnavailable
from app.rollout.checks import CheckFailed, read_load_evidence, what_is_wrong
from app.rollout.folder import Controlled, Folder, FolderError, control
from app.rollout.machine import Order, OrderKind, Pause, Phase, State, Weights
from app.rollout.measured import Baseline
from app.rollout.plan import PLAN_FILE, read_plan
from app.rollout.record import Record, Rollback, Target, record_of
from tests.packages import needed
from tests.release.conftest import source, template
from tests.rollout.conftest import load_evidence
from tests.rollout.stage import ROOT, start_haproxy, start_prometheus

__all__ = ["source", "template"]  # fixtures

CANARY: Final = "http://127.0.0.1:1"
TARGET: Final = Target("2.0.0", CANARY, "/nowhere/admin.sock", "registry", "users", CANARY, CANARY, 0, 1)


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """With both versions away: HAProxy answers every request itself."""
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    socket = tmp_path / "admin.sock"

    def answers(_: int) -> bool:
        return socket.exists()

    child, port = start_haproxy(needed("haproxy"), tmp_path, socket, urls, answers)
    yield port, socket
    child.stop()


async def test_a_share_is_set_and_seen(haproxy: tuple[int, Path]) -> None:
    balancer = Balancer(str(haproxy[1]), "registry", "users")
    first = await balancer.read()
    assert first.share == 0 and first.has_share(0), "a configuration that was loaded gives the canary nothing"
    for share in (5, 25, 50, 100, 0, 100, 50):
        balance = await balancer.set_share(share)
        assert balance.has_share(share)
        assert not balance.has_share(share + 2) and not balance.has_share(share - 2)


async def test_what_users_were_answered_is_counted(haproxy: tuple[int, Path]) -> None:
    """By HAProxy too, where no version answers."""
    port, socket = haproxy
    balancer = Balancer(str(socket), "registry", "users")
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(f"http://127.0.0.1:{port}/v1/instruments/search") as response:
                assert response.status == 503
    balance = await balancer.read()
    assert (balance.users_requests, balance.users_errors) == (3, 3)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/nowhere/admin.sock", "HAProxy at /nowhere/admin.sock cannot be asked: No such file"),
        ("127.0.0.1:1", "HAProxy at 127.0.0.1:1 cannot be asked: "),
        ("nonsense", "--haproxy: 'nonsense' is no address"),
        ("host:99999", "--haproxy: 'host:99999' is no address"),
    ],
)
async def test_a_socket_that_refuses_is_named(address: str, words: str) -> None:
    with pytest.raises(BalancerUnavailable) as refused:
        await Balancer(address, "registry", "users").set_share(5)
    assert words in str(refused.value)


async def test_servers_that_are_not_there_are_named(haproxy: tuple[int, Path]) -> None:
    socket = str(haproxy[1])
    for balancer, words in (
        (Balancer(socket, "other", "users"), "no server in the backend other whose name begins with stable"),
        (Balancer(socket, "registry", "other"), "knows no frontend other"),
    ):
        with pytest.raises(BalancerUnavailable, match=words):
            await balancer.read()


async def test_a_socket_without_the_right_to_set_weights_says_so(tmp_path: Path) -> None:
    text = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(text.replace("level admin expose-fd listeners", "level operator"))
    socket = tmp_path / "operator.sock"
    environment = {
        **os.environ,
        "REGISTRY_BALANCER_BIND": f"127.0.0.1:{free_port()}",
        "REGISTRY_BALANCER_SOCKET": str(socket),
        "REGISTRY_STABLE_ADDRESS": "127.0.0.1:1",
        "REGISTRY_CANARY_ADDRESS": "127.0.0.1:2",
    }
    command = [needed("haproxy"), "-db", "-f", str(configuration)]
    child = start_child("HAProxy", command, tmp_path / "haproxy.log", environment=environment)
    try:
        child.wait_until(socket.exists, 20)
        balancer = Balancer(str(socket), "registry", "users")
        assert (await balancer.read()).share == 0
        with pytest.raises(BalancerUnavailable, match="refuses to set weights: Permission denied"):
            await balancer.set_share(5)
    finally:
        child.stop()


async def test_a_frozen_balancer_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.rollout.balancer.TIMEOUT_S", 0.2)
    socket, ended = tmp_path / "silent.sock", asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_unix_server(say_nothing, socket):
        with pytest.raises(BalancerUnavailable, match="does not answer within"):
            await Balancer(str(socket), "registry", "users").read()
        await ended.wait()


async def test_prometheus_answers_or_is_named(tmp_path: Path) -> None:
    child, port = start_prometheus(needed("prometheus"), tmp_path, [CANARY, CANARY])
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            prometheus = Prometheus(session, url + "/")
            (sample,) = await prometheus.query("vector(7)")
            assert (sample.labels, sample.value) == ({}, 7.0)
            (series,) = await prometheus.query_range("vector(7)", 1000, 1060, 30)
            assert series.points == [(1000, 7), (1030, 7), (1060, 7)]
            assert await prometheus.query("nothing_of_this_name") == []
            with pytest.raises(PrometheusUnavailable, match="refuses a query with 400: invalid parameter"):
                await prometheus.query("sum(")
            with pytest.raises(PrometheusUnavailable, match="check the address"):
                await prometheus.query("scalar(vector(7))")
            child.stop()
            with pytest.raises(PrometheusUnavailable, match=f"{url} does not answer"):
                await prometheus.query("vector(7)")
    finally:
        child.stop()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"status":"success"}',
        b'{"status":"success","data":{"resultType":"vector"}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}',
    ],
)
async def test_who_does_not_answer_as_prometheus_does_is_not_believed(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        with pytest.raises(PrometheusUnavailable):
            await Prometheus(session, str(server.make_url(""))).query("up")


async def test_health_is_what_the_version_says_of_itself() -> None:
    answers: dict[str, Any] = {}

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(answers[request.path])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        answers["/health/ready"], answers["/health/live"] = {"status": "ready"}, {"release": "2.0.0"}
        assert await what_is_wrong(session, url, "2.0.0") is None
        assert "runs the release 2.0.0, not 3.0.0" in (await what_is_wrong(session, url, "3.0.0") or "")
        answers["/health/ready"] = {"status": "degraded", "postgres": "down"}
        assert "degraded, not ready (postgres down)" in (await what_is_wrong(session, url, None) or "")
        answers["/health/ready"] = []
        assert "not of this service" in (await what_is_wrong(session, url, None) or "")
    async with aiohttp.ClientSession() as session:
        assert "does not answer" in (await what_is_wrong(session, url, None) or "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "missed"}, "missed a threshold"),
        ({"shape": "sustained"}, "of the shape sustained"),
        ({"service": {"url": "http://other:80", "release": "2.0.0"}}, "not of the canary"),
        ({"service": {"url": CANARY, "release": "1.9.0"}}, "of the release 1.9.0, not of 2.0.0"),
        ({"service": {"url": CANARY, "release": None}}, "of the release None, not of 2.0.0"),
        ({"service": {"url": CANARY}}, "no evidence of a load test"),
        ({"started_at": (datetime.now(UTC) - timedelta(days=2)).isoformat()}, "too long ago"),
        ({"started_at": "yesterday"}, "no evidence of a load test"),
        ({"service": None}, "no evidence of a load test"),
    ],
)
def test_evidence_of_a_load_test_must_be_of_this_canary(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    file = tmp_path / "load.json"
    file.write_text(json.dumps(load_evidence(CANARY)))
    assert read_load_evidence(file, CANARY + "/", "2.0.0", 86_400)["verdict"] == "passed"
    file.write_text(json.dumps(load_evidence(CANARY) | change))
    with pytest.raises(CheckFailed, match=words) as refused:
        read_load_evidence(file, CANARY, "2.0.0", 86_400)
    assert "loadtest burst --url " + CANARY in str(refused.value)
    file.write_text("{")
    with pytest.raises(CheckFailed, match="no evidence"):
        read_load_evidence(file, CANARY, "2.0.0", 86_400)
    with pytest.raises(CheckFailed, match="cannot read"):
        read_load_evidence(tmp_path / "none.json", CANARY, "2.0.0", 86_400)


def record() -> Record:
    return Record.begin(TARGET, read_plan(PLAN_FILE), "a test", ["security"], {"verdict": "passed"})


def test_a_record_is_read_as_it_was_written() -> None:
    full = record()
    full.state = State(
        Phase.ROLLING_OUT,
        2,
        7.5,
        True,
        9.0,
        {"errors": 3.0},
        1.0,
        Pause("x", "y", Weights.SAFE),
        looked_at=5.0,
    )
    full.baseline = Baseline("2026-01-01T00:00:00Z", 60, 100, 0.004, 0.0)
    full.count_users(10, 1)
    full.count_users(25, 3)
    full.count_users(4, 1)  # the balancer was started anew
    full.rollback = Rollback("errors", "many", "2026-01-01T00:00:00Z", before={"a": 1})
    assert record_of(json.loads(json.dumps(full.as_json())), "x") == full
    assert (full.users_in_all().requests, full.users_in_all().errors) == (19, 3)
    changes: list[dict[str, Any]] = [{"format": 2}, {"state": {"phase": "dancing"}}, {"plan": {}}]
    for change in changes:
        with pytest.raises(RegistryError, match=r"^here"):
            record_of(full.as_json() | change, "here")


def test_decisions_are_only_added_to_and_survive_half_a_line(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "rollout")
    folder.make()
    folder.add_decision({"event": "one"})
    with (folder.path / "decisions.jsonl").open("ab") as file:
        file.write(b'{"event": "killed in the mid')
    folder.add_decision({"event": "two"})
    assert [decision["event"] for decision in folder.read_decisions()] == ["one", "two"]


def test_a_state_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.read_state() is None
    for content in ("", "{", "[]"):
        (tmp_path / "state.json").write_text(content)
        with pytest.raises(FolderError, match=r"state\.json"):
            folder.read_state()


def test_orders_are_taken_in_their_order(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.make()
    orders = [Order(kind, "operator", f"because {kind}") for kind in OrderKind]
    for one in orders:
        folder.put_order(one)
    assert [one for _, one in folder.orders()] == orders and folder.has_orders()
    (tmp_path / "orders" / "0.json").write_text("{}")
    assert [one for _, one in folder.orders()] == [None, *orders]


def test_the_second_controller_is_told_of_the_first(tmp_path: Path) -> None:
    first, second = Folder(tmp_path / "first"), Folder(tmp_path / "second")
    for folder in (first, second):
        folder.make()
    assert first.holder() is None
    socket = str(tmp_path / "admin.sock")
    with control(first, socket, "registry"):
        holder = first.holder()
        assert holder is not None and holder.pid == os.getpid()
        # By the folder, and by the balancer that both would set.
        for folder in (first, second):
            with (
                pytest.raises(Controlled, match=f"process {os.getpid()} on .* with the folder .*first"),
                control(folder, socket, "registry"),
            ):
                pass
        with control(second, socket, "another"):
            pass
    with control(second, socket, "registry"):
        assert second.holder() is not None
    assert second.holder() is None


def test_the_lock_of_a_balancer_is_one_for_all_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever TMPDIR they have, and where another user has made the file before."""
    first, second = Folder(tmp_path / "first"), Folder(tmp_path / "second")
    for folder in (first, second):
        folder.make()
    socket = str(tmp_path / "admin.sock")
    with control(first, socket, "registry"):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        with pytest.raises(Controlled), control(second, socket, "registry"):
            pass
    (lock,) = (
        file for file in Path("/run/lock").glob("registry-rollout-*") if str(tmp_path) in file.read_text()
    )
    assert lock.stat().st_mode & 0o777 == 0o666
    if os.geteuid() == 0:
        os.chown(lock, 12345, 12345)
        with control(second, socket, "registry"):
            pass
    lock.unlink()


def test_a_holder_that_cannot_be_told_is_not_nobody(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "controller.lock").mkdir()
    with pytest.raises(FolderError, match=r"cannot be told: .*controller\.lock cannot be opened \(Is a dir"):
        folder.holder()


def invoke(*arguments: str) -> tuple[int, str]:
    """Exit status and what was said."""
    result = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "500"}).invoke(cli, ["rollout", *arguments])
    words = result.stderr + result.stdout
    if isinstance(result.exception, RegistryError):  # `main` says it in one line
        words += str(result.exception)
    return result.exit_code, " ".join(words.split())


def starting(base: Path, **options: str | None) -> list[str]:
    given: dict[str, str | None] = {
        "release": "2.0.0",
        "prometheus": "http://127.0.0.1:1",
        "haproxy": "/nowhere/admin.sock",
        "stable-url": "http://127.0.0.1:2",
        "canary-url": CANARY,
        "folder": str(base / "rollout"),
        "signoffs": str(base),
        "unsigned": "a test",
        **{name.replace("_", "-"): value for name, value in options.items()},
    }
    return ["start", *(part for name, value in given.items() if value for part in (f"--{name}", value))]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unsigned": None}, "2.0.0 lacks the sign-offs of performance, security, "),
        ({"unsigned": " "}, "2.0.0 lacks the sign-offs of"),
        ({}, "no load test of the canary: name its evidence with --load-evidence"),
        ({"load_evidence": "/nowhere.json"}, "--load-evidence: cannot read /nowhere.json"),
        ({"prometheus": "localhost:9090"}, "--prometheus: is no URL of a server"),
        ({"prometheus": "http://ada:secret@h:0"}, "--prometheus: is no URL of a server"),
        ({"stable_url": "http://ada:secret@h"}, "--stable-url: must have no user and password"),
        ({"stable_url": CANARY}, "--canary-url: is that of the stable version"),
        ({"plan": "/nowhere.toml"}, "--plan: cannot read /nowhere.toml"),
        ({"release": " "}, "--release: must have 1 to 500 characters"),
        ({"haproxy": "nonsense", "load_evidence": "EVIDENCE"}, "--haproxy: 'nonsense' is no address"),
        ({"load_evidence": "EVIDENCE", "folder": "/proc/rollout"}, "--folder: /proc/rollout cannot be made"),
    ],
)
def test_a_start_that_cannot_be_is_refused(
    options: dict[str, str | None], words: str, tmp_path: Path
) -> None:
    evidence = tmp_path / "load.json"
    evidence.write_text(json.dumps(load_evidence(CANARY)))
    if options.get("load_evidence") == "EVIDENCE":
        options = options | {"load_evidence": str(evidence)}
    status, said = invoke(*starting(tmp_path, **options))
    assert (status, words in said) == (1, True), said
    assert "secret" not in said
    assert not (tmp_path / "rollout" / "state.json").exists()


def test_a_signed_release_needs_no_reason(tmp_path: Path, source: Path) -> None:
    gather("2.0.0", Source.read(source), Inputs(is_before_rollout=True), tmp_path)
    for role in ROLES:
        sign(tmp_path, role, "Ada Lovelace", "2.0.0", "the evidence of a test lacks most")
    assert missing_signoffs(tmp_path, "2.0.0") == []
    assert missing_signoffs(tmp_path, "2.0.1") == list(ROLES)
    status, said = invoke(*starting(tmp_path, unsigned=None))
    assert status == 1 and "no load test of the canary" in said


def test_commands_without_a_rollout_say_so(tmp_path: Path) -> None:
    folder = ("--folder", str(tmp_path / "none"))
    for command in (["status"], ["run"], *(([kind, "--reason", "x"]) for kind in OrderKind)):
        status, said = invoke(*command, *folder)
        assert (status, "no rollout was started in" in said) == (1, True), said


def test_commands_say_what_a_rollout_does_not_allow(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "rollout")
    folder.make()
    where = ("--folder", str(folder.path))
    under_way, ended = record(), record()
    under_way.state = replace(under_way.state, phase=Phase.ROLLING_OUT)
    ended.state = replace(ended.state, phase=Phase.PROMOTED)

    folder.write_state(under_way.as_json())
    status, said = invoke("resume", "--reason", "x", *where)
    assert (status, "it is not paused" in said) == (1, True), said
    status, said = invoke("pause", "--reason", "x", *where)
    assert (status, "no controller runs; the order is kept" in said) == (1, True), said
    assert folder.has_orders()
    evidence = tmp_path / "load.json"
    evidence.write_text(json.dumps(load_evidence(CANARY)))
    status, said = invoke(*starting(tmp_path, load_evidence=str(evidence)))
    assert (status, "has not ended (baseline); go on with rollout run" in said) == (1, True), said
    status, said = invoke("status", *where)
    assert (status, "nobody watches" in said) == (0, True), said

    folder.write_state(ended.as_json())
    for command in ("run", "abort"):
        status, said = invoke(command, *(() if command == "run" else ("--reason", "x")), *where)
        assert (status, "has ended (promoted)" in said) == (1, True), said
    status, said = invoke(*starting(tmp_path, load_evidence=str(evidence)))
    assert (status, "its evidence is kept: name another --folder" in said) == (1, True), said
    status, said = invoke("status", "--json", *where)
    assert status == 0 and json.loads(said)["phase"] == "promoted"
