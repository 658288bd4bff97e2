"""HTTP requests to a configuration service, and the one place where what they raise becomes the project's."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar

from app.domain.errors import ConfigServiceUnavailable
from app.parameters.address import Address

REQUEST_TIMEOUT_S: Final = 2.0
MAX_BODY_BYTES: Final = 1 << 20
_SHOWN_CHARACTERS: Final = 120


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Requests to one service; redirects are not followed. Methods raise ConfigServiceUnavailable."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._session: ClientSession | None = None

    async def open(self) -> None:
        self._session = ClientSession(cookie_jar=DummyCookieJar())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The whole reply, whatever its status."""
        with self.errors():
            async with self._needed_session().request(
                method,
                self._address.base + path,
                json=json,
                headers=headers,
                allow_redirects=False,
                timeout=ClientTimeout(total=REQUEST_TIMEOUT_S),
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise self.failure(f"answers with more than {MAX_BODY_BYTES} bytes")
                return Reply(response.status, response.headers, bytes(body))

    @asynccontextmanager
    async def stream(
        self, path: str, *, json: Any, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[ClientResponse]:
        """A reply that goes on for as long as both sides like; its head must come in time."""
        with self.errors():
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                response = await self._needed_session().post(
                    self._address.base + path,
                    json=json,
                    headers=headers,
                    allow_redirects=False,
                    timeout=ClientTimeout(total=None),
                )
            async with response:
                yield response

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what the driver raises into ConfigServiceUnavailable."""
        try:
            yield
        except (ClientError, TimeoutError, OSError) as error:
            raise self.failure(f"does not answer: {str(error) or type(error).__name__}") from error

    def failure(self, what: str) -> ConfigServiceUnavailable:
        return ConfigServiceUnavailable(f"the configuration service {self._address.shown} {what}")

    def refusal(self, reply: Reply) -> ConfigServiceUnavailable:
        """What to raise for a status that nothing else is to be made of."""
        text = " ".join(reply.body.decode(errors="replace").split())[:_SHOWN_CHARACTERS]
        hint = "; check user and password in REGISTRY_CONFIG_URL" if reply.status in (401, 403) else ""
        return self.failure(f"answers {reply.status}{hint}" + (f": {text}" if text else ""))

    def _needed_session(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError("the configuration service is not open")
        return self._session
