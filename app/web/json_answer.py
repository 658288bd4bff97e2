"""Answers of JSON that is made for one request."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from app.web.finished import FinishedResponse


def json_answer(
    content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Times become RFC 3339 in UTC."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return FinishedResponse(body, status=status.value, headers=headers)
