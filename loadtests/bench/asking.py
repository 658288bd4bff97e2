"""A handler that asks the index for an identifier, sends what Redis says, and does nothing else.

    python -m loadtests.bench.asking PORT

What the service does besides is admission, limits, metrics, logs, its cache, and the form of the answer.
It takes REGISTRY_REDIS_URL.
"""

import os
import sys
from typing import Final

import uvloop
from aiohttp import web

from app.search.command import Head, packed
from app.search.reply import parse_reply
from app.search.stored_json import finished
from app.store.index_state import read_live_state
from app.store.redis import open_redis
from app.store.redis_line import open_line
from loadtests.bare import serve

EXPRESSION: Final = "@status:{$p0} (@symbol:{$p1} | @identifiers:{$p1})"
WITHIN_S: Final = 30.0


async def ask(port: int, redis_url: str) -> None:
    client = open_redis(redis_url, pool_size=1, timeout_s=WITHIN_S)
    state = await read_live_state(client)
    if state is None:
        sys.exit("the index is not filled")
    head = Head(state.generation, EXPRESSION, ("json", "rank"), "rank", 20, round(WITHIN_S * 1000))
    line = await open_line(client, within_s=WITHIN_S, reply_timeout_s=WITHIN_S)

    async def answer(request: web.Request) -> web.Response:
        command = packed((head,), ("p0", "active", "p1", request.query["q"]))
        [reply] = await line.send_all(command)
        hits = finished([json for _, json, _ in parse_reply(reply, "rank").hits])
        return web.Response(body=b'{"hits":[%b]}' % b",".join(hits), content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    await serve(app, port)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [port]:
            uvloop.run(ask(int(port), os.environ["REGISTRY_REDIS_URL"]))
        case _:
            sys.exit(__doc__)
