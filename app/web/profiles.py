"""Handlers for subscription profiles: create, list, read, replace, patch, delete, and their audit trail."""

import hashlib
import re
from typing import Final
from uuid import UUID

import orjson
from aiohttp import hdrs, web

from app.domain.access import PROFILES_ADMIN
from app.domain.cursor import decode_token, encode_token
from app.domain.errors import InvalidInput, NotFound
from app.domain.profile import merge_patch, parse_profile, profile_document
from app.domain.profile_page import parse_profile_page
from app.domain.query import parse_page
from app.store.idempotency import Once
from app.store.profile_rows import StoredProfile, parse_profile_id, public_profile_id
from app.store.profiles import Author
from app.web.headers import IDEMPOTENCY_KEY, PROFILE_SOURCE, REPLAYED
from app.web.json_body import read_json
from app.web.pages import newest_first
from app.web.preconditions import entity_tag, is_known, required_match
from app.web.query_string import query_pairs
from app.web.services import PRINCIPAL, REQUEST_ID, SERVICES

PATH: Final = "/v1/subscription-profiles"
SOURCE_HEADER: Final = PROFILE_SOURCE.name
IDEMPOTENCY_HEADER: Final = IDEMPOTENCY_KEY.name
REPLAYED_HEADER: Final = REPLAYED.name
_JSON: Final = "application/json"
_IDEMPOTENCY_KEY: Final = re.compile(IDEMPOTENCY_KEY.schema["pattern"])


async def create(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    document, raw = await read_json(request)
    content = parse_profile(document, services.profiles.limits)
    answer = await services.profiles.create(_author(request), content, _once(request, raw))
    headers: dict[str, str] = {
        hdrs.LOCATION: f"{PATH}/{public_profile_id(answer.profile_id)}",
        hdrs.ETAG: entity_tag(answer.version),
    }
    if answer.replayed:
        headers[REPLAYED_HEADER] = "true"
    return web.Response(status=201, body=answer.body, content_type=_JSON, headers=headers)


async def page(request: web.Request) -> web.Response:
    """One page in the order of creation; the cursor is the last id seen."""
    services = request.app[SERVICES]
    asked = parse_profile_page(query_pairs(request), max_limit=services.parameters.max_results_per_page)
    found = await services.profiles.page(
        _author(request),
        owner=asked.owner,
        statuses=asked.statuses,
        after=_decode_cursor(asked.cursor) if asked.cursor else None,
        limit=asked.limit + 1,
    )
    shown = found[: asked.limit]
    next_cursor = encode_token(shown[-1].id.bytes) if len(found) > len(shown) else None
    profiles = b",".join(summary.json for summary in shown)
    body = b'{"profiles":[%b],"next_cursor":%b}' % (profiles, orjson.dumps(next_cursor))
    return web.Response(body=body, content_type=_JSON, headers={SOURCE_HEADER: "postgres"})


async def one(request: web.Request) -> web.Response:
    stored = await request.app[SERVICES].profiles.read(_author(request), _profile_id(request))
    if is_known(request, stored.version):
        return web.Response(status=304, headers=_headers(stored))
    return _shown(stored)


async def replace(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    accepts = required_match(request)
    document, _ = await read_json(request)
    content = parse_profile(document, services.profiles.limits)
    return _shown(
        await services.profiles.update(_author(request), _profile_id(request), accepts, lambda _: content)
    )


async def patch(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    accepts = required_match(request)
    changes, _ = await read_json(request)
    return _shown(
        await services.profiles.update(
            _author(request),
            _profile_id(request),
            accepts,
            lambda content: parse_profile(
                merge_patch(profile_document(content), changes), services.profiles.limits
            ),
        )
    )


async def delete(request: web.Request) -> web.Response:
    await request.app[SERVICES].profiles.delete(
        _author(request), _profile_id(request), required_match(request)
    )
    return web.Response(status=204)


async def events(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    limit, before = parse_page(query_pairs(request), max_limit=services.parameters.max_results_per_page)
    entries = await services.profiles.events(
        _author(request), _profile_id(request), before=before, limit=limit
    )
    return newest_first("events", entries, "number", limit)


def _author(request: web.Request) -> Author:
    principal = request[PRINCIPAL]
    return Author(principal.owner, PROFILES_ADMIN in principal.scopes, principal.name, request[REQUEST_ID])


def _profile_id(request: web.Request) -> UUID:
    profile_id = parse_profile_id(request.match_info["id"])
    if profile_id is None:
        raise NotFound(f"there is no profile {request.match_info['id'][:40]!r}")
    return profile_id


def _once(request: web.Request, raw: bytes) -> Once | None:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidInput.of(IDEMPOTENCY_HEADER, "must be 1 to 255 visible ASCII characters")
    digest = hashlib.sha256(raw).digest()
    return Once(request[PRINCIPAL].name, request.method, request.path, key, digest)


def _shown(stored: StoredProfile) -> web.Response:
    return web.Response(body=stored.json, content_type=_JSON, headers=_headers(stored))


def _headers(stored: StoredProfile) -> dict[str, str]:
    return {hdrs.ETAG: entity_tag(stored.version), SOURCE_HEADER: "postgres"}


def _decode_cursor(text: str) -> UUID:
    try:
        return UUID(bytes=decode_token(text))
    except ValueError as error:
        raise InvalidInput.of("cursor", "is not a cursor of this list; start again without it") from error
