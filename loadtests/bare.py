"""What the service is measured against: the least that a process can do for the same answer.

    python -m loadtests.bare handler PORT FILE    an aiohttp handler that returns the file's bytes;
                                                  several may share the port
    python -m loadtests.bare replay PORT          one that returns what it was taught
    python -m loadtests.bare KIND SECONDS         a loop of the statements of writes; prints writes/s

KIND is `patches`, `edits` (of members) or `lifecycles` (creations and deletions). Statements are those of the
service, one row each. Writers have a connection each: they wait for no pool. It takes REGISTRY_DATABASE_URL.
"""

import asyncio
import os
import random
import sys
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import orjson
import uvloop
from aiohttp import web

from app.store.copy_epochs import SQL as COPIES
from app.store.idempotency import SQL as IDEMPOTENCY
from app.store.profile_writes import SQL as PROFILES
from app.store.steps import rows_of
from app.store.write_groups import SQL as GROUPS
from loadtests.plan import NAME_HEADER, TEACHING_PATH

WRITERS: Final = 10
"""As many as the service's connections to Postgres by default."""
OWNERS: Final = 10
MEMBERS: Final = 100
INSTRUMENTS: Final = 2 * MEMBERS
EDITED: Final = 10
"""Instruments that an edit adds, and that it removes; half of them are there already, or not there."""

ANSWERS_KEPT: Final = 50
"""Of each name; they are given in turns."""
LISTENING: Final = "listening"
"""What a handler says once it answers."""

_AUTHOR: Final = {"actor": "bare", "request_id": "bare"}
_CHANGED: Final = {"changes": {"description": {"from": "", "to": ""}}}


async def handle(port: int, body: bytes) -> None:
    """Answer every GET with the same."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    await serve(app, port)


async def replay(port: int) -> None:
    """Answer any method and path with an answer of the service to such a request.

    `NAME_HEADER` says which those are; they are taught at `TEACHING_PATH`.
    """
    answers: dict[str, deque[bytes]] = defaultdict(lambda: deque(maxlen=ANSWERS_KEPT))

    async def teach(request: web.Request) -> web.Response:
        answers[request.headers[NAME_HEADER]].append(await request.read())
        return web.Response(text="taught")

    async def answer(request: web.Request) -> web.Response:
        if request.can_read_body:
            await request.read()
        taught = answers.get(request.headers[NAME_HEADER])
        if not taught:
            return web.Response(status=HTTPStatus.NOT_FOUND, text="not taught")
        taught.rotate(1)
        return web.Response(body=taught[0], content_type="application/json")

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post(TEACHING_PATH, teach)
    app.router.add_route("*", "/{path:.*}", answer)
    await serve(app, port)


async def serve(app: web.Application, port: int) -> None:
    """For ever; says so once it listens."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_port=True).start()
    print(LISTENING, flush=True)
    await asyncio.Event().wait()


async def patch(connection: Any, profile_id: Any) -> int:
    """Change a description."""
    async with _transaction(connection):
        profile = await _ask(connection, PROFILES["lock"], profile=profile_id)
        await _update(connection, profile, description=f"bare {random.random()}")
    return 1


async def edit(connection: Any, profile_id: Any) -> int:
    """Add and remove members, with an Idempotency-Key."""
    scope = "bare", "POST", "/v1/subscription-profiles", uuid4().hex
    some = random.sample(range(1, INSTRUMENTS + 1), 2 * EDITED)
    async with _transaction(connection):
        await _ask(connection, IDEMPOTENCY["take"], scope=scope)
        profile = await _ask(connection, PROFILES["lock"], profile=profile_id)
        members = set(profile["members"])
        added = [number for number in some[:EDITED] if number not in members]
        removed = [number for number in some[EDITED:] if number in members]
        await _ask(connection, PROFILES["unusable_instruments"], numbers=added)
        count = len(members) + len(added) - len(removed)
        await _update(connection, profile, member_count=count, removed=removed, added=added)
        await _remember(connection, scope, profile_id)
    return 1


async def lifecycle(connection: Any, _: Any) -> int:
    """Create a profile, with an Idempotency-Key, and delete it."""
    profile_id, members = uuid4(), list(range(1, MEMBERS + 1))
    owner = f"bare {random.randrange(OWNERS)}"
    scope = owner, "POST", "/v1/subscription-profiles", profile_id.hex
    async with _transaction(connection):
        await _ask(connection, IDEMPOTENCY["take"], scope=scope)
        await _ask(connection, PROFILES["lock_owner"], owner=owner)
        await _ask(connection, PROFILES["count_of_owner"], owner=owner)
        await _ask(connection, PROFILES["unusable_instruments"], numbers=members)
        content = {
            "name": profile_id.hex,
            "description": "",
            "channels": ["trades", "quotes"],
            "member_count": MEMBERS,
            "delivery": {"mode": "streaming"},
            "status": "active",
        }
        detail = {"profile": content}
        row = {
            "profile": profile_id,
            "owner": owner,
            **content,
            **_AUTHOR,
            "detail": detail,
            "added": members,
        }
        await _ask(connection, PROFILES["insert"], **row)
        await _remember(connection, scope, profile_id)
    async with _transaction(connection):
        await _ask(connection, PROFILES["lock"], profile=profile_id)
        await _ask(connection, PROFILES["record_deletion"], profile=profile_id, **_AUTHOR, detail=detail)
        await _ask(connection, PROFILES["delete"], profile=profile_id)
    return 2


async def _update(connection: Any, profile: Any, **changes: Any) -> None:
    content = {name: profile[name] for name in ("name", "description", "channels", "member_count", "status")}
    content["delivery"] = orjson.Fragment(profile["delivery"])
    row = {"profile": profile["id"], **content, **changes, **_AUTHOR, "detail": _CHANGED}
    await _ask(connection, PROFILES["update"], **row)


async def _remember(connection: Any, scope: tuple[str, ...], profile_id: Any) -> None:
    answer = {"scope": scope, "body_sha256": bytes(32).hex(), "profile": profile_id, "version": 1}
    await _ask(connection, IDEMPOTENCY["remember"], **answer, answer=bytes(1000).hex(), hours=24)


@asynccontextmanager
async def _transaction(connection: Any) -> AsyncIterator[None]:
    """As the service begins and ends one, but that it may wait for a lock."""
    await connection.execute(f"BEGIN; {GROUPS['plan_by_index']}")
    yield
    await connection.execute(f"{COPIES['join']} {GROUPS['commit']}")


async def _ask(connection: Any, statement: str, **row: Any) -> Any:
    """The first record that answers a statement for one row."""
    return await connection.fetchrow(statement, rows_of(row))


KINDS: Final[dict[str, Callable[[Any, Any], Awaitable[int]]]] = {
    "patches": patch,
    "edits": edit,
    "lifecycles": lifecycle,
}


async def write(kind: str, seconds: float) -> float:
    """Write to profiles for a while; the writes per second."""
    connections = [await asyncpg.connect(os.environ["REGISTRY_DATABASE_URL"]) for _ in range(WRITERS)]
    rows = await connections[0].fetch("SELECT id FROM profiles WHERE name ^@ 'Profile'")
    deadline = time.perf_counter() + seconds
    written = 0

    async def writer(number: int, connection: Any) -> None:
        nonlocal written
        for profile in cycle(rows[number::WRITERS]):  # of its own: nobody waits for another's lock
            if time.perf_counter() >= deadline:
                break
            done = await KINDS[kind](connection, profile["id"])
            written += done

    started = time.perf_counter()
    await asyncio.gather(*map(writer, range(WRITERS), connections))
    elapsed_s = time.perf_counter() - started
    for connection in connections:
        await connection.close()
    return written / elapsed_s


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["handler", port, file]:
            uvloop.run(handle(int(port), Path(file).read_bytes()))
        case ["replay", port]:
            uvloop.run(replay(int(port)))
        case [kind, seconds] if kind in KINDS:
            print(uvloop.run(write(kind, float(seconds))))
        case _:
            sys.exit(__doc__)
