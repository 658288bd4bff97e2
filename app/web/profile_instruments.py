"""Handlers for a profile's instruments: edit the listed ones, and page through what it resolves to."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import orjson
from aiohttp import hdrs, web

from app.domain.cursor import decode_cursor, decode_token, encode_cursor, encode_token
from app.domain.errors import InvalidInput, PostgresUnavailable
from app.domain.member_edit import Edited, Outcome, Result, parse_member_edit
from app.domain.query import Search, parse_cursor_page
from app.store.instruments import read_members
from app.store.profile_rows import ShownProfile, public_profile_id
from app.web.finished import FinishedResponse
from app.web.headers import INDEX_AGE, INDEX_GENERATION, PROFILE_SOURCE, SEARCH_SOURCE
from app.web.json_body import read_json
from app.web.once import once_of, replay_headers
from app.web.preconditions import entity_tag, optional_match
from app.web.profiles import author_of, counted, profile_id_of
from app.web.query_string import query_pairs
from app.web.search_answers import partial_fields
from app.web.services import SERVICES, Services


@counted("edit")
async def edit(request: web.Request) -> web.Response:
    """Add and remove listed members. If-Match is optional, for edits of different members commute."""
    accepts = optional_match(request)
    document, raw = await read_json(request)
    member_edit = parse_member_edit(document)
    answer = await request.app[SERVICES].profiles.edit(
        author_of(request),
        profile_id_of(request),
        accepts,
        member_edit,
        lambda profile, edited: _report(profile, edited, by_item=not member_edit.atomic),
        once_of(request, raw),
    )
    headers = {hdrs.ETAG: entity_tag(answer.version), **replay_headers(answer)}
    return FinishedResponse(answer.body, headers=headers)


@counted("resolve")
async def resolve(request: web.Request) -> web.Response:
    """One page of the instruments that the profile resolves to now.

    Listed members come in their order, those of a saved search in the search's order.
    """
    services = request.app[SERVICES]
    limit, cursor = parse_cursor_page(
        query_pairs(request), max_limit=services.parameters.max_results_per_page
    )
    profile, source = await services.profiles.read(author_of(request), profile_id_of(request))
    selection = profile.selection
    if isinstance(selection, Search):
        response = await _search(services, selection, limit, cursor)
    else:
        response = await _list(services, profile.id, selection, limit, cursor)
    response.headers[PROFILE_SOURCE.name] = source.value
    response.headers[hdrs.ETAG] = entity_tag(profile.version)
    return response


async def _search(services: Services, search: Search, limit: int, cursor: str | None) -> web.Response:
    page = await services.searches.selection(
        replace(search, limit=limit),
        None if cursor is None else decode_cursor(cursor, search),
        services.parameters.search_timeout,
    )
    next_cursor = encode_cursor(page.next, search) if page.next else None
    response = _page(page.hits, page.total, next_cursor, "redis", page.partial)
    response.headers[INDEX_GENERATION.name] = str(page.generation)
    response.headers[INDEX_AGE.name] = f"{page.age_s:.1f}"
    return response


async def _list(
    services: Services, profile_id: UUID, members: Sequence[int], limit: int, cursor: str | None
) -> web.Response:
    """Listed members as Postgres has them; while it is away, as the index has them.

    The cursor holds the last member's position, which Postgres alone knows (else 0), and how many were
    seen; so that members neither repeat nor are missed while others come and go.
    """
    position, seen = (0, 0) if cursor is None else _decode_position(cursor)
    partial = None
    try:
        found = await read_members(
            services.postgres,
            profile_id,
            after=position,
            skip=seen if position == 0 else 0,
            limit=limit + 1,
        )
    except PostgresUnavailable:
        wanted = members[seen : seen + limit]
        documents, source = await services.index.read_documents(wanted), "redis"
        if len(documents) < len(wanted):
            partial = "Postgres is away, and the index does not have every member"
        more, position = len(members) > seen + limit, 0
    else:
        documents, source = [json for _, json in found[:limit]], "postgres"
        more, position = len(found) > limit, found[:limit][-1][0] if found else 0
    next_cursor = encode_token(orjson.dumps([position, seen + limit])) if more else None
    return _page(documents, len(members), next_cursor, source, partial)


def _page(
    documents: Sequence[bytes], total: int, next_cursor: str | None, source: str, partial: str | None
) -> web.Response:
    body = b'{"instruments":[%b],"total":%d,"total_is_exact":%b,"next_cursor":%b%b}' % (
        b",".join(documents),
        total,
        b"false" if partial else b"true",
        orjson.dumps(next_cursor),
        partial_fields(partial),
    )
    return FinishedResponse(body, headers={SEARCH_SOURCE.name: source})


def _decode_position(text: str) -> tuple[int, int]:
    try:
        position, seen = orjson.loads(decode_token(text))
        if not all(type(number) is int and 0 <= number < 2**53 for number in (position, seen)):
            raise ValueError("not a position")
    except (ValueError, TypeError) as error:
        raise InvalidInput.of("cursor", "is not a cursor of this list; start again without it") from error
    return position, seen


def _report(profile: ShownProfile, edited: Edited, *, by_item: bool) -> bytes:
    report: dict[str, object] = {
        "profile_id": public_profile_id(profile.id),
        "version": profile.version,
        "instrument_count": len(edited.members),
        **{result.value: edited.count(result) for result in Result},
    }
    if by_item:
        report["items"] = [_reported(outcome) for outcome in edited.outcomes]
    return orjson.dumps(report)


def _reported(outcome: Outcome) -> dict[str, str]:
    item = outcome.item
    reported = {"field": item.field, "instrument": item.text, "result": outcome.result.value}
    return {**reported, "message": outcome.message} if outcome.message else reported
