"""The service that is load-tested: whether it answers and lets us, what it has, and what is known of it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from app.domain.access import INDEX_ADMIN, INSTRUMENTS_READ, INSTRUMENTS_WRITE, PROFILES_READ, PROFILES_WRITE
from loadtests.corpus import Entry, entry_of
from loadtests.plan import KEY_VARIABLE
from loadtests.shapes import LoadTestError

USERS_SCOPES: Final = (INSTRUMENTS_READ, PROFILES_READ, PROFILES_WRITE)
DISTURBING_SCOPES: Final = (INSTRUMENTS_WRITE, INDEX_ADMIN)
_NEEDS: Final = {
    INSTRUMENTS_READ: ("GET", "/v1/instruments/search"),
    INSTRUMENTS_WRITE: ("POST", "/v1/instruments"),
    PROFILES_READ: ("GET", "/v1/subscription-profiles"),
    PROFILES_WRITE: ("POST", "/v1/subscription-profiles"),
    INDEX_ADMIN: ("GET", "/v1/admin/index"),
}
"""A request that only those with a scope get through to; the empty objects that are sent are refused then."""
_PAGE: Final = 100
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)


@asynccontextmanager
async def open_service(url: str, key: str | None) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the service. Raises LoadTestError where it ceases to answer."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with aiohttp.ClientSession(_base(url), headers=headers, timeout=_TIMEOUT) as session:
            yield session
    except (aiohttp.ClientError, TimeoutError) as error:
        raise LoadTestError(
            f"--url: {url} does not answer ({error or type(error).__name__}); start the service, "
            "or name the one that runs"
        ) from error


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.path or parts.query:
        raise LoadTestError(f"--url: {url} is no URL like http://127.0.0.1:8080")
    return url


async def describe(session: aiohttp.ClientSession, scopes: Sequence[str]) -> dict[str, Any]:
    """What the service tells of itself. Raises LoadTestError where the key lacks one of `scopes`."""
    for scope in scopes:
        method, path = _NEEDS[scope]
        async with session.request(method, path, json={} if method == "POST" else None) as response:
            if response.status in (401, 403):
                raise LoadTestError(
                    f"{KEY_VARIABLE}: {await detail_of(response)}; it must be a key with the scopes "
                    f"{', '.join(scopes)} (keys create)"
                )
            if response.status >= 500:
                raise LoadTestError(f"{path} answers {response.status}; wait until the service is ready")
    live, _ = await _read(session, "/health/live")
    ready, _ = await _read(session, "/health/ready")
    found, headers = await _read(session, "/v1/instruments/search?limit=1")
    limit = headers.get("RateLimit-Limit")
    return {
        "version": live.get("version"),
        "release": live.get("release"),
        "ready": ready,
        "instruments": found.get("total"),
        "requests_per_minute": None if limit is None else int(limit),
    }


async def _read(session: aiohttp.ClientSession, path: str) -> tuple[dict[str, Any], Mapping[str, str]]:
    """The JSON at a path, and its headers. Raises LoadTestError where there is none."""
    async with session.get(path) as response:
        try:
            content = orjson.loads(await response.read())
        except orjson.JSONDecodeError as error:
            raise LoadTestError(
                f"--url: {response.url} answers {response.status} without JSON; "
                "is that an instrument registry?"
            ) from error
    return content, response.headers


async def read_catalog(session: aiohttp.ClientSession, limit: int) -> list[Entry]:
    """The first instruments of the service's catalog: by relevance, so the most prominent ones."""
    entries: list[Entry] = []
    query = {"limit": str(_PAGE), "fields": "id,symbol,name,identifiers"}
    while len(entries) < limit:
        async with session.get("/v1/instruments/search", params=query) as response:
            if response.status != 200:
                raise LoadTestError(f"the catalog cannot be read: {await detail_of(response)}")
            page = orjson.loads(await response.read())
        entries += map(entry_of, page["hits"])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    if not entries:
        raise LoadTestError("the service has no instruments; import some, or name another with --url")
    return entries[:limit]


async def detail_of(response: aiohttp.ClientResponse) -> str:
    """What a refusal says, as far as it is a problem of the service's."""
    try:
        return str(orjson.loads(await response.read())["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"{response.status} {response.reason}"
