"""What must be so before the canary gets users: health of both versions, and a load test that passed."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from app.domain.errors import RegistryError

TIMEOUT_S: Final = 5.0
_SHAPE: Final = "burst"


class CheckFailed(RegistryError):
    """A check that cannot pass by waiting; `str(error)` says what to do."""


async def what_is_wrong(session: aiohttp.ClientSession, url: str, release: str | None) -> str | None:
    """Why a version is not healthy, None if it is. With `release` it must also be that one."""
    try:
        ready = await _get(session, f"{url}/health/ready")
        if ready.get("status") != "ready":
            parts = ", ".join(
                f"{name} {ready[name]}" for name in ("postgres", "redis", "index") if name in ready
            )
            return (
                f"{url} is {ready.get('status', 'not of this service')}, not ready ({parts or 'no detail'})"
            )
        live = await _get(session, f"{url}/health/live")
        if release is not None and (found := live.get("release")) != release:
            return f"{url} runs the release {found}, not {release}; set its REGISTRY_RELEASE"
    except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
        return f"{url} does not answer: {str(error) or type(error).__name__}"
    return None


async def _get(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as response:
        content = await response.json(content_type=None)
    return content if isinstance(content, dict) else {}


def read_load_evidence(file: Path, canary_url: str, release: str, longest_ago_s: float) -> dict[str, Any]:
    """The gist of a load test of the canary, with this release, that passed. Raises CheckFailed."""
    again = f"make it with: instrument-registry loadtest {_SHAPE} --url {canary_url}"
    try:
        evidence = orjson.loads(file.read_bytes())
        gist = {
            "file": str(file),
            "shape": str(evidence["shape"]),
            "url": str(evidence["service"]["url"]).rstrip("/"),
            "release": evidence["service"]["release"],
            "verdict": str(evidence["verdict"]),
            "started_at": str(evidence["started_at"]),
            "thresholds": evidence["thresholds"],
            "commit": evidence.get("commit"),
        }
        age_s = (datetime.now(UTC) - datetime.fromisoformat(gist["started_at"])).total_seconds()
    except OSError as error:
        raise CheckFailed(f"--load-evidence: cannot read {file} ({error.strerror}); {again}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckFailed(f"--load-evidence: {file} is no evidence of a load test; {again}") from error
    if gist["shape"] != _SHAPE:
        raise CheckFailed(f"--load-evidence: {file} is of the shape {gist['shape']}; {again}")
    if _place(gist["url"]) != _place(canary_url):
        raise CheckFailed(f"--load-evidence: {file} is of {gist['url']}, not of the canary; {again}")
    if gist["release"] != release:
        raise CheckFailed(
            f"--load-evidence: {file} is of the release {gist['release']}, not of {release}; {again}"
        )
    if gist["verdict"] != "passed":
        raise CheckFailed(
            f"--load-evidence: the load test of {file} missed a threshold; mend that, and {again}"
        )
    if not -60 <= age_s <= longest_ago_s:
        raise CheckFailed(f"--load-evidence: {file} is from {gist['started_at']}, too long ago; {again}")
    return gist


async def run_load_test(canary_url: str, folder: Path, shapes: Path | None) -> Path:
    """Load the canary at its own address; the file of evidence. Raises CheckFailed."""
    command = [sys.executable, "-P", "-m", "loadtests", _SHAPE, "--url", canary_url, "--output", str(folder)]
    if shapes is not None:
        command += ["--shapes", str(shapes)]
    known = _evidence_files(folder)
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, messages = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    made = _evidence_files(folder) - known
    if process.returncode != 0 or not made:
        lines = messages.decode(errors="replace").strip().splitlines()
        raise CheckFailed(f"the load test of {canary_url} failed: {lines[-1] if lines else 'without a word'}")
    return made.pop()


def _evidence_files(folder: Path) -> set[Path]:
    return set(folder.glob(f"load_test_{_SHAPE}_*.json"))


def _place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port
