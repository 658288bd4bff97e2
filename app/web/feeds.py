"""Handlers for those who keep a copy of all instruments: the whole of them, and then what changes."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import structlog
from aiohttp import hdrs, web

from app.domain.errors import PostgresUnavailable
from app.domain.query import parse_changes
from app.search.document import Row, instrument_json
from app.store.changes import Place, place_of_now, read_changes
from app.store.instruments import open_snapshot
from app.web.boundary import set_headers
from app.web.finished import FinishedResponse
from app.web.headers import CHANGES_SINCE
from app.web.query_string import query_pairs
from app.web.services import REQUEST_ID, SERVICES

MEDIA_TYPE: Final = "application/x-ndjson"
TIMEOUT_S: Final = 600.0
"""A snapshot that is held for longer keeps Postgres from tidying up."""
_BATCH: Final = 200
"""Instruments written at once: other requests wait meanwhile, some milliseconds."""
_GZIP: Final = 31
"""zlib's window bits for the format gzip."""

log = structlog.get_logger(__name__)


async def changes(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    since, limit = parse_changes(query_pairs(request))
    found = await read_changes(services.postgres, None if since is None else Place.decode(since), limit)
    body = b'{"changes":[%b],"next":"%b","more":%b}' % (
        b",".join(found.changes),
        found.next.encode().encode(),
        b"true" if found.more else b"false",
    )
    return FinishedResponse(body)


async def export(request: web.Request) -> web.StreamResponse:
    """All instruments of one snapshot, an object in each line, gzipped for those who accept that.

    What ends early ends without the last chunk, so that no client takes it for the whole.
    """
    services = request.app[SERVICES]
    is_gzipped = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower()
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: MEDIA_TYPE})
    if is_gzipped:
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    with services.exports.one_more():
        try:
            async with asyncio.timeout(TIMEOUT_S), open_snapshot(services.database_url) as snapshot:
                response.headers[CHANGES_SINCE.name] = (await place_of_now(snapshot.connection)).encode()
                set_headers(request, response)
                await response.prepare(request)
                await _write(response, snapshot.rows(None, _BATCH), is_gzipped=is_gzipped)
        except ConnectionError:  # the caller is gone
            pass
        except (PostgresUnavailable, TimeoutError) as error:
            if not response.prepared:
                raise
            log.warning("export broken off", request_id=request[REQUEST_ID], reason=str(error))
            if request.transport is not None:
                request.transport.abort()
    return response


async def _write(
    response: web.StreamResponse, batches: AsyncIterator[Sequence[Row]], *, is_gzipped: bool
) -> None:
    compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP) if is_gzipped else None
    async for rows in batches:
        lines = b"".join([instrument_json(row) + b"\n" for row in rows])
        if compressor is not None:
            lines = await asyncio.to_thread(compressor.compress, lines)
        if lines:
            await response.write(lines)
    if compressor is not None:
        await response.write(compressor.flush())
    await response.write_eof()
