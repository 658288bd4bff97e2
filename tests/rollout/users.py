"""Users behind the balancer, who search all the time, and what they were answered."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

import aiohttp

from tests.faults.system import ROWS

RATE: Final = 60.0
"""Requests a second."""
_TIMEOUT_S: Final = 10.0


@dataclass(slots=True)
class Users:
    rate: float = RATE
    """Requests a second; may be changed meanwhile."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """Statuses, or the name of what was met instead of an answer."""

    @property
    def failed(self) -> int:
        return sum(number for outcome, number in self.outcomes.items() if outcome != "200")

    @property
    def error_ratio(self) -> float:
        return self.failed / max(1, self.outcomes.total())


@asynccontextmanager
async def users_of(base_url: str) -> AsyncIterator[Users]:
    """Each asks when it is due: by symbol, by name, as one types, and two in ten read from Postgres."""
    users = Users()
    choice = Random(1)  # noqa: S311 - by turns each version would be asked the same, again and again
    stop = asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(base_url, timeout=timeout) as session,
        asyncio.TaskGroup() as group,
    ):

        async def ask() -> None:
            row = choice.randrange(ROWS) + 1
            path, headers = f"/v1/instruments/search?limit=5&q=S{row}", {}
            match choice.randrange(10):
                case 1 | 2 | 3:
                    path = f"/v1/instruments/search?limit=5&q=company+{row}"
                case 4:
                    path = f"/v1/instruments/suggest?q=S{row // 100}"
                case 5 | 6:
                    path, headers = f"/v1/instruments/ins_{row}", {"Cache-Control": "no-cache"}
            try:
                async with session.get(path, headers=headers) as response:
                    await response.read()
                    outcome = str(response.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                outcome = type(error).__name__
            users.outcomes[outcome] += 1

        async def send() -> None:
            due = time.monotonic()
            while not stop.is_set():
                group.create_task(ask())
                due += 1 / users.rate
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(0.001, due - time.monotonic()))

        sending = group.create_task(send())
        try:
            yield users
        finally:
            stop.set()
            await sending
