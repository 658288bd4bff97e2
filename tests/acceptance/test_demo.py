"""The demo as its user meets it: a real process tree, its output, its API, and its end however it comes.

Processes are found by walking /proc: descendants of the demo, and whatever works in its data folder.
"""

import contextlib
import http.client
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from app.parameters.definitions import Parameters

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")

START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 40.0
COMMAND_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.02
LAST_LINE: Final = "Ctrl-C stops everything and keeps the data."
CSV: Final = "symbol,asset_class,name,mic\nDEMOQ,equity,Quagga Breeding Stations,XNAS\n"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that runs; `started` tells it from a later one with the same number."""

    pid: int
    parent: int
    started: int
    command: str
    folder: str


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that was started, its output in files."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int
    output_file: Path
    messages_file: Path

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    @property
    def messages(self) -> str:
        return self.messages_file.read_text()

    @property
    def connection_file(self) -> Path:
        return self.folder / "connection.json"

    def connection(self) -> dict[str, str]:
        content: dict[str, str] = json.loads(self.connection_file.read_text())
        return content

    def family(self) -> set[Process]:
        """The demo, its descendants, and every process in its data folder or with it in its command."""
        running = running_processes()
        found = {
            process
            for process in running
            if process.pid == self.process.pid or str(self.folder) in process.command + process.folder
        }
        while added := {p for p in running if p.parent in {f.pid for f in found}} - found:
            found |= added
        return found

    def child(self, part_of_command: str) -> Process:
        (child,) = [
            process
            for process in running_processes()
            if process.parent == self.process.pid and part_of_command in process.command
        ]
        return child

    def survivors(self, known: set[Process]) -> set[str]:
        """Commands of what still runs, of `known` or found now."""
        identities = {(process.pid, process.started) for process in known | self.family()}
        return {p.command for p in running_processes() if (p.pid, p.started) in identities}


def running_processes() -> list[Process]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, parent, *rest = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = ""
            with contextlib.suppress(OSError):
                folder = str((entry / "cwd").readlink())
            if state != "Z":
                found.append(Process(int(entry.name), int(parent), int(rest[17]), command, folder))
    return found


def eventually(check: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, f"not after {timeout_s:.0f} s: {what}"
        time.sleep(POLL_S)


def environment(**variables: str) -> dict[str, str]:
    """The inherited environment without any setting of ours, and `variables`."""
    parameters = {name.upper() for name in Parameters.model_fields}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REGISTRY_", "TESTS_")) and name not in parameters
    }
    return {**inherited, **variables}


def unused_port() -> int:
    """A free port below those that the system hands out by itself, where nobody gets it by chance."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def started_demo(folder: Path, *arguments: str, port: int | None = None, **variables: str) -> Iterator[Demo]:
    """A demo on `folder` that was started just now; afterwards nothing of it runs any more."""
    folder.parent.mkdir(exist_ok=True)
    port = port or unused_port()
    output_file, messages_file = (folder.parent / f"{secrets.token_hex(4)}.{end}" for end in ("out", "err"))
    options = ["--port", str(port), "--data-dir", str(folder)]
    with output_file.open("wb") as output, messages_file.open("wb") as messages:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "demo", *options, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=messages,
            cwd=folder.parent,
            env=environment(**variables),
            start_new_session=True,
        )
    demo = Demo(process, folder, port, output_file, messages_file)
    try:
        yield demo
    finally:
        known = demo.family()
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
        identities = {(member.pid, member.started) for member in known | demo.family()}
        for member in running_processes():
            if (member.pid, member.started) in identities:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGKILL)
        process.wait(END_TIMEOUT_S)


@contextlib.contextmanager
def running_demo(folder: Path, *arguments: str, **variables: str) -> Iterator[Demo]:
    """A demo that has said that it is ready."""
    with started_demo(folder, *arguments, port=None, **variables) as demo:
        wait_ready(demo)
        yield demo


def wait_ready(demo: Demo) -> None:
    def ready() -> bool:
        assert demo.process.poll() is None, demo.messages
        return LAST_LINE in demo.output

    eventually(ready, START_TIMEOUT_S, "the demo is ready")


def stop(demo: Demo, how: signal.Signals) -> None:
    """Stop a ready demo in good order; everything of it must have ended by the time it has."""
    known = demo.family()
    assert len(known) > 5, "the demo, its four children, and Postgres's own"
    demo.process.send_signal(how)
    assert demo.process.wait(STOP_TIMEOUT_S) == 0
    assert demo.survivors(known) == set()
    assert demo.messages.endswith("Stopped; the data is kept.\n")
    assert not demo.connection_file.exists()


def get(demo: Demo, path: str, **headers: str) -> tuple[int, bytes]:
    """Status and body of an answer; `_` in a header's name stands for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=10)
    try:
        connection.request("GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def get_json(demo: Demo, path: str, **headers: str) -> Any:
    status, body = get(demo, path, **headers)
    assert status == 200, body
    return json.loads(body)


def refused_line(demo: Demo) -> str:
    """The one line that a demo which could not start left."""
    assert demo.process.wait(START_TIMEOUT_S) == 1
    assert demo.output == ""
    (line,) = demo.messages.splitlines()
    assert line.startswith("error: ")
    return line


def indexer_command(demo: Demo, *arguments: str) -> "subprocess.CompletedProcess[str]":
    connection = demo.connection()
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "indexer", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        cwd=demo.folder.parent,
        env=environment(
            REGISTRY_DATABASE_URL=connection["database_url"], REGISTRY_REDIS_URL=connection["redis_url"]
        ),
    )


def it_prints_where_it_is_and_commands_that_work(demo: Demo) -> None:
    connection = demo.connection()
    assert connection["api_url"] == f"http://127.0.0.1:{demo.port}"
    assert f"The API answers at {connection['api_url']}\n" in demo.output
    assert connection["api_key"] in demo.output
    commands = [shlex.split(line) for line in demo.output.splitlines() if line.startswith("  curl ")]
    assert len(commands) == 3
    for _, *options, url in commands:
        parts = urlsplit(url)
        assert parts.netloc == f"127.0.0.1:{demo.port}"
        headers = dict(text.split(": ", 1) for text in options if text != "-H")
        answer = get_json(demo, f"{parts.path}?{parts.query}", **headers)
        assert answer.get("hits") or answer.get("suggestions"), url


def connection_json_is_complete_and_private(demo: Demo) -> None:
    assert set(demo.connection()) == {"api_url", "api_key", "database_url", "redis_url"}
    assert demo.connection()["database_url"].startswith("postgresql://")
    assert demo.connection()["redis_url"].startswith("redis://")
    assert demo.connection_file.stat().st_mode & 0o777 == 0o600
    readable = [p.name for p in demo.folder.iterdir() if p.is_file() and p.stat().st_mode & 0o077]
    for name in readable:
        text = (demo.folder / name).read_text(errors="replace")
        for secret in ("api_key", "database_url", "redis_url"):
            password = urlsplit(demo.connection()[secret]).password or demo.connection()[secret]
            assert password not in text, f"{name} holds a secret that others may read"


def anybody_may_search_the_sample(demo: Demo) -> None:
    hits = get_json(demo, "/v1/instruments/search?q=apple")["hits"]
    assert hits[0]["symbol"] == "AAPL"
    (former,) = get_json(demo, "/v1/instruments/search?q=FB&mic=XNAS&limit=1")["hits"]
    assert former["symbol"] == "META", "the aliases that come with the project are loaded, too"


def the_key_works_in_both_headers_and_another_does_not(demo: Demo) -> None:
    key = demo.connection()["api_key"]
    path = "/v1/instruments/search?q=apple&limit=1"
    assert get_json(demo, path, Authorization=f"Bearer {key}")["hits"]
    assert get_json(demo, path, X_API_Key=key)["hits"]
    for wrong in (key[:-1], key.upper(), "ir_" + "A" * 43):
        assert get(demo, path, Authorization=f"Bearer {wrong}")[0] == 401
        assert get(demo, path, X_API_Key=wrong)[0] == 401


def metrics_are_open(demo: Demo) -> None:
    status, body = get(demo, "/metrics")
    assert status == 200
    assert b"# HELP " in body


def everything_listens_on_the_loopback_address_alone(demo: Demo) -> None:
    connection = demo.connection()
    ports = [urlsplit(connection[name]).port for name in ("api_url", "database_url", "redis_url")]
    for port in ports:
        assert port is not None
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        # What listens on every address answers on these two as well.
        for address in ("127.0.0.2", "::1"):
            with pytest.raises(OSError), socket.create_connection((address, port), timeout=5):
                pass


def a_second_demo_on_the_same_folder_is_refused(demo: Demo) -> None:
    with started_demo_beside(demo) as second:
        line = refused_line(second)
    assert str(demo.folder) in line and "--data-dir" in line
    assert demo.process.poll() is None
    assert demo.connection_file.exists(), "the first one's file is not the second one's to remove"


@contextlib.contextmanager
def started_demo_beside(demo: Demo) -> Iterator[Demo]:
    """Another demo on the same folder, without the clean-up that would end the first one too."""
    messages = demo.folder.parent / "second.err"
    output = demo.folder.parent / "second.out"
    with output.open("wb") as to_output, messages.open("wb") as to_messages:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "demo", "--data-dir", str(demo.folder)],
            stdin=subprocess.DEVNULL,
            stdout=to_output,
            stderr=to_messages,
            env=environment(REGISTRY_PORT=str(unused_port())),
            start_new_session=True,
        )
    try:
        yield Demo(process, demo.folder, 0, output, messages)
    finally:
        process.kill()
        process.wait(END_TIMEOUT_S)


def a_second_demo_on_the_same_port_is_refused(demo: Demo) -> None:
    other = demo.folder.parent / "other" / "data"
    with started_demo(other, port=demo.port) as second:
        line = refused_line(second)
    assert str(demo.port) in line and "--port" in line
    assert get(demo, "/health/live")[0] == 200


def the_indexers_commands_work_with_its_urls(demo: Demo) -> None:
    before = get_json(demo, "/health/ready")["index_generation"]
    for command, said in (
        ("verify", "No drift."),
        ("refresh", "The index is level with Postgres."),
        ("rebuild", "The new generation is live."),
        ("status", "Live generation "),
    ):
        finished = indexer_command(demo, command)
        assert finished.returncode == 0, finished
        assert said in finished.stdout
    assert f"Live generation {before + 1}: " in finished.stdout
    assert "Leader: none" not in finished.stdout
    assert get_json(demo, "/v1/instruments/search?q=apple")["hits"][0]["symbol"] == "AAPL"


CHECKS: Final[tuple[Callable[[Demo], None], ...]] = (
    it_prints_where_it_is_and_commands_that_work,
    connection_json_is_complete_and_private,
    anybody_may_search_the_sample,
    the_key_works_in_both_headers_and_another_does_not,
    metrics_are_open,
    everything_listens_on_the_loopback_address_alone,
    a_second_demo_on_the_same_folder_is_refused,
    a_second_demo_on_the_same_port_is_refused,
    the_indexers_commands_work_with_its_urls,
)


def test_a_running_demo(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """Everything that only looks at a demo looks at this one: each start costs seconds."""
    with running_demo(tmp_path / "demo" / "data") as demo:
        for check in CHECKS:
            with subtests.test(check.__name__):
                check(demo)


def test_a_restart_keeps_data_key_and_index(tmp_path: Path) -> None:
    folder = tmp_path / "demo" / "data"
    seen = []
    for _ in range(2):
        with running_demo(folder) as demo:
            apple = get_json(demo, "/v1/instruments/search?q=apple")["hits"][0]
            generation = get_json(demo, "/health/ready")["index_generation"]
            seen.append((apple["symbol"], apple["id"], demo.connection()["api_key"], generation))
            imported = "Loading the sample" in demo.messages
            stop(demo, signal.SIGTERM)
    assert seen[0] == seen[1]
    assert seen[0][0] == "AAPL"
    assert not imported, "the second start has nothing to load"


def test_a_file_is_imported_the_key_is_fixed_and_ctrl_c_ends_everything(tmp_path: Path) -> None:
    (tmp_path / "listings.csv").write_text(CSV)
    key = "a-key-of-my-own-choice-0123456789"
    arguments = ("--no-sample", "--import", str(tmp_path / "listings.csv"))
    with running_demo(tmp_path / "demo" / "data", *arguments, REGISTRY_DEMO_KEY=key) as demo:
        assert "1 rows read: 1 created" in demo.output
        assert demo.connection()["api_key"] == key
        answer = get_json(demo, "/v1/instruments/search?q=quagga", X_API_Key=key)
        assert [hit["symbol"] for hit in answer["hits"]] == ["DEMOQ"]
        assert get_json(demo, "/v1/instruments/search?q=apple")["hits"] == [], "no sample was wanted"
        stop(demo, signal.SIGINT)


@pytest.mark.parametrize(
    ("name", "part_of_command"),
    [
        ("Redis", "bin/redis-server"),
        ("Postgres", "bin/postgres"),
        ("indexer", "-m indexer"),
        ("api", "app.supervision"),
    ],
)
def test_a_part_that_dies_takes_everything_down_and_is_named(
    name: str, part_of_command: str, tmp_path: Path
) -> None:
    with running_demo(tmp_path / "demo" / "data", "--no-sample") as demo:
        known = demo.family()
        os.kill(demo.child(part_of_command).pid, signal.SIGKILL)
        assert demo.process.wait(STOP_TIMEOUT_S) == 1
        # A killed Postgres leaves processes that notice it by themselves.
        eventually(lambda: not demo.survivors(known), END_TIMEOUT_S, "everything has ended")
        errors = [line for line in demo.messages.splitlines() if "Starting" not in line]
        assert len(errors) == 1, demo.messages
        assert errors[0].startswith(f"error: {name} ended")
        assert not demo.connection_file.exists()


def test_killing_the_demo_leaves_no_orphan_and_a_usable_folder(tmp_path: Path) -> None:
    folder = tmp_path / "demo" / "data"
    with running_demo(folder, "--no-sample") as demo:
        known = demo.family()
        demo.process.kill()
        demo.process.wait(END_TIMEOUT_S)
        eventually(lambda: not demo.survivors(known), END_TIMEOUT_S, "everything has ended")
    with running_demo(folder, "--no-sample") as again:
        assert get_json(again, "/health/ready")["status"] == "ready"


@pytest.mark.parametrize("part_of_command", ["bin/initdb", "bin/postgres -D", "bin/redis-server"])
def test_ctrl_c_while_it_starts_ends_everything(part_of_command: str, tmp_path: Path) -> None:
    with started_demo(tmp_path / "demo" / "data", "--no-sample") as demo:

        def seen() -> bool:
            assert demo.process.poll() is None, demo.messages
            return any(part_of_command in member.command for member in demo.family())

        eventually(seen, START_TIMEOUT_S, f"{part_of_command} runs")
        known = demo.family()
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(STOP_TIMEOUT_S) == 0
        eventually(lambda: not demo.survivors(known), END_TIMEOUT_S, "everything has ended")
        assert "Traceback" not in demo.messages


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRY_PORT", "abc"),
        ("MAX_RESULTS_PER_PAGE", "0"),
        ("REGISTRY_ANONYMOUS_SCOPES", "nonsense"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "demo", "--data-dir", str(tmp_path / "data")]
    finished = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        cwd=tmp_path,
        env=environment(**{name: value}),
    )
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"error: {name}: ")
    assert finished.stdout == ""
