"""Server-sent events of a profile: https://html.spec.whatwg.org/multipage/server-sent-events.html.

A connection that ends is made again, and asks for what came after the last event that was seen.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import Final

from instrument_registry_client.errors import ClientError, IncompleteAnswer, UnexpectedAnswer
from instrument_registry_client.results import Event
from instrument_registry_client.retries import RetryPolicy
from instrument_registry_client.transport import Transport, is_worth_a_retry

SILENCE_S: Final = 45.0
"""The service shows every 15 s that it is there."""

log = logging.getLogger(__name__)


async def events(
    transport: Transport,
    path: str,
    *,
    after: int | None,
    give_up_after_s: float | None,
    silence_s: float = SILENCE_S,
) -> AsyncGenerator[Event]:
    """What comes after the event `after`, or (None) from now on, until the profile is deleted.

    Raises ClientError: at first as any reading does; later for what a new connection does not mend (the
    credential is not valid any more, the profile is gone), or after `give_up_after_s` without one.
    """
    last = after
    outage = _Outage(transport.retries, give_up_after_s)
    while True:
        headers = {"Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        try:
            async with transport.receive(path, headers, silence_s=silence_s) as receiving:
                outage.ended()
                async for event in parsed(receiving.chunks()):
                    last = event.number
                    yield event
                    if event.kind == "deleted":
                        return
            failure: ClientError = IncompleteAnswer("the service ended the stream")
        except ClientError as error:
            failure = error
        wait_s = outage.wait_s(failure)
        log.info("stream %s: %s; connecting again in %.1f s, after event %s", path, failure, wait_s, last)
        await asyncio.sleep(wait_s)


class _Outage:
    """How long there was no connection, and whether to go on trying."""

    def __init__(self, retries: RetryPolicy, give_up_after_s: float | None) -> None:
        self._retries = retries
        self._give_up_after_s = give_up_after_s
        self._attempt = 0
        self._connected_at: float | None = None
        self._lost_at: float | None = None

    def ended(self) -> None:
        """There is a connection."""
        self._connected_at = time.monotonic()

    def wait_s(self, failure: ClientError) -> float:
        """Seconds until the next attempt. Raises `failure` where there shall be none."""
        now = time.monotonic()
        if self._connected_at is not None:
            if now - self._connected_at > self._retries.longest_wait_s:
                self._attempt = 0
            self._lost_at, self._connected_at = now, None
        self._attempt += 1
        if not is_worth_a_retry(failure) or not self._goes_on(now, failure):
            raise failure
        return self._retries.wait_s(self._attempt, failure.retry_after_s)

    def _goes_on(self, now: float, failure: ClientError) -> bool:
        if self._lost_at is None:
            return self._retries.allows(self._attempt, failure.retry_after_s)
        return self._give_up_after_s is None or now - self._lost_at < self._give_up_after_s


async def parsed(chunks: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """The events of a stream, however it was cut; one that it ends within is not told."""
    begun = b""
    fields: dict[bytes, bytes] = {}
    async for chunk in chunks:
        *lines, begun = (begun + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.removesuffix(b"\r").partition(b":")
            if name:
                fields[name] = value.removeprefix(b" ")
            elif not line.strip() and b"data" in fields:
                yield _event(fields)
                fields = {}


def _event(fields: dict[bytes, bytes]) -> Event:
    try:
        return Event(int(fields[b"id"]), fields[b"event"].decode(), json.loads(fields[b"data"]))
    except (KeyError, ValueError) as error:
        raise UnexpectedAnswer("an event of the stream is none of an instrument registry") from error
