"""etcd version 3 as a configuration service, through its JSON gateway.

The key `{prefix}/{name}` holds the value as JSON: `5000`, `true`. Keys and values are sent as base64, 64-bit
numbers as texts (etcd.io/docs, "API reference: gRPC gateway").
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import orjson
from aiohttp import StreamReader

from app.parameters.address import Address
from app.parameters.definitions import NAMES, Value
from app.parameters.exchange import MAX_BODY_BYTES, Exchange, Reply
from app.parameters.service import Reading, Unreadable

_RANGE: Final = "/v3/kv/range"
_TRANSACTION: Final = "/v3/kv/txn"
_WATCH: Final = "/v3/watch"
_AUTHENTICATE: Final = "/v3/auth/authenticate"

Held: TypeAlias = Mapping[str, bytes]
"""What etcd holds below the prefix, by the rest of the key."""


class EtcdConfigService:
    """Methods raise ConfigServiceUnavailable."""

    def __init__(self, address: Address, poll_s: float) -> None:
        self.address = address
        self._poll_s = poll_s
        self._exchange = Exchange(address)
        self._folder = f"{address.prefix}/"
        # The keys below a prefix end before the prefix with its last byte one higher.
        self._keys = {
            "key": _encoded(self._folder.encode()),
            "range_end": _encoded(f"{address.prefix}0".encode()),
        }
        self._token: str | None = None

    async def open(self) -> None:
        await self._exchange.open()

    async def close(self) -> None:
        await self._exchange.close()

    async def read(self, name: str) -> object | None:
        answer = await self._call(_RANGE, {"key": self._key(name)})
        with self._understood():
            held = self._held(answer.get("kvs", ()))
        return next(map(_value_of, held.values()), None)

    async def read_all(self) -> Reading:
        _, held = await self._read()
        return _reading(held)

    async def create(self, name: str, value: Value) -> bool:
        key = self._key(name)
        answer = await self._call(
            _TRANSACTION,
            {
                "compare": [{"target": "CREATE", "key": key, "create_revision": 0}],
                "success": [{"request_put": {"key": key, "value": _encoded(orjson.dumps(value))}}],
            },
        )
        with self._understood():
            return bool(answer.get("succeeded", False))

    async def readings(self) -> AsyncGenerator[Reading, None]:
        """By a watch from the revision that was read. It is begun anew where etcd has compacted that one, and
        where a look at the keys, while nothing comes, finds what the watch did not tell."""
        while True:
            revision, held = await self._read()
            yield _reading(held)
            request = {"create_request": {**self._keys, "start_revision": revision + 1}}
            async with self._exchange.stream(_WATCH, json=request, headers=self._headers()) as response:
                if response.status != HTTPStatus.OK:
                    raise self._exchange.failure(f"refuses to be watched with {response.status}")
                messages = _Messages(self._exchange, response.content)
                while True:
                    try:
                        async with asyncio.timeout(self._poll_s):
                            message = await messages.next()
                    except TimeoutError:
                        _, now = await self._read()
                        if now != held:
                            break
                        yield _reading(held)
                        continue
                    result = self._result_of(message)
                    if "compact_revision" in result:
                        break
                    if events := result.get("events", ()):
                        held = self._changed(held, events)
                        yield _reading(held)

    async def _read(self) -> tuple[int, Held]:
        """Everything below the prefix, and the revision as of which it is."""
        answer = await self._call(_RANGE, self._keys)
        with self._understood():
            return int(answer["header"]["revision"]), self._held(answer.get("kvs", ()))

    def _held(self, pairs: Any) -> Held:
        return {self._name(pair): b64decode(pair.get("value", "")) for pair in pairs}

    def _changed(self, held: Held, events: Any) -> Held:
        changed = dict(held)
        with self._understood():
            for event in events:
                if event.get("type") == "DELETE":
                    changed.pop(self._name(event["kv"]), None)
                else:
                    changed |= self._held([event["kv"]])
        return changed

    def _name(self, pair: Any) -> str:
        return b64decode(pair["key"]).decode(errors="replace").removeprefix(self._folder)

    def _key(self, name: str) -> str:
        return _encoded((self._folder + name).encode())

    async def _call(self, path: str, body: Any) -> Any:
        """The JSON of an answer; once more with a new token where etcd does not know the one that it gave."""
        reply = await self._ask(path, body)
        if reply.status == HTTPStatus.UNAUTHORIZED and self._token is not None:
            self._token = None
            reply = await self._ask(path, body)
        if reply.status != HTTPStatus.OK:
            raise self._exchange.refusal(reply)
        with self._understood():
            return orjson.loads(reply.body)

    async def _ask(self, path: str, body: Any) -> Reply:
        if self._token is None and self.address.user is not None:
            self._token = await self._authenticate()
        return await self._exchange.ask("POST", path, json=body, headers=self._headers())

    async def _authenticate(self) -> str:
        name_and_password = {"name": self.address.user, "password": self.address.password}
        reply = await self._exchange.ask("POST", _AUTHENTICATE, json=name_and_password)
        if reply.status != HTTPStatus.OK:
            raise self._exchange.failure(
                "does not take user and password of REGISTRY_CONFIG_URL: " + _error_text(reply.body)
            )
        with self._understood():
            return str(orjson.loads(reply.body)["token"])

    def _headers(self) -> dict[str, str]:
        return {} if self._token is None else {"Authorization": self._token}

    def _result_of(self, message: bytes) -> dict[str, Any]:
        """What a watch tells. Raises ConfigServiceUnavailable where it was ended, but for a compaction."""
        with self._understood():
            content = orjson.loads(message)
            result: dict[str, Any] | None = content.get("result")
            if result is None or (result.get("canceled") and "compact_revision" not in result):
                reason = result.get("cancel_reason", "") if result else _error_text(message)
                raise self._exchange.failure(f"has ended the watch: {reason}")
            return result

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Turns what comes of an answer that is not etcd's into ConfigServiceUnavailable."""
        try:
            yield
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._exchange.failure(f"does not answer as etcd does: {error!r}") from error


class _Messages:
    """The lines of a watch; to be given up while one is waited for costs nothing of it."""

    def __init__(self, exchange: Exchange, content: StreamReader) -> None:
        self._exchange = exchange
        self._content = content
        self._read = bytearray()

    async def next(self) -> bytes:
        while (end := self._read.find(b"\n")) < 0:
            if len(self._read) > MAX_BODY_BYTES:
                raise self._exchange.failure(f"sends more than {MAX_BODY_BYTES} bytes at once")
            more = await self._content.readany()
            if not more:
                raise self._exchange.failure("has ended the watch")
            self._read += more
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line


def _reading(held: Held) -> Reading:
    return {name: _value_of(held[name]) for name in NAMES if name in held}


def _value_of(text: bytes) -> object:
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return Unreadable("is no JSON")
    return Unreadable("is null") if value is None else value


def _error_text(body: bytes) -> str:
    """What etcd says is wrong."""
    try:
        error = orjson.loads(body)["error"]
        return str(error.get("message") if isinstance(error, dict) else error)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "it does not say why"


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()
