"""Handlers for subscription profiles: create, list, read, replace, patch, delete, and their audit trail."""

from collections.abc import Callable
from functools import cache, partial, wraps
from http import HTTPStatus
from typing import Final
from uuid import UUID

import orjson
from aiohttp import hdrs, web

from app import metrics
from app.domain.access import PROFILES_ADMIN
from app.domain.cursor import decode_token, encode_token
from app.domain.errors import InvalidInput, NotFound
from app.domain.profile import parse_profile
from app.domain.profile_page import parse_profile_page
from app.domain.profile_patch import named_instruments, patch_profile
from app.domain.query import parse_page
from app.store.profile_rows import ShownProfile, parse_profile_id, public_profile_id
from app.store.profile_writes import Author
from app.store.source import Source
from app.web.endpoint import Handler
from app.web.finished import FinishedResponse
from app.web.headers import PROFILE_SOURCE, REPLAYED
from app.web.json_body import read_json
from app.web.once import once_of, replay_headers
from app.web.pages import newest_first
from app.web.preconditions import entity_tag, is_known, required_match
from app.web.query_string import query_pairs
from app.web.services import PRINCIPAL, REQUEST_ID, SERVICES

PATH: Final = "/v1/subscription-profiles"


def counted(operation: str) -> Callable[[Handler], Handler]:
    """Counts what becomes of a handler's requests."""

    counter = cache(partial(metrics.PROFILE_OPERATIONS.labels, operation))

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def counting(request: web.Request) -> web.StreamResponse:
            result = "done"
            try:
                response = await handler(request)
                if response.status == HTTPStatus.NOT_MODIFIED:
                    result = "not_modified"
                elif REPLAYED.name in response.headers:
                    result = "replayed"
            except Exception as error:
                result = type(error).__name__
                raise
            finally:
                counter(result).inc()
            return response

        return counting

    return decorate


@counted("create")
async def create(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    document, raw = await read_json(request)
    content = parse_profile(document, services.profiles.limits)
    answer = await services.profiles.create(author_of(request), content, once_of(request, raw))
    headers: dict[str, str] = {
        hdrs.LOCATION: f"{PATH}/{public_profile_id(answer.subject)}",
        hdrs.ETAG: entity_tag(answer.version),
        **replay_headers(answer),
    }
    return FinishedResponse(answer.body, status=201, headers=headers)


@counted("list")
async def page(request: web.Request) -> web.Response:
    """One page in the order of creation; the cursor is the last id seen."""
    services = request.app[SERVICES]
    asked = parse_profile_page(query_pairs(request), max_limit=services.parameters.max_results_per_page)
    found = await services.profiles.page(
        author_of(request),
        owner=asked.owner,
        statuses=asked.statuses,
        after=_decode_cursor(asked.cursor) if asked.cursor else None,
        limit=asked.limit + 1,
    )
    shown = found[: asked.limit]
    next_cursor = encode_token(shown[-1].id.bytes) if len(found) > len(shown) else None
    profiles = b",".join(summary.json for summary in shown)
    body = b'{"profiles":[%b],"next_cursor":%b}' % (profiles, orjson.dumps(next_cursor))
    return FinishedResponse(body, headers={PROFILE_SOURCE.name: Source.POSTGRES.value})


@counted("read")
async def one(request: web.Request) -> web.Response:
    profile, source = await request.app[SERVICES].profiles.read(author_of(request), profile_id_of(request))
    headers = {hdrs.ETAG: entity_tag(profile.version), PROFILE_SOURCE.name: source.value}
    if is_known(request, profile.version):
        return web.Response(status=304, headers=headers)
    return FinishedResponse(profile.json, headers=headers)


@counted("replace")
async def replace(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    accepts = required_match(request)
    document, _ = await read_json(request)
    content = parse_profile(document, services.profiles.limits)
    return _shown(
        await services.profiles.update(
            author_of(request), profile_id_of(request), accepts, lambda _: content, content.instruments or ()
        )
    )


@counted("patch")
async def patch(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    accepts = required_match(request)
    changes, _ = await read_json(request)
    return _shown(
        await services.profiles.update(
            author_of(request),
            profile_id_of(request),
            accepts,
            lambda content: patch_profile(content, changes, services.profiles.limits),
            named_instruments(changes),
        )
    )


@counted("delete")
async def delete(request: web.Request) -> web.Response:
    await request.app[SERVICES].profiles.delete(
        author_of(request), profile_id_of(request), required_match(request)
    )
    return web.Response(status=204)


@counted("events")
async def events(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    limit, before = parse_page(query_pairs(request), max_limit=services.parameters.max_results_per_page)
    entries = await services.profiles.events(
        author_of(request), profile_id_of(request), before=before, limit=limit
    )
    return newest_first("events", entries, "number", limit)


def author_of(request: web.Request) -> Author:
    principal = request[PRINCIPAL]
    return Author(principal.owner, PROFILES_ADMIN in principal.scopes, principal.name, request[REQUEST_ID])


def profile_id_of(request: web.Request) -> UUID:
    profile_id = parse_profile_id(request.match_info["id"])
    if profile_id is None:
        raise NotFound(f"there is no profile {request.match_info['id'][:40]!r}")
    return profile_id


def _shown(profile: ShownProfile) -> web.Response:
    headers = {hdrs.ETAG: entity_tag(profile.version), PROFILE_SOURCE.name: Source.POSTGRES.value}
    return FinishedResponse(profile.json, headers=headers)


def _decode_cursor(text: str) -> UUID:
    try:
        return UUID(bytes=decode_token(text))
    except ValueError as error:
        raise InvalidInput.of("cursor", "is not a cursor of this list; start again without it") from error
