"""The endpoints of subscription profiles."""

from http import HTTPStatus
from typing import Final

from app.domain import errors, query_schema
from app.domain.access import PROFILES_READ, PROFILES_WRITE
from app.domain.member_edit import MemberEditDocument
from app.domain.profile import ProfileDocument
from app.domain.profile_page import profile_page_schema
from app.web import answers, event_stream, headers, profile_instruments, profiles
from app.web.endpoint import JSON, MERGE_PATCH, Answer, Endpoint, id_of

_PROFILE: Final = profiles.PATH + "/{id}"
_MEMBERS: Final = _PROFILE + "/instruments"
_ID: Final = id_of(answers.ProfileId)
_SHOWN: Final = Answer(answers.Profile, headers=(headers.ETAG, headers.PROFILE_SOURCE))

ENDPOINTS: Final = (
    Endpoint(
        "create_profile",
        "POST",
        profiles.PATH,
        profiles.create,
        PROFILES_WRITE,
        JSON,
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
        identifiers=_ID,
        headers=(headers.IF_NONE_MATCH,),
        answers=(_SHOWN,),
    ),
    Endpoint(
        "replace_profile",
        "PUT",
        _PROFILE,
        profiles.replace,
        PROFILES_WRITE,
        JSON,
        summary="Replace a subscription profile",
        identifiers=_ID,
        body=ProfileDocument,
        headers=(headers.IF_MATCH,),
        answers=(_SHOWN,),
        errors=(errors.NameTaken,),
    ),
    Endpoint(
        "patch_profile",
        "PATCH",
        _PROFILE,
        profiles.patch,
        PROFILES_WRITE,
        MERGE_PATCH,
        summary="Change parts of a subscription profile, by a merge patch (RFC 7396)",
        identifiers=_ID,
        body=ProfileDocument,
        headers=(headers.IF_MATCH,),
        answers=(_SHOWN,),
        errors=(errors.NameTaken,),
    ),
    Endpoint(
        "delete_profile",
        "DELETE",
        _PROFILE,
        profiles.delete,
        PROFILES_WRITE,
        summary="Delete a subscription profile; its events stay",
        identifiers=_ID,
        headers=(headers.IF_MATCH,),
        answers=(Answer(None, HTTPStatus.NO_CONTENT, media_type=None),),
    ),
    Endpoint(
        "edit_members",
        "POST",
        _MEMBERS,
        profile_instruments.edit,
        PROFILES_WRITE,
        JSON,
        summary="Add and remove a profile's listed instruments: all or nothing, or item by item",
        identifiers=_ID,
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
        identifiers=_ID,
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
        identifiers=_ID,
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
        identifiers=_ID,
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
)
