"""The handler of bulk writes: the body goes to a file first, so that no slow caller keeps locks."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, Final

from aiohttp import web

from app.domain.errors import Unavailable
from app.domain.write_query import parse_bulk
from app.store.bulk_writes import write_bulk
from app.web.finished import FinishedResponse
from app.web.json_body import arriving
from app.web.once import once_of_digest, replay_headers
from app.web.query_string import query_pairs
from app.web.services import SERVICES, writer_of

RECEIVE_TIMEOUT_S: Final = 900.0
"""For all of it; no part of it may take as long as a body elsewhere."""


async def bulk(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    atomic = parse_bulk(query_pairs(request))
    with services.bulk_writes.one_more(), _temporary_file() as body:
        digest = await _receive(request, body, services.max_bulk_bytes, b"atomic" if atomic else b"")
        answer = await write_bulk(
            services.database_url,
            writer_of(request),
            body,
            atomic=atomic,
            once=once_of_digest(request, digest),
        )
    return FinishedResponse(answer.body, headers=replay_headers(answer))


@contextmanager
def _temporary_file() -> Iterator[IO[bytes]]:
    """Raises Unavailable."""
    with _room():
        body = TemporaryFile()  # noqa: SIM115 - closed below
    try:
        yield body
    finally:
        with suppress(OSError):  # of what there was no room for, a part is still to be written
            body.close()


async def _receive(request: web.Request, body: IO[bytes], max_bytes: int, how: bytes) -> bytes:
    """The digest of how it is to be applied and of what came; `body` has that, from its beginning."""
    digest, size, began = hashlib.sha256(how), 0, time.monotonic()
    while True:
        async with arriving():
            chunk = await request.content.readany()
        if not chunk:
            with _room():
                body.seek(0)
            return digest.digest()
        size += len(chunk)
        if size > max_bytes:
            raise web.HTTPRequestEntityTooLarge(max_bytes, size)
        if time.monotonic() - began > RECEIVE_TIMEOUT_S:
            raise web.HTTPRequestTimeout(text=f"the body did not come within {RECEIVE_TIMEOUT_S:.0f} s")
        digest.update(chunk)
        with _room():
            body.write(chunk)


@contextmanager
def _room() -> Iterator[None]:
    """Raises Unavailable where the temporary folder has no room, or is not there."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"the service has no room for the body: {error.strerror}; try again later"
        ) from error
