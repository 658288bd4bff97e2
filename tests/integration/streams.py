"""A client of profiles' streams, as simple as a browser's EventSource."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientResponse, ClientTimeout

from app.auth.api_keys import key_hash
from app.domain.access import PROFILES_ADMIN, PROFILES_READ, PROFILES_WRITE
from app.store.api_keys import add_key
from tests.integration.conftest import WAIT_S, Client

PATH = "/v1/subscription-profiles"
ALICE, BOB, OPS = ({"X-API-Key": name} for name in ("alice", "bob", "ops"))
FOR_EVER = ClientTimeout(total=None, sock_read=None)


@dataclass(frozen=True, slots=True)
class Event:
    number: int
    kind: str
    data: dict[str, Any]


class Stream:
    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self, timeout_s: float = WAIT_S) -> Event | None:
        """The next event; None when the service has ended the stream."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(timeout_s):
            while line := (await self.response.content.readuntil(b"\n")).decode():
                name, colon, value = line.rstrip("\n").partition(": ")
                if colon:
                    fields[name] = value
                elif fields:
                    data = orjson.loads(fields["data"])
                    assert data["number"] == int(fields["id"])
                    return Event(int(fields["id"]), fields["event"], data)
        return None

    async def kinds(self, count: int) -> list[str]:
        return [event.kind if (event := await self.next()) else "end" for _ in range(count)]


@asynccontextmanager
async def listening(
    api: Client, path: str, key: dict[str, str] = ALICE, *, after: int | None = None
) -> AsyncIterator[Stream]:
    headers = key if after is None else {**key, "Last-Event-ID": str(after)}
    async with api.get(f"{path}/stream", headers=headers, timeout=FOR_EVER) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)


async def add_keys(database_url: str) -> None:
    """Keys whose secrets are their owners' names."""
    both = (PROFILES_READ, PROFILES_WRITE)
    keys: dict[str, Sequence[str]] = {"alice": both, "bob": both, "ops": (*both, PROFILES_ADMIN)}
    for owner, scopes in keys.items():
        await add_key(database_url, owner=owner, scopes=scopes, secret_sha256=key_hash(owner))


async def create(api: Client, selection: dict[str, Any] | None = None, name: str = "P") -> str:
    """The path of a new profile of Alice's."""
    document = {
        "name": name,
        "channels": ["trades"],
        "selection": selection or {"instruments": ["ins_1", "ins_2"]},
    }
    async with api.post(PATH, json=document, headers=ALICE) as response:
        assert response.status == 201, await response.text()
        return response.headers["Location"]


async def patch(api: Client, path: str, key: dict[str, str] = ALICE, **changes: Any) -> None:
    async with api.patch(path, json=changes, headers={**key, "If-Match": "*"}) as response:
        assert response.status == 200, await response.text()


async def delete(api: Client, path: str) -> None:
    async with api.delete(path, headers={**ALICE, "If-Match": "*"}) as response:
        assert response.status == 204


async def trail(api: Client, path: str) -> list[int]:
    """The numbers of all of a profile's events, oldest first."""
    numbers: list[int] = []
    before = ""
    while True:
        async with api.get(f"{path}/events?limit=100{before}", headers=ALICE) as response:
            page = await response.json()
        numbers += (event["number"] for event in page["events"])
        if page["next_before"] is None:
            return numbers[::-1]
        before = f"&before={page['next_before']}"
