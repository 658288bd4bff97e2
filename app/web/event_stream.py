"""The handler of a profile's stream: server-sent events until either side ends them."""

import asyncio
from contextlib import aclosing
from typing import Final

import structlog
from aiohttp import hdrs, web

from app import metrics
from app.domain.errors import RegistryError
from app.domain.query import STREAM_FIELDS, parse_position
from app.web.boundary import set_headers
from app.web.event_frames import Frame
from app.web.headers import LAST_EVENT_ID, UNBUFFERED
from app.web.listener import Listener
from app.web.profiles import author_of, profile_id_of
from app.web.query_string import query_pairs
from app.web.services import PRINCIPAL, REQUEST_ID, SERVICES

MEDIA_TYPE: Final = "text/event-stream"
SEND_TIMEOUT_S: Final = 30.0
_HEADERS: Final = {
    hdrs.CONTENT_TYPE: MEDIA_TYPE,
    hdrs.CACHE_CONTROL: "no-store",
    # A proxy that collects an answer before it passes it on would hold events back.
    UNBUFFERED.name: "no",
}

log = structlog.get_logger(__name__)


async def stream(request: web.Request) -> web.StreamResponse:
    """Events after the one that the caller has seen last, or from now on, and then as they come."""
    streams = request.app[SERVICES].streams
    after = _last_event_id(request)
    response = web.StreamResponse(headers=_HEADERS)
    if (transport := request.transport) is None:  # the caller is gone already
        return response
    listening = streams.listen(
        author_of(request), request[PRINCIPAL], profile_id_of(request), after, transport
    )
    async with listening as listener:
        try:
            set_headers(request, response)
            await response.prepare(request)
            async with aclosing(streams.frames(listener)) as frames:
                async for frame in frames:
                    await _send(response, listener, frame)
                    if frame.is_last:
                        break
        except ConnectionError:  # the caller is gone, or was cut off
            pass
        except RegistryError as error:  # the answer has begun; the caller comes back with its last id
            log.warning("stream interrupted", request_id=request[REQUEST_ID], reason=str(error))
    return response


async def _send(response: web.StreamResponse, listener: Listener, frame: Frame) -> None:
    listener.is_sending = True
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await response.write(frame.content)
    except TimeoutError:
        listener.drop("slow")
        return
    finally:
        listener.is_sending = False
    if frame.number:
        metrics.STREAM_EVENTS_SENT.labels(frame.kind).inc()


def _last_event_id(request: web.Request) -> int | None:
    """From the header, which a browser sends when it comes back, else from the query string.

    Raises InvalidInput.
    """
    (field,) = STREAM_FIELDS
    asked = parse_position(query_pairs(request), field)
    header = request.headers.get(LAST_EVENT_ID.name)
    if header is None:
        return asked
    return parse_position([(LAST_EVENT_ID.name, header)], LAST_EVENT_ID.name)
