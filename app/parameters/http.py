"""A configuration service by plain HTTP and JSON: `{base}/parameters/{name}` holds `{"value": 5000}`.

Readings are conditional (RFC 9110, section 13): what has not changed costs 304 without a body.
"""

import asyncio
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import encode_basic_auth

from app.parameters.address import Address
from app.parameters.definitions import NAMES, Value
from app.parameters.exchange import Exchange, Reply
from app.parameters.service import Reading, Unreadable

_ABSENT: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_CREATED: Final = (HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.NO_CONTENT)


class HttpConfigService:
    """Methods raise ConfigServiceUnavailable."""

    def __init__(self, address: Address, poll_s: float) -> None:
        self.address = address
        self._poll_s = poll_s
        self._exchange = Exchange(address)
        self._headers: dict[str, str] = {}
        if address.user is not None and address.password is not None:
            self._headers["Authorization"] = encode_basic_auth(address.user, address.password)
        self._read: dict[str, tuple[str, object]] = {}
        """What was read last of each parameter, by the ETag that names it."""

    async def open(self) -> None:
        await self._exchange.open()

    async def close(self) -> None:
        await self._exchange.close()

    async def read(self, name: str) -> object | None:
        known = self._read.get(name)
        headers = {} if known is None else {"If-None-Match": known[0]}
        reply = await self._ask("GET", name, headers=headers)
        if reply.status == HTTPStatus.NOT_MODIFIED and known is not None:
            return known[1]
        self._read.pop(name, None)
        if reply.status in _ABSENT:
            return None
        if reply.status != HTTPStatus.OK:
            raise self._exchange.refusal(reply)
        value = _value_of(reply.body)
        if (tag := reply.headers.get("ETag")) is not None:
            self._read[name] = tag, value
        return value

    async def read_all(self) -> Reading:
        values = await asyncio.gather(*map(self.read, NAMES))
        return {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}

    async def create(self, name: str, value: Value) -> bool:
        if await self.read(name) is not None:  # a service that does not heed conditions must not overwrite
            return False
        reply = await self._ask("PUT", name, json={"value": value}, headers={"If-None-Match": "*"})
        if reply.status in (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT):
            return False
        if reply.status not in _CREATED:
            raise self._exchange.refusal(reply)
        return True

    async def readings(self) -> AsyncGenerator[Reading, None]:
        while True:
            yield await self.read_all()
            await asyncio.sleep(self._poll_s)

    async def _ask(
        self, method: str, name: str, *, headers: dict[str, str], json: dict[str, Value] | None = None
    ) -> Reply:
        path = f"/parameters/{name}"
        return await self._exchange.ask(method, path, json=json, headers={**self._headers, **headers})


def _value_of(body: bytes) -> object:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Unreadable("is no JSON")
    if not isinstance(content, dict) or content.get("value") is None:
        return Unreadable('is no JSON object with a "value"')
    return content["value"]
