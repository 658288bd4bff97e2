"""Finished answers of searches, kept in this process for those who ask the same.

Whoever asks for what is not kept has it made, once for all who ask at the same time. What a change of the
index has made old is still given for a moment, while it is made anew.
"""

import asyncio
import gzip
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Final, TypeAlias

import structlog
from aiohttp import hdrs

from app import metrics
from app.domain.errors import RegistryError
from app.parameters.live import LiveParameters
from app.store.cache_epoch import CacheEpoch
from app.tasks import end_tasks
from app.web.finished import JSON, head_lines
from app.web.headers import INDEX_GENERATION, generation_text
from app.web.preconditions import entity_tag

MAX_ENTRIES: Final = 5_000
SWEPT_AT_ONCE: Final = 8
"""So many that nobody can get any more are dropped for each that is kept: not all at once, which would hold
everybody up."""
MIN_COMPRESSED_BYTES: Final = 1_024
"""What is smaller gains next to nothing."""
_COMPRESSION_LEVEL: Final = 5
_ENTRY_BYTES: Final = 1_000
"""What an entry costs besides its bytes, about."""

log = structlog.get_logger(__name__)
_hit, _stale, _miss = (metrics.CACHE_REQUESTS.labels(result) for result in ("hit", "stale", "miss"))
_evictions = cache(metrics.CACHE_EVICTIONS.labels)


@dataclass(slots=True)
class Answer:
    """What is sent, and what it was made of."""

    body: bytes
    generation: int | None
    """Of the index; None: Postgres was asked."""
    age_s: float
    """Of that generation when the answer was made: seconds since it last equalled Postgres."""
    plan: str
    """How it was searched."""
    is_whole: bool
    """Nothing was cut short."""
    made_at: float = field(default_factory=time.monotonic)
    epoch: int = -1
    """In which what it says was read; -1: it is not kept."""
    compressed: bytes | None = None
    tag: str = field(init=False)
    """Names the content."""
    headers: Mapping[str, str] = field(init=False)
    """Those that stay the same for as long as it is kept."""
    head: str = field(init=False)
    """These, and its content type, as they are sent."""

    def __post_init__(self) -> None:
        self.tag = blake2b(self.body, digest_size=8).hexdigest()
        self.headers = {
            INDEX_GENERATION.name: generation_text(self.generation),
            "ETag": f"W/{entity_tag(self.tag)}",  # weak: it names the gzipped form as well
            "Vary": "Accept-Encoding",
        }
        self.head = head_lines({hdrs.CONTENT_TYPE: JSON, **self.headers})

    @property
    def size(self) -> int:
        return _ENTRY_BYTES + len(self.body) + len(self.compressed or b"")


Make: TypeAlias = Callable[[], Awaitable[Answer]]


class AnswerCache:
    """While CACHE_TTL_SECONDS is 0 nothing is kept."""

    def __init__(self, epoch: CacheEpoch, parameters: LiveParameters, *, max_bytes: int) -> None:
        self._epoch = epoch
        self._parameters = parameters
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, Answer] = OrderedDict()
        """The one that was asked for longest ago comes first."""
        self._bytes = 0
        self._making: dict[Hashable, list[asyncio.Future[Answer | None]]] = {}
        """Those who wait for what somebody else has made; None: that one has given up."""
        self._renewals: set[asyncio.Task[None]] = set()
        metrics.CACHE_ENTRIES.set_function(lambda: len(self._kept))
        metrics.CACHE_BYTES.set_function(lambda: self._bytes)

    async def close(self) -> None:
        await end_tasks(*self._renewals)

    def kept(self, key: Hashable, make: Make) -> Answer | None:
        """The answer, if it is kept; where that is about to be too old, it is made anew meanwhile."""
        self._epoch.follow()
        answer = self._kept.get(key)
        if answer is None:
            return None
        if time.monotonic() >= answer.made_at + self._parameters.cache_ttl_seconds:
            self._drop(key, "expired")
            return None
        if self._epoch.is_current(answer):
            self._kept.move_to_end(key)
            _hit.inc()
            return answer
        if self._epoch.may_be_given_once_more(answer):
            if key not in self._making:
                renewal = asyncio.create_task(self._renew(key, make))
                self._renewals.add(renewal)
                renewal.add_done_callback(self._renewals.discard)
            _stale.inc()
            return answer
        self._drop(key, "changed")
        return None

    async def made(self, key: Hashable, make: Make) -> Answer:
        """The answer; one of all who ask at the same time has it made. Raises as `make` does."""
        _miss.inc()
        while (waiting := self._making.get(key)) is not None:
            waiting.append(asyncio.get_running_loop().create_future())
            answer = await waiting[-1]
            if answer is not None:
                return answer
            # Who had it made has given up.
        return await self.made_anew(key, make)

    async def made_anew(self, key: Hashable, make: Make) -> Answer:
        """The answer, searched for from now on: not what somebody waits for who asked earlier."""
        waiting = self._making[key] = []
        self._epoch.follow()
        epoch = self._epoch.number  # before anything is read
        answer = error = None
        try:
            answer = await make()
        except Exception as raised:
            error = raised
            raise
        finally:
            if self._making.get(key) is waiting:
                del self._making[key]
            for waiter in waiting:
                if waiter.done():  # it has given up
                    continue
                if error is None:
                    waiter.set_result(answer)
                else:
                    waiter.set_exception(error)
        is_lasting = answer.is_whole and answer.generation is not None
        if is_lasting and self._parameters.cache_ttl_seconds > 0:
            self._keep(key, answer, epoch)
        return answer

    def age_s(self, answer: Answer) -> float:
        """Seconds since the index, as the answer shows it, last equalled Postgres."""
        return self._epoch.age_s(answer)

    def compressed(self, answer: Answer) -> bytes | None:
        """The gzipped body of an answer that is kept, and so is sent again; None: it would not pay."""
        if answer.epoch < 0 or len(answer.body) < MIN_COMPRESSED_BYTES:
            return None
        if answer.compressed is None:
            answer.compressed = gzip.compress(answer.body, _COMPRESSION_LEVEL, mtime=0)
            self._grow(len(answer.compressed))
        return answer.compressed

    async def _renew(self, key: Hashable, make: Make) -> None:
        if key in self._making:
            return
        try:
            await self.made_anew(key, make)
        except RegistryError as error:  # whoever asks next is told
            log.warning("kept answer not made anew", reason=str(error))
        except Exception:
            log.exception("kept answer not made anew")

    def _keep(self, key: Hashable, answer: Answer, epoch: int) -> None:
        if key in self._kept:
            self._drop(key, "changed")
        answer.epoch = epoch
        self._kept[key] = answer
        self._grow(answer.size)
        for past in self._epoch.past(self._kept.items(), SWEPT_AT_ONCE):
            self._drop(past, "changed")

    def _grow(self, size: int) -> None:
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)), "bytes")
        while len(self._kept) > MAX_ENTRIES:
            self._drop(next(iter(self._kept)), "entries")

    def _drop(self, key: Hashable, reason: str) -> None:
        answer = self._kept.pop(key)
        self._bytes -= answer.size
        answer.epoch = -1
        _evictions(reason).inc()
