"""What happens to the index while a load test runs: changed rows that a refresh brings in, and rebuilds."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import aiohttp
import orjson

from loadtests.corpus import Entry
from loadtests.plan import now
from loadtests.service import detail_of
from loadtests.shapes import LoadTestError

CHANGED_ROWS: Final = 1000
MARK: Final = "load_test"
"""The attribute that is changed, and removed at the end."""
INDEX: Final = "/v1/admin/index"
_WAIT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that happened to the index, from when it was asked for until it was done."""

    kind: str
    began: float
    ended: float


async def disturb(
    session: aiohttp.ClientSession,
    entries: Sequence[Entry],
    every_s: float,
    ends_at: float,
    done: list[Disturbance],
) -> None:
    """Change rows and rebuild, in turns, until it ends; what has happened is added to `done`.

    The rows are as before when it is over. Raises LoadTestError where the service refuses.
    """
    due = now()
    try:
        for kind in cycle(("refresh", "rebuild")):
            due = max(due + every_s, now())
            if due + every_s / 2 > ends_at:
                break
            await asyncio.sleep(due - now())
            began = now()
            async with asyncio.timeout(_WAIT_S):
                if kind == "refresh":
                    await change_rows(session, entries, str(len(done)))
                else:
                    await rebuild(session)
            done.append(Disturbance(kind, began, now()))
    except TimeoutError as error:
        raise LoadTestError(
            f"the index was not changed within {_WAIT_S:.0f} s; does an indexer run?"
        ) from error
    finally:
        await change_rows(session, entries, None)


async def change_rows(session: aiohttp.ClientSession, entries: Sequence[Entry], mark: str | None) -> None:
    """Give instruments an attribute, and wait until the index shows it; None removes it."""
    changed = entries[:CHANGED_ROWS]
    lines = (orjson.dumps({"op": "update", "id": entry.id, "attributes": {MARK: mark}}) for entry in changed)
    headers = {"Content-Type": "application/x-ndjson"}
    async with session.post("/v1/instruments/bulk", data=b"\n".join(lines), headers=headers) as response:
        if response.status != 200:
            raise LoadTestError(f"rows cannot be changed: {await detail_of(response)}")
    path = f"/v1/instruments/{changed[-1].id}"
    while (await _read(session, path))["attributes"].get(MARK) != mark:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.05)


async def rebuild(session: aiohttp.ClientSession) -> None:
    """Rebuild the index, and wait until the new generation is live and the oldest one removed."""
    async with session.post(f"{INDEX}/rebuild") as response:
        if response.status != 202:
            raise LoadTestError(f"the index cannot be rebuilt: {await detail_of(response)}")
        number = orjson.loads(await response.read())["id"]
    while (job := await _read(session, f"{INDEX}/jobs/{number}"))["finished_at"] is None:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    if job["state"] != "done":
        raise LoadTestError(f"the rebuild ended as {job['state']}: {job['error']}")


async def _read(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as response:
        if response.status != 200:
            raise LoadTestError(f"{path} cannot be read: {await detail_of(response)}")
        return orjson.loads(await response.read())
