"""The processes of a service that runs on this machine: which they are, their settings, and their memory."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
from pydantic import SecretStr

from app.environment import EnvironmentModel, variable_name
from app.parameters.definitions import Parameters
from app.settings import Settings
from loadtests.shapes import LoadTestError

SAMPLE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A process, and its resident memory from time to time."""

    process: psutil.Process
    name: str
    samples: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since 1970, and megabytes."""


def processes_of(url: str, others: Iterable[int]) -> list[Watched]:
    """Those that listen at the URL, if it is on this machine, and `others` by their ids."""
    pids = set(others)
    if is_here(url):
        pids |= _listeners(urlsplit(url).port)
    return [_watched(pid) for pid in sorted(pids)]


def _listeners(port: int | None) -> set[int]:
    """None where the system tells nobody but root."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return set()
    listening = {
        one.pid
        for one in connections
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid
    }
    return {process.pid for pid in listening for process in _sharing(psutil.Process(pid))}


def _sharing(process: psutil.Process) -> list[psutil.Process]:
    """Supervisor and workers, who share a socket: the system names one of them."""
    parent = process.parent()
    if parent is not None and "app.supervision" in parent.cmdline():
        process = parent
    return [process, *process.children()] if "app.supervision" in process.cmdline() else [process]


def _watched(pid: int) -> Watched:
    try:
        process = psutil.Process(pid)
        return Watched(process, " ".join(process.cmdline()[1:]) or process.name())
    except psutil.Error as error:
        raise LoadTestError(f"--pid: {pid} cannot be watched: {error}") from error


def is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def watch(processes: Iterable[Watched]) -> None:
    """Take samples until cancelled; a process that ends is not sampled any more."""
    running = list(processes)
    while running:
        for watched in list(running):
            try:
                rss_mb = watched.process.memory_info().rss / 1e6
            except psutil.Error:
                running.remove(watched)
            else:
                watched.samples.append((time.time(), rss_mb))
        await asyncio.sleep(SAMPLE_S)


def settings_of(process: psutil.Process) -> dict[str, Any] | None:
    """What a process of the service was set to; secrets are left out. None where nobody may know."""
    try:
        environment = process.environ()
    except psutil.Error:
        return None
    return {**_values(Settings, environment), **_values(Parameters, environment)}


def _values(model: type[EnvironmentModel], environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: environment.get(name, definition.default)
        for name, definition in (
            (variable_name(model, field_name), definition)
            for field_name, definition in model.model_fields.items()
            if SecretStr.__name__ not in str(definition.annotation)
        )
    }
