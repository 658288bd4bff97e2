"""The handler that tells callers who they are taken for."""

from aiohttp import web

from app.web.json_answer import json_answer
from app.web.services import PRINCIPAL, SERVICES


async def caller(request: web.Request) -> web.Response:
    principal = request[PRINCIPAL]
    return json_answer(
        {
            "name": principal.name,
            "owner": principal.owner,
            "anonymous": principal is request.app[SERVICES].anonymous,
            "scopes": sorted(principal.scopes),
            "expires_at": principal.expires_at,
        }
    )
