"""Configuration services for the tests: a real etcd, and a small one by plain HTTP."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Protocol

from aiohttp import ClientSession, ClientTimeout, web

from app.embedded.children import Child, free_port, start_child
from app.parameters.address import DEFAULT_PREFIX
from app.parameters.definitions import NAMES
from tests.packages import needed

START_S: Final = 20.0


class Backend(Protocol):
    """What a configuration service holds, changed behind the back of the project."""

    @property
    def url(self) -> str: ...

    async def put(self, name: str, text: str) -> None:
        """Hold this JSON, or nonsense, as a parameter's value."""

    async def remove(self, name: str) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Etcd:
    """It keeps what it holds when it is stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, self._peer_port = free_port(), free_port()
        self._child: Child | None = None
        self.token: str | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"etcd://127.0.0.1:{self._port}"

    async def start(self) -> None:
        peers = f"http://127.0.0.1:{self._peer_port}"
        options = {
            "data-dir": self._folder / "etcd",
            "listen-client-urls": self.base,
            "advertise-client-urls": self.base,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
            "unsafe-no-fsync": "true",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        program = needed("etcd-server", "etcd")
        self._child = start_child("etcd", [program, *arguments], self._folder / f"etcd-{self._port}.log")
        async with asyncio.timeout(START_S):
            while not await self._answers():
                assert not self._child.exited, self._child.log_tail()
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        assert self._child is not None
        await asyncio.to_thread(self._child.stop)

    async def put(self, name: str, text: str) -> None:
        await self.call("kv/put", key=_key(name), value=_encoded(text))

    async def remove(self, name: str) -> None:
        await self.call("kv/deleterange", key=_key(name))

    async def compact(self) -> None:
        """Forget everything before now."""
        answer = await self.call("kv/range", key=_key("x"))
        await self.call("kv/compaction", revision=answer["header"]["revision"])

    async def call(self, path: str, **body: Any) -> Any:
        headers = {} if self.token is None else {"Authorization": self.token}
        async with (
            ClientSession(self.base) as session,
            session.post(f"/v3/{path}", json=body, headers=headers) as response,
        ):
            assert response.status == 200, await response.text()
            return await response.json()

    async def _answers(self) -> bool:
        """Whether it has a leader, and so serves."""
        try:
            async with (
                ClientSession(self.base, timeout=ClientTimeout(total=1)) as session,
                session.get("/health") as response,
            ):
                health = await response.json(content_type=None)
                return bool(health["health"] == "true")
        except (OSError, TimeoutError):
            return False


def _key(name: str) -> str:
    return _encoded(f"{DEFAULT_PREFIX}/{name}")


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


@dataclass(slots=True)
class WebService:
    """`{base}/parameters/{name}`, with ETags; it forgets nothing while it is stopped."""

    held: dict[str, bytes] = field(default_factory=dict)
    """The bodies, by name."""
    port: int = field(default_factory=free_port)
    status: int = 200
    """What it answers to everything, if that is not 200."""
    heeds_conditions: bool = True
    is_behind: bool = False
    """What is read is what was there before anything was registered."""
    delay_s: float = 0
    """Before each answer."""
    authorizations: list[str] = field(default_factory=list)
    """Of each request."""
    answered: list[tuple[str, int]] = field(default_factory=list)
    """Method and status of each answer."""
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/base"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/base/parameters/{name}", self._handle)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        await web.SockSite(self.runner, listening).start()

    async def stop(self) -> None:
        assert self.runner is not None
        await self.runner.cleanup()

    async def put(self, name: str, text: str) -> None:
        self.held[name] = b'{"value": %b}' % text.encode()

    async def remove(self, name: str) -> None:
        del self.held[name]

    async def _handle(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("Authorization", ""))
        await asyncio.sleep(self.delay_s)
        response = self._refusal() or await self._answer(request)
        self.answered.append((request.method, response.status))
        return response

    def _refusal(self) -> web.Response | None:
        return None if self.status == 200 else web.Response(status=self.status, text="out of order")

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        body = self.held.get(name)
        if request.method == "PUT":
            if body is not None and self.heeds_conditions and request.headers.get("If-None-Match") == "*":
                return web.Response(status=412)
            self.held[name] = await request.read()
            return web.Response(status=201)
        if body is None or self.is_behind:
            return web.Response(status=404)
        tag = f'"{blake2b(body, digest_size=4).hexdigest()}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(body=body, headers={"ETag": tag})


@dataclass(slots=True)
class Gateway:
    """Stands before an etcd, and may keep watches back: from it, or their messages from the client."""

    etcd: Etcd
    port: int = field(default_factory=free_port)
    begins: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: watches reach etcd."""
    tells: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: what a watch tells comes through."""
    watches: int = 0

    @property
    def url(self) -> str:
        return f"etcd://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if is_watch := request.path == "/v3/watch":
            self.watches += 1
            await self.begins.wait()
        body = await request.read()
        async with (
            ClientSession(self.etcd.base) as session,
            session.post(request.path, data=body, timeout=ClientTimeout(total=None)) as answer,
        ):
            response = web.StreamResponse(status=answer.status)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                if is_watch:
                    await self.tells.wait()
                await response.write(chunk)
            return response


@asynccontextmanager
async def standing_before(etcd: Etcd) -> AsyncIterator[Gateway]:
    gateway = Gateway(etcd)
    app = web.Application()
    app.router.add_post("/v3/{rest:.*}", gateway.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", gateway.port).start()
        yield gateway
    finally:
        await runner.cleanup()


async def put_all(backend: Backend, **values: str) -> None:
    """Every parameter, those not named with its default."""
    defaults = dict(zip(NAMES, ("5000", "100", "true", "300", "30"), strict=True))
    for name, text in {**defaults, **values}.items():
        await backend.put(name, text)
