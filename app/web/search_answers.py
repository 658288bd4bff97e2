"""Answers of searches: from those kept or made anew, and the headers that tell what they are of."""

import time

import orjson
from aiohttp import hdrs, web

from app.store.source import Source
from app.web.answer_cache import Make
from app.web.asked import Asked
from app.web.encodings import accepts_gzip
from app.web.finished import FinishedResponse
from app.web.headers import INDEX_AGE, INDEX_GENERATION, SEARCH_SOURCE, SERVER_TIMING, generation_text
from app.web.preconditions import is_known
from app.web.services import SERVICES


async def answered(request: web.Request, asked: Asked, make: Make) -> web.Response:
    """What is kept for this question, or what `make` makes; that for sure where the caller wants it fresh.

    What explains itself is for one caller, and is not kept.
    """
    answers, started = request.app[SERVICES].answers, time.perf_counter()
    is_fresh = wants_fresh(request)
    answer = None if is_fresh or asked.search.explain else answers.kept(asked.key, make)
    if answer is not None:
        source = Source.CACHE
    else:
        if asked.search.explain:
            answer = await make()
        else:
            answer = await (answers.made_anew if is_fresh else answers.made)(asked.key, make)
        source = source_of(answer.generation)
    headers = {
        SEARCH_SOURCE.name: source,
        INDEX_AGE.name: _age(answers.age_s(answer)),
        SERVER_TIMING.name: _timing(source, answer.plan, started),
    }
    if is_known(request, answer.tag):
        return web.Response(status=304, headers={**answer.headers, **headers})
    body = answer.body
    if (
        source is Source.CACHE
        and accepts_gzip(request)
        and (compressed := answers.compressed(answer)) is not None
    ):
        headers[hdrs.CONTENT_ENCODING], body = "gzip", compressed
    return FinishedResponse(body, headers=headers, head=answer.head)


def wants_fresh(request: web.Request) -> bool:
    return "no-cache" in request.headers.get(hdrs.CACHE_CONTROL, "").lower()


def partial_fields(reason: str | None) -> bytes:
    """What an answer that was cut short says besides; nothing for one that was not."""
    return b',"partial":true,"partial_reason":%b' % orjson.dumps(reason) if reason else b""


def index_headers(
    source: Source, generation: int | None, age_s: float, plan: str, started: float
) -> dict[str, str]:
    """Of an answer from a generation of the index, or None: from Postgres; asked for at `started`."""
    return {
        SEARCH_SOURCE.name: source,
        INDEX_GENERATION.name: generation_text(generation),
        INDEX_AGE.name: _age(age_s),
        SERVER_TIMING.name: _timing(source, plan, started),
    }


def _age(age_s: float) -> str:
    return f"{age_s:.1f}"


def _timing(source: str, plan: str, started: float) -> str:
    return f'{source};desc="{plan}";dur={(time.perf_counter() - started) * 1000:.2f}'


def source_of(generation: int | None) -> Source:
    """Where an answer was read that is of this generation, or of none."""
    return Source.POSTGRES if generation is None else Source.REDIS
