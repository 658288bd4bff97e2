"""Idempotency keys: what a retry is known by, and how its answer says that it is one."""

import hashlib
import re
from typing import Final

from aiohttp import web

from app.domain.errors import InvalidInput
from app.store.idempotency import Answer, Once
from app.web.headers import IDEMPOTENCY_KEY, REPLAYED
from app.web.services import PRINCIPAL

_IDEMPOTENCY_KEY: Final = re.compile(IDEMPOTENCY_KEY.schema["pattern"])


def once_of(request: web.Request, raw: bytes) -> Once | None:
    """None where the request has no key; `raw` is its body. Raises InvalidInput."""
    return once_of_digest(request, hashlib.sha256(raw).digest())


def once_of_digest(request: web.Request, body_sha256: bytes) -> Once | None:
    """As `once_of`, of a body that is not held in memory."""
    key = request.headers.get(IDEMPOTENCY_KEY.name)
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidInput.of(IDEMPOTENCY_KEY.name, "must be 1 to 255 visible ASCII characters")
    return Once(request[PRINCIPAL].name, request.method, request.path, key, body_sha256)


def replay_headers(answer: Answer) -> dict[str, str]:
    return {REPLAYED.name: "true"} if answer.replayed else {}
