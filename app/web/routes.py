"""The route table: every endpoint with the scope that it needs, what it takes and what it answers."""

from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from app.domain import errors, query_schema
from app.domain.access import INDEX_ADMIN, INSTRUMENTS_READ, PROFILES_READ, PROFILES_WRITE
from app.domain.instrument import PUBLIC_ID_PATTERN
from app.domain.member_edit import MemberEditDocument
from app.domain.profile import ProfileDocument
from app.domain.profile_page import profile_page_schema
from app.store.profile_rows import PUBLIC_ID_PATTERN as PROFILE_ID_PATTERN
from app.web import (
    answers,
    event_stream,
    feeds,
    headers,
    index_admin,
    instruments,
    operations,
    paths,
    profile_instruments,
    profiles,
)
from app.web.endpoint import Answer, Endpoint

_JSON: Final = ("application/json",)
_PATCH: Final = ("application/merge-patch+json", "application/json")

_PROFILE: Final = profiles.PATH + "/{id}"
_MEMBERS: Final = _PROFILE + "/instruments"
_INSTRUMENT_ID: Final = {"id": {"type": "string", "pattern": PUBLIC_ID_PATTERN}}
_PROFILE_ID: Final = {"id": {"type": "string", "pattern": PROFILE_ID_PATTERN}}

_JOB: Final = paths.INDEX_JOBS + "/{id}"
_JOB_ID: Final = {"id": {"type": "string", "pattern": index_admin.JOB_ID_PATTERN}}
_ASKED: Final = (Answer(answers.IndexJob, HTTPStatus.ACCEPTED, (headers.LOCATION,)),)
_INDEX_HEADERS: Final = (
    headers.SEARCH_SOURCE,
    headers.INDEX_GENERATION,
    headers.INDEX_AGE,
    headers.SERVER_TIMING,
)
_PROFILE_SHOWN: Final = Answer(answers.Profile, headers=(headers.ETAG, headers.PROFILE_SOURCE))

ENDPOINTS: Final = (
    Endpoint(
        "search",
        "GET",
        "/v1/instruments/search",
        instruments.search,
        INSTRUMENTS_READ,
        summary="Find instruments by text, by filters, or by both",
        query=query_schema.search,
        answers=(Answer(answers.SearchResult, headers=_INDEX_HEADERS),),
        errors=(errors.CursorExpired, errors.SearchTimedOut),
    ),
    Endpoint(
        "suggest",
        "GET",
        "/v1/instruments/suggest",
        instruments.suggest,
        INSTRUMENTS_READ,
        summary="Suggest instruments as somebody types",
        query=query_schema.suggest,
        answers=(Answer(answers.Suggestions, headers=_INDEX_HEADERS),),
        errors=(errors.SearchTimedOut,),
    ),
    Endpoint(
        "export",
        "GET",
        "/v1/instruments/export",
        feeds.export,
        INSTRUMENTS_READ,
        summary="Send all instruments as they are at one moment, an object in each line",
        answers=(Answer(None, headers=(headers.CHANGES_SINCE,), media_type=feeds.MEDIA_TYPE),),
        is_stream=True,
    ),
    Endpoint(
        "changes",
        "GET",
        "/v1/instruments/changes",
        feeds.changes,
        INSTRUMENTS_READ,
        summary="List what changed in all instruments since a position; without one, where to follow from",
        query=query_schema.changes,
        answers=(Answer(answers.Changes),),
        errors=(errors.CursorExpired,),
    ),
    Endpoint(
        "instrument",
        "GET",
        "/v1/instruments/{id}",
        instruments.one,
        INSTRUMENTS_READ,
        summary="Read an instrument",
        identifiers=_INSTRUMENT_ID,
        headers=(headers.IF_NONE_MATCH, headers.READ_FRESH),
        answers=(Answer(answers.Instrument, headers=(headers.ETAG, headers.SEARCH_SOURCE)),),
    ),
    Endpoint(
        "history",
        "GET",
        "/v1/instruments/{id}/history",
        instruments.history,
        INSTRUMENTS_READ,
        summary="List an instrument's changes, newest first",
        identifiers=_INSTRUMENT_ID,
        query=query_schema.newest_first,
        answers=(Answer(answers.InstrumentHistory),),
    ),
    Endpoint(
        "create_profile",
        "POST",
        profiles.PATH,
        profiles.create,
        PROFILES_WRITE,
        _JSON,
        summary="Create a subscription profile",
        body=ProfileDocument,
        headers=(headers.IDEMPOTENCY_KEY,),
        answers=(
            Answer(
                answers.Profile,
                HTTPStatus.CREATED,
                (headers.LOCATION, headers.ETAG, headers.REPLAYED),
            ),
        ),
        errors=(errors.NameTaken,),
    ),
    Endpoint(
        "profiles",
        "GET",
        profiles.PATH,
        profiles.page,
        PROFILES_READ,
        summary="List subscription profiles in the order of their creation",
        query=profile_page_schema,
        answers=(Answer(answers.ProfileList, headers=(headers.PROFILE_SOURCE,)),),
    ),
    Endpoint(
        "profile",
        "GET",
        _PROFILE,
        profiles.one,
        PROFILES_READ,
        summary="Read a subscription profile",
        identifiers=_PROFILE_ID,
        headers=(headers.IF_NONE_MATCH,),
        answers=(_PROFILE_SHOWN,),
    ),
    Endpoint(
        "replace_profile",
        "PUT",
        _PROFILE,
        profiles.replace,
        PROFILES_WRITE,
        _JSON,
        summary="Replace a subscription profile",
        identifiers=_PROFILE_ID,
        body=ProfileDocument,
        headers=(headers.IF_MATCH,),
        answers=(_PROFILE_SHOWN,),
        errors=(errors.NameTaken,),
    ),
    Endpoint(
        "patch_profile",
        "PATCH",
        _PROFILE,
        profiles.patch,
        PROFILES_WRITE,
        _PATCH,
        summary="Change parts of a subscription profile, by a merge patch (RFC 7396)",
        identifiers=_PROFILE_ID,
        body=ProfileDocument,
        headers=(headers.IF_MATCH,),
        answers=(_PROFILE_SHOWN,),
        errors=(errors.NameTaken,),
    ),
    Endpoint(
        "delete_profile",
        "DELETE",
        _PROFILE,
        profiles.delete,
        PROFILES_WRITE,
        summary="Delete a subscription profile; its events stay",
        identifiers=_PROFILE_ID,
        headers=(headers.IF_MATCH,),
        answers=(Answer(None, HTTPStatus.NO_CONTENT, media_type=None),),
    ),
    Endpoint(
        "edit_members",
        "POST",
        _MEMBERS,
        profile_instruments.edit,
        PROFILES_WRITE,
        _JSON,
        summary="Add and remove a profile's listed instruments: all or nothing, or item by item",
        identifiers=_PROFILE_ID,
        body=MemberEditDocument,
        headers=(headers.IF_MATCH.optional(), headers.IDEMPOTENCY_KEY),
        answers=(Answer(answers.MemberEditReport, headers=(headers.ETAG, headers.REPLAYED)),),
        errors=(errors.PreconditionFailed, errors.Conflict),
    ),
    Endpoint(
        "profile_instruments",
        "GET",
        _MEMBERS,
        profile_instruments.resolve,
        PROFILES_READ,
        summary="List the instruments that a profile resolves to now",
        identifiers=_PROFILE_ID,
        query=query_schema.by_cursor,
        answers=(
            Answer(
                answers.ResolvedInstruments,
                headers=(
                    headers.ETAG,
                    headers.PROFILE_SOURCE,
                    headers.SEARCH_SOURCE,
                    headers.INDEX_GENERATION.optional(),
                    headers.INDEX_AGE.optional(),
                ),
            ),
        ),
        errors=(errors.CursorExpired, errors.SearchTimedOut),
    ),
    Endpoint(
        "profile_events",
        "GET",
        _PROFILE + "/events",
        profiles.events,
        PROFILES_READ,
        summary="List what happened to a subscription profile, newest first, also when it is deleted",
        identifiers=_PROFILE_ID,
        query=query_schema.newest_first,
        answers=(Answer(answers.ProfileEvents),),
    ),
    Endpoint(
        "profile_stream",
        "GET",
        _PROFILE + "/stream",
        event_stream.stream,
        PROFILES_READ,
        summary="Send what happens to a profile and its instruments, as server-sent events",
        identifiers=_PROFILE_ID,
        query=query_schema.stream,
        headers=(headers.LAST_EVENT_ID,),
        answers=(
            Answer(
                None,
                headers=(headers.CACHE_CONTROL, headers.UNBUFFERED),
                media_type=event_stream.MEDIA_TYPE,
            ),
        ),
        errors=(errors.TooManyStreams, errors.SearchTimedOut),
        is_stream=True,
    ),
    Endpoint(
        "index",
        "GET",
        paths.INDEX,
        index_admin.state,
        INDEX_ADMIN,
        summary="Show the search index: what is live, how far behind, who leads",
        answers=(Answer(answers.IndexState),),
    ),
    Endpoint(
        "rebuild_index",
        "POST",
        paths.INDEX + "/rebuild",
        index_admin.rebuild,
        INDEX_ADMIN,
        summary="Ask for the next generation, built beside the live one",
        answers=_ASKED,
        errors=(errors.JobUnderWay,),
    ),
    Endpoint(
        "roll_back_index",
        "POST",
        paths.INDEX + "/rollback",
        index_admin.rollback,
        INDEX_ADMIN,
        summary="Ask to go back to the generation that was live before",
        answers=_ASKED,
        errors=(errors.JobUnderWay,),
    ),
    Endpoint(
        "index_jobs",
        "GET",
        paths.INDEX_JOBS,
        index_admin.jobs,
        INDEX_ADMIN,
        summary="List what the indexer was asked for, newest first",
        query=query_schema.newest_first,
        answers=(Answer(answers.IndexJobs),),
    ),
    Endpoint(
        "index_job",
        "GET",
        _JOB,
        index_admin.job,
        INDEX_ADMIN,
        summary="Read a job: how far it is, what was verified",
        identifiers=_JOB_ID,
        answers=(Answer(answers.IndexJob),),
    ),
    Endpoint(
        "cancel_index_job",
        "DELETE",
        _JOB,
        index_admin.cancel,
        INDEX_ADMIN,
        summary="Cancel a job, unless it swaps already",
        identifiers=_JOB_ID,
        answers=(Answer(answers.IndexJob, HTTPStatus.ACCEPTED),),
        errors=(errors.Conflict,),
    ),
    Endpoint(
        "live",
        "GET",
        "/health/live",
        operations.live,
        None,
        summary="Tell that the process is up",
        answers=(Answer(answers.Liveness),),
    ),
    Endpoint(
        "ready",
        "GET",
        "/health/ready",
        operations.ready,
        None,
        summary="Tell whether searches can be answered, and what is degraded",
        answers=(
            Answer(answers.Readiness),
            Answer(answers.Readiness, HTTPStatus.SERVICE_UNAVAILABLE),
        ),
    ),
    Endpoint(
        "metrics",
        "GET",
        "/metrics",
        operations.prometheus,
        None,
        summary="Show metrics in Prometheus's text format",
        answers=(Answer(None, media_type="text/plain"),),
    ),
    Endpoint(
        "openapi",
        "GET",
        "/openapi.json",
        operations.openapi,
        None,
        summary="Show this description",
        headers=(headers.IF_NONE_MATCH,),
        answers=(Answer(None, headers=(headers.ETAG, headers.CACHE_CONTROL)),),
    ),
    Endpoint(
        "root",
        "GET",
        "/",
        operations.root,
        None,
        summary="Say what runs here",
        answers=(Answer(answers.Service),),
    ),
)


def route_table() -> list[web.RouteDef]:
    return [
        web.RouteDef(
            endpoint.method,
            endpoint.path,
            endpoint.handler,
            {
                "expect_handler": _expect,
                **({"allow_head": not endpoint.is_stream} if endpoint.method == "GET" else {}),
            },
        )
        for endpoint in ENDPOINTS
    ]


async def _expect(request: web.Request) -> None:
    """Let callers go on who wait for that; other expectations may be ignored (RFC 9110, section 10.1.1).

    aiohttp's own handler refuses those before the boundary: without a request id, and not as a problem.
    """
    if request.headers[hdrs.EXPECT].lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
