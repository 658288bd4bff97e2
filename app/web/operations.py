"""Handlers for whoever runs the service: health, metrics, the description."""

from hashlib import blake2b
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST

from app.domain.errors import PostgresUnavailable, RedisUnavailable
from app.parameters.shown import shown
from app.store.index_state import IndexState
from app.web.finished import FinishedResponse
from app.web.json_answer import json_answer
from app.web.preconditions import entity_tag, is_known
from app.web.services import DRAINING, SERVICES, Services

STALE_AFTER_INTERVALS: Final = 3
"""The index is stale when this many refresh intervals have passed since it equalled Postgres."""


async def live(request: web.Request) -> web.Response:
    return json_answer(
        {
            "status": "up",
            "version": version("instrument-registry"),
            "release": request.app[SERVICES].release,
        }
    )


async def ready(request: web.Request) -> web.Response:
    """Each part in its own word. Searches are answered from the index, and without it from Postgres."""
    services = request.app[SERVICES]
    postgres = await _postgres_word(services)
    try:
        state = await services.index.read_state()
    except RedisUnavailable:
        redis, index, state = "down", "unknown", None
    else:
        redis, index = "up", _index_word(state, services.parameters.search_index_refresh)
    if request.app[DRAINING].is_set():
        status = "draining"
    elif state is None and postgres != "up":
        status = "unavailable"
    else:
        status = "ready" if postgres == "up" and index == "fresh" else "degraded"
    content: dict[str, Any] = {
        "status": status,
        "postgres": postgres,
        "redis": redis,
        "index": index,
        "profile_copies": "readable" if services.profiles.copies_are_readable else "unused",
        "index_generation": state.generation if state else None,
        "index_age_s": round(state.current_age_s, 1) if state else None,
    }
    return json_answer(
        content, HTTPStatus.OK if status in ("ready", "degraded") else HTTPStatus.SERVICE_UNAVAILABLE
    )


async def prometheus(request: web.Request) -> web.Response:
    body = await request.app[SERVICES].scrape()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def openapi(request: web.Request) -> web.Response:
    description = request.app[SERVICES].describe()
    digest = blake2b(description, digest_size=8).hexdigest()
    headers = {hdrs.ETAG: entity_tag(digest), hdrs.CACHE_CONTROL: "no-cache"}
    if is_known(request, digest):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return FinishedResponse(description, headers=headers)


async def config(request: web.Request) -> web.Response:
    """The parameters as they hold in the process that answers."""
    return json_answer(shown(request.app[SERVICES].parameters))


async def _postgres_word(services: Services) -> str:
    try:
        await services.postgres.ping()
    except PostgresUnavailable:
        return "down"
    return "up"


def _index_word(state: IndexState | None, refresh_s: float) -> str:
    if state is None:
        return "filling"
    return "fresh" if state.current_age_s <= STALE_AFTER_INTERVALS * refresh_s else "stale"
