"""Requests over one pooled session: timeouts, retries, and answers or errors.

A request is `repeatable` when carrying it out twice does no harm: a reading, a write with an Idempotency-Key
or with If-Match. Any other is tried again only where it was certainly not carried out: where no connection
was made, or the service refused it for coming too often.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp

from instrument_registry_client.errors import (
    ClientError,
    IncompleteAnswer,
    UnexpectedAnswer,
    Unreachable,
    error_of,
)
from instrument_registry_client.retries import RETRIED_STATUSES, RetryPolicy, parse_retry_after

Parameters: TypeAlias = Mapping[str, Any]
"""Texts, numbers, truth values, lists of texts; None is left out."""

REQUEST_ID: Final = "X-Request-ID"
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise UnexpectedAnswer(
                "the answer is no JSON; is that the address of an instrument registry?"
            ) from error


class Receiving:
    """An answer that comes in parts."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises IncompleteAnswer where the end is missing."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise IncompleteAnswer("the answer was broken off; ask again") from error


class Transport:
    """Use it as an asynchronous context manager; it opens its session then."""

    def __init__(
        self, url: str, key: str | None, timeout_s: float, retries: RetryPolicy, max_connections: int
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is no URL like http://127.0.0.1:8080")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ValueError("the key holds characters that no key has")
        self.url = url.rstrip("/")
        self.retries = retries
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._max_connections = max_connections
        self._opened: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                headers=self._headers,
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                cookie_jar=aiohttp.DummyCookieJar(),
            )

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def get(
        self, path: str, parameters: Parameters | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await self.send("GET", path, parameters=parameters, headers=headers, repeatable=True)

    async def send(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters | None = None,
        document: object = None,
        headers: Mapping[str, str] | None = None,
        request_id: str | None = None,
        repeatable: bool,
        reading: bool = False,
    ) -> Answer:
        """The answer, when it is a good one. Raises ClientError.

        Every attempt carries the request id, if one is given. `reading`: it changes nothing, whatever its
        method; a GET never does.
        """
        sent = dict(headers or {})
        if request_id is not None:
            sent[REQUEST_ID] = request_id
        body = None
        if document is not None:
            body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
            sent.setdefault("Content-Type", "application/json")
        outcome_unknown = False
        attempt = 1
        while True:
            try:
                return await self._attempt(method, path, _pairs(parameters), body, sent)
            except ClientError as error:
                certain = _is_certainly_not_done(error)
                outcome_unknown |= not certain
                error.outcome_unknown = outcome_unknown and not (reading or method == "GET")
                retried = is_worth_a_retry(error) and (repeatable or certain)
                if not retried or not self.retries.allows(attempt, error.retry_after_s):
                    raise
                wait_s = self.retries.wait_s(attempt, error.retry_after_s)
            await asyncio.sleep(wait_s)
            attempt += 1

    @asynccontextmanager
    async def receive(
        self, path: str, headers: Mapping[str, str], *, silence_s: float
    ) -> AsyncIterator["Receiving"]:
        """A long answer while it comes, without retries; `silence_s` is the longest pause in it.

        Raises ClientError.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout.total, sock_read=silence_s)
        asking = self._session.get(self.url + path, headers=headers, timeout=timeout, allow_redirects=False)
        try:
            response = await asking
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(self.url, error) from error
        async with response:
            receiving = Receiving(response)
            if response.status != 200:
                raise _error(response, b"".join([chunk async for chunk in receiving.chunks()]))
            yield receiving

    async def _attempt(
        self,
        method: str,
        path: str,
        pairs: Sequence[tuple[str, str]],
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        try:
            async with self._session.request(
                method,
                self.url + path,
                params=pairs,
                data=body,
                headers=headers,
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(self.url, error) from error
        if 200 <= response.status < 300:
            return Answer(response.status, response.headers, content)
        raise _error(response, content)

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            raise RuntimeError("the client is not open; use it inside `async with`")
        return self._opened


def _pairs(parameters: Parameters | None) -> list[tuple[str, str]]:
    """A query string's pairs: None is left out, several values are repeated."""
    pairs: list[tuple[str, str]] = []
    for name, value in (parameters or {}).items():
        if isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        elif isinstance(value, list | tuple):
            pairs += ((name, str(one)) for one in value)
        elif value is not None:
            pairs.append((name, str(value)))
    return pairs


def _error(response: aiohttp.ClientResponse, body: bytes) -> ClientError:
    retry_after_s = parse_retry_after(response.headers.get("Retry-After"))
    return error_of(response.status, body, response.headers, retry_after_s)


def _unreachable(url: str, error: Exception) -> Unreachable:
    if isinstance(error, TimeoutError):
        return Unreachable(f"{url} does not answer in time")
    return Unreachable(f"{url} does not answer ({error or type(error).__name__})")


def _is_certainly_not_done(error: ClientError) -> bool:
    """Whether the request had no effect: it was refused, or never sent."""
    if error.status is not None:
        return error.status < 500
    return isinstance(error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def is_worth_a_retry(error: ClientError) -> bool:
    if error.status == _CONFLICT:  # an attempt before is still being carried out
        return error.retry_after_s is not None
    return error.status in RETRIED_STATUSES or isinstance(error, Unreachable | IncompleteAnswer)
