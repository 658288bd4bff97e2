"""API keys: 256 random bits, shown once; Postgres keeps only their SHA-256.

A hash without salt and stretching is enough here: it protects secrets that people choose, and these
are random. Keys look like `ir_` and 43 characters of URL-safe Base64.
"""

import hashlib
import secrets
from typing import Final

from app.domain.access import API_KEY_PREFIX

_SECRET_BYTES: Final = 32


def new_key() -> str:
    return API_KEY_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def key_hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
