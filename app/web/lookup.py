"""The handler of batch lookups."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import orjson
from aiohttp import web

from app import metrics
from app.domain.errors import InvalidInput
from app.domain.lookup import Sought, parse_lookup
from app.search.lookup_match import Matches, is_ambiguous
from app.web.finished import FinishedResponse
from app.web.json_body import read_json
from app.web.search_answers import index_headers, partial_fields, wants_fresh
from app.web.services import SERVICES

MAX_MATCHES: Final = 25
"""Of one identifier that are shown."""
_NOT_ALL: Final = "more instruments may match than were looked at"


async def look_up(request: web.Request) -> web.Response:
    """One result for each identifier, in order; what cannot be used is an error in its place."""
    document, _ = await read_json(request)
    asked = parse_lookup(document)
    sought = [one for one in asked if isinstance(one, Sought)]
    matches, headers = await looked_up(request, sought, refused=len(asked) - len(sought))
    results = [
        _refused(one) if isinstance(one, InvalidInput) else _found(one, next(matches)) for one in asked
    ]
    return FinishedResponse(
        b'{"results":[%b]}' % b",".join(results),
        headers=headers,
    )


async def looked_up(
    request: web.Request, sought: Sequence[Sought], *, refused: int
) -> tuple[Iterator[Matches], dict[str, str]]:
    """What a batch names, in its order, and the headers that say where that is from; counted.

    `refused` others could not be used. Where nothing is left to look up, there are no headers.
    """
    started = time.perf_counter()
    found = await request.app[SERVICES].lookups.look_up(sought, is_fresh=wants_fresh(request))
    matches = [found.matches[place] for place in range(len(sought))]
    hits = sum(1 for one in matches if one.instruments)
    metrics.LOOKUPS.labels("found").inc(hits)
    metrics.LOOKUPS.labels("not_found").inc(len(sought) - hits)
    metrics.LOOKUPS.labels("refused").inc(refused)
    if not sought:
        return iter(()), {}
    headers = index_headers(found.source, found.generation, found.age_s, "lookup", started)
    return iter(matches), headers


def _refused(refusal: InvalidInput) -> bytes:
    errors = [{"field": error.field, "message": error.message} for error in refusal.errors]
    return orjson.dumps({"error": {"detail": str(refusal), "errors": errors}})


def _found(sought: Sought, matches: Matches) -> bytes:
    return b'{"matches":[%b],"total":%d,"ambiguous":%b%b%b}' % (
        b",".join([match.json for match in matches.instruments[:MAX_MATCHES]]),
        len(matches.instruments),
        b"true" if is_ambiguous(sought, matches.instruments) else b"false",
        partial_fields(_NOT_ALL if matches.is_partial else None),
        b',"warning":%b' % orjson.dumps(sought.warning) if sought.warning else b"",
    )
