"""Asks the search index, and keeps in mind which generation is live and how fresh it is.

Searches name the generation that the state said is live, not the alias, so that an answer and its
`X-Index-Generation` never disagree.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final, TypeVar

import structlog
from redis import exceptions
from redis.asyncio import Redis

from app import metrics
from app.domain.errors import CursorExpired, IndexNotReady, RedisUnavailable, SearchTimedOut
from app.domain.query import Search
from app.search.generation import OWN, document_key
from app.search.schema import KEY_OF
from app.search.stored_json import finished
from app.store.circuit import Circuit, in_time
from app.store.index_state import IndexState, state_commands, state_of
from app.store.redis import execute, is_unknown_index, redis_errors, script_text
from app.store.redis_line import Command, RedisLine
from app.store.shared_line import SharedLine
from app.store.slow_queries import NOTHING_IS_SLOW, SlowQueries

STATE_POLL_S: Final = 0.5
STATE_WITHIN_S: Final = 1.0
PROBES_TO_OPEN: Final = 2
"""So many in a row fail: half a second of silence is no pause."""
PROBE_S: Final = 0.05
"""Between looks at a Redis that does not answer."""
REPLY_GRACE_S: Final = 0.05
"""So that a search which the engine cuts short is still answered."""
LONGEST_REPLY_S: Final = 65.0
"""After such a silence a connection is given up, whoever waits: longer than a search may take."""
NO_RANK: Final = -1
"""Nothing has it."""

_Answer = TypeVar("_Answer")

_seconds = cache(metrics.SEARCH_SECONDS.labels)

log = structlog.get_logger(__name__)


class SearchIndex:
    """The live index. Methods raise IndexNotReady and RedisUnavailable."""

    def __init__(
        self,
        client: Redis,
        share_ms: int,
        slow: SlowQueries = NOTHING_IS_SLOW,
        line: type[RedisLine] = RedisLine,
    ) -> None:
        self.client = client
        self._slow = slow
        self.share_ms = share_ms
        """How long Redis is waited for by those who can do without."""
        self._line = SharedLine(client, LONGEST_REPLY_S, line)
        self._circuit = Circuit()
        self.known_state: IndexState | None = None
        """The live generation as last seen; None before the first fill."""

    @property
    def state(self) -> IndexState:
        """The live generation as last seen."""
        if self.known_state is None:
            raise IndexNotReady("the search index is not filled yet; try again in a moment")
        return self.known_state

    async def follow(self) -> None:
        """Keep the state fresh, and find out whether Redis answers, for ever. To be run as a task."""
        failures = 0
        while True:
            self._circuit.doubted.clear()
            try:
                # One round trip decides: several would measure how busy this process is.
                async with in_time(self.share_ms / 1000):
                    with redis_errors():
                        await execute(self.client, "PING")
                async with in_time(STATE_WITHIN_S):
                    await self._read_state()
            except RedisUnavailable as error:
                failures += 1
                if failures == PROBES_TO_OPEN:
                    log.warning("index state cannot be read", reason=str(error))
                    self._circuit.open()
                    await self._line.drop()  # perhaps the server is gone, and did not say so
                await asyncio.sleep(PROBE_S)
            else:
                failures = 0
                self._circuit.close()
                await asyncio.sleep(PROBE_S)  # however many doubt it
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STATE_POLL_S):
                        await self._circuit.doubted.wait()

    async def close(self) -> None:
        await self._line.close()

    async def read_state(self) -> IndexState | None:
        """The live generation as it is now; None before the first fill."""
        with self._circuit:
            async with in_time(self.share_ms / 1000):
                return await self._read_state()

    async def _read_state(self) -> IndexState | None:
        (live,) = await self._line.ask([("GET", OWN.live_key)], STATE_WITHIN_S)
        self.known_state = None if live is None else await self._state_of(int(live))
        if self.known_state is not None:
            metrics.INDEX_GENERATION.set(self.known_state.generation)
        return self.known_state

    async def _state_of(self, generation: int) -> IndexState | None:
        """By the connection that searches go by, so that both are of the same server."""
        return state_of(generation, await self._line.ask(state_commands(generation), STATE_WITHIN_S))

    async def age_s(self, generation: int) -> float:
        """Seconds since a generation last equalled Postgres."""
        age_s = self.live_age_s(generation)
        if age_s is None:  # a cursor into a generation that is kept
            state = await self._state_of(generation)
            age_s = state.current_age_s if state else math.inf
        return age_s

    def live_age_s(self, generation: int) -> float | None:
        """The same, without a coroutine; None where that is not the live one."""
        state = self.known_state
        return state.current_age_s if state is not None and state.generation == generation else None

    async def read_instrument(self, number: int) -> tuple[bytes, int] | None:
        """The finished JSON of an instrument and its version; None if the index does not have it."""
        command = ("HMGET", document_key(self.state.generation, number), "json", "version")
        ((document, version),) = await self.execute([command], self.share_ms)
        if document is None:
            return None
        (json,) = finished([document])
        return json, int(version)

    async def read_documents(self, numbers: Sequence[int]) -> list[bytes]:
        """The finished JSON of those instruments that the index has, in the order given."""
        (held,) = await self.execute([documents_command(self.state.generation, numbers)], self.share_ms)
        return finished([document for document in held if document is not None])

    async def read_ranks(self, numbers: Sequence[int], generation: int | None = None) -> list[int]:
        """The ranks of instruments in a generation, or in the live one; NO_RANK for what it does not have."""
        if generation is None:
            generation = self.state.generation
        commands = [("HGET", document_key(generation, number), KEY_OF["rank"]) for number in numbers]
        return [
            NO_RANK if rank is None else int(rank) for rank in await self.execute(commands, self.share_ms)
        ]

    async def ask_live(self, ask: Callable[[int], Awaitable[_Answer]]) -> _Answer:
        """What `ask` finds out of the live generation, by `execute`; again if that was just removed."""
        if self.known_state is None:
            await self.read_state()
        try:
            return await ask(self.state.generation)
        except CursorExpired:  # that generation was removed since its number was read
            await self.read_state()
        try:
            return await ask(self.state.generation)
        except CursorExpired as error:
            raise IndexNotReady("the search index is gone; the indexer will fill it again") from error

    async def timed(self, plan: str, asked: Search | int, answer: Awaitable[_Answer]) -> _Answer:
        """The answer to a search, or to so many identifiers, its time observed under the plan's name."""
        started = time.monotonic()
        try:
            return await answer
        finally:
            self.observe(plan, asked, started)

    def observe(self, plan: str, asked: Search | int, started: float) -> None:
        """Count a search that was begun then, on the monotonic clock, and tell of it if it was slow."""
        elapsed_s = time.monotonic() - started
        _seconds(plan).observe(elapsed_s)
        self._slow.took(plan, asked, elapsed_s)

    async def execute(self, commands: Sequence[Command], timeout_ms: int) -> list[Any]:
        """The replies to several commands in one round trip, which are waited for a little longer.

        Raises CursorExpired where the generation is gone, SearchTimedOut and RedisUnavailable.
        """
        try:
            with self._circuit:
                return await self._line.ask(commands, timeout_ms / 1000 + REPLY_GRACE_S)
        except exceptions.ResponseError as error:
            if is_unknown_index(error):
                raise CursorExpired(
                    "the index generation that this cursor points into is gone; restart without it"
                ) from error
            if "timeout" in str(error).lower():
                raise SearchTimedOut(
                    f"the search took longer than {timeout_ms} ms; narrow it down"
                ) from error
            raise


def documents_command(generation: int, numbers: Iterable[int]) -> Sequence[str | int]:
    """Asks for the finished JSON of instruments, in this order; None where the generation lacks one.

    One script costs a third of so many HGET in a pipeline, for a hundred.
    """
    keys = [document_key(generation, number) for number in numbers]
    return "EVAL", script_text("read_documents"), len(keys), *keys
