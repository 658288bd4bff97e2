"""One open stream: what waits to be sent, and how it ends."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, cast
from uuid import UUID

from app import metrics
from app.domain.access import Principal
from app.web.event_frames import HEARTBEAT, Frame

MAX_WAITING: Final = 100
"""Events that may wait. Each is in memory once, however many listeners it waits for."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a stream begins, in numbers of a profile's events."""

    profile_id: UUID
    after: int | None
    """The last event that the caller has seen; None: it has seen none."""
    last_event: int
    """The newest event when the watch began."""
    joined_at: int
    """Whatever is newer is offered to the listener; older ones it reads for itself."""


class Listener:
    """`transport` is the caller's connection."""

    def __init__(
        self, principal: Principal, start: Start, transport: asyncio.BaseTransport, heartbeat_s: float
    ) -> None:
        self.principal: Final = principal
        self.start: Final = start
        self.position = 0
        """The last event that was taken from here."""
        self.is_sending = False
        self.ended = False
        self._transport = cast("asyncio.Transport", transport)
        self._heartbeat_s = heartbeat_s
        self._waiting: deque[Frame] = deque()
        self._changed = asyncio.Event()

    @property
    def is_gone(self) -> bool:
        """Whether the caller has closed the connection."""
        return self._transport.is_closing()

    def offer(self, frame: Frame) -> None:
        """Have an event sent; too many that wait end the stream."""
        if len(self._waiting) >= MAX_WAITING:
            self.drop("slow")
        else:
            self._waiting.append(frame)
            self._changed.set()

    def drop(self, reason: str) -> None:
        """End the stream and count why."""
        if not self.ended:
            metrics.STREAM_LISTENERS_DROPPED.labels(reason).inc()
            self.end()

    def end(self) -> None:
        """End the stream at once, without what waits; a sending that is stuck is cut off."""
        self.ended = True
        self._waiting.clear()
        self._changed.set()
        if self.is_sending:
            self._transport.abort()

    async def next(self) -> Frame | None:
        """The next event beyond `position`, or a heartbeat when there was none for long; None at the end."""
        while not self.ended:
            while self._waiting:
                frame = self._waiting.popleft()
                if frame.number > self.position:
                    self.position = frame.number
                    return frame
            self._changed.clear()
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await self._changed.wait()
            except TimeoutError:
                return HEARTBEAT
        return None
