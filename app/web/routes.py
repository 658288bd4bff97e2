"""The route table: every endpoint with the scope that it needs."""

from typing import Final

from aiohttp import web

from app.domain.access import INSTRUMENTS_READ, PROFILES_READ, PROFILES_WRITE
from app.web import instruments, operations, profile_instruments, profiles
from app.web.endpoint import Endpoint

_JSON: Final = ("application/json",)
_PATCH: Final = ("application/merge-patch+json", "application/json")

_PROFILE: Final = profiles.PATH + "/{id}"
_MEMBERS: Final = _PROFILE + "/instruments"

ENDPOINTS: Final = (
    Endpoint("search", "GET", "/v1/instruments/search", instruments.search, INSTRUMENTS_READ),
    Endpoint("suggest", "GET", "/v1/instruments/suggest", instruments.suggest, INSTRUMENTS_READ),
    Endpoint("instrument", "GET", "/v1/instruments/{id}", instruments.one, INSTRUMENTS_READ),
    Endpoint("history", "GET", "/v1/instruments/{id}/history", instruments.history, INSTRUMENTS_READ),
    Endpoint("create_profile", "POST", profiles.PATH, profiles.create, PROFILES_WRITE, _JSON),
    Endpoint("profiles", "GET", profiles.PATH, profiles.page, PROFILES_READ),
    Endpoint("profile", "GET", _PROFILE, profiles.one, PROFILES_READ),
    Endpoint("replace_profile", "PUT", _PROFILE, profiles.replace, PROFILES_WRITE, _JSON),
    Endpoint("patch_profile", "PATCH", _PROFILE, profiles.patch, PROFILES_WRITE, _PATCH),
    Endpoint("delete_profile", "DELETE", _PROFILE, profiles.delete, PROFILES_WRITE),
    Endpoint("edit_members", "POST", _MEMBERS, profile_instruments.edit, PROFILES_WRITE, _JSON),
    Endpoint("profile_instruments", "GET", _MEMBERS, profile_instruments.resolve, PROFILES_READ),
    Endpoint("profile_events", "GET", _PROFILE + "/events", profiles.events, PROFILES_READ),
    Endpoint("live", "GET", "/health/live", operations.live, None),
    Endpoint("ready", "GET", "/health/ready", operations.ready, None),
    Endpoint("metrics", "GET", "/metrics", operations.prometheus, None),
    Endpoint("root", "GET", "/", operations.root, None),
)


def route_table() -> list[web.RouteDef]:
    return [
        web.RouteDef(
            endpoint.method,
            endpoint.path,
            endpoint.handler,
            {"name": endpoint.name, **({"allow_head": True} if endpoint.method == "GET" else {})},
        )
        for endpoint in ENDPOINTS
    ]
