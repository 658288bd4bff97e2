"""Searches at a steady rate while something breaks, and what became of them."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import aiohttp

from tests.faults.system import ROWS

RATE: Final = float(os.environ.get("FAULTS_RATE", "40"))
"""Requests a second."""
SEARCH: Final = "/v1/instruments/search"


@dataclass(frozen=True, slots=True)
class Answer:
    due: float
    seconds: float
    outcome: str
    """The status, or the name of what the client met instead."""
    source: str | None

    @property
    def is_normal(self) -> bool:
        return self.outcome == "200" and self.source == "redis"


@dataclass(slots=True)
class Load:
    answers: list[Answer] = field(default_factory=list)
    broken_at: float | None = None

    def mark(self) -> None:
        """The fault happens now."""
        self.broken_at = time.monotonic()

    def outcomes(self) -> Counter[str]:
        return Counter(answer.outcome for answer in self.answers)

    def assert_unnoticed(self) -> None:
        """Every search was answered, from Redis."""
        assert self.outcomes() == {"200": len(self.answers)}, self.outcomes()
        assert all(answer.is_normal for answer in self.answers)

    def assert_degraded_at_most(self) -> None:
        """Every search was answered or refused for a while, and normal again at the end."""
        assert set(self.outcomes()) <= {"200", "503"}, self.outcomes()
        assert self.answers[-1].is_normal

    def report(self) -> dict[str, Any]:
        """Requests sent, failed and slowest, and how long it took until all were normal again."""
        assert self.answers
        odd = [answer.due + answer.seconds for answer in self.answers if not answer.is_normal]
        since = self.broken_at if self.broken_at is not None else self.answers[0].due
        return {
            "sent": len(self.answers),
            "failed": sum(answer.outcome != "200" for answer in self.answers),
            "outcomes": dict(self.outcomes()),
            "from_postgres": sum(answer.source == "postgres" for answer in self.answers),
            "slowest_ms": round(max(answer.seconds for answer in self.answers) * 1000, 1),
            "recovered_after_s": round(max(0.0, max(odd, default=since) - since), 2),
        }


@asynccontextmanager
async def load(base_urls: list[str], rate: float = RATE) -> AsyncIterator[Load]:
    """Exact and name searches, each due at its time. Where nobody listens, the next address is asked."""
    load = Load()
    stop = asyncio.Event()
    connector = aiohttp.TCPConnector(limit=500)
    timeout = aiohttp.ClientTimeout(total=20)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        asyncio.TaskGroup() as group,
    ):

        async def ask(number: int, due: float) -> None:
            text = f"S{number % ROWS + 1}" if number % 2 else f"company {number % ROWS + 1}"
            outcome, source = "refused", None
            for base_url in base_urls[number % len(base_urls) :] + base_urls[: number % len(base_urls)]:
                try:
                    async with session.get(base_url + SEARCH, params={"q": text}) as response:
                        await response.read()
                        outcome, source = str(response.status), response.headers.get("X-Search-Source")
                except aiohttp.ClientConnectorError:
                    continue
                except (aiohttp.ClientError, TimeoutError) as error:
                    outcome = type(error).__name__
                break
            load.answers.append(Answer(due, time.monotonic() - due, outcome, source))

        async def send() -> None:
            started = time.monotonic()
            for number in count():
                due = started + number / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if stop.is_set():
                    return
                group.create_task(ask(number, due))

        sending = group.create_task(send())
        try:
            yield load
        finally:
            stop.set()
            await sending
