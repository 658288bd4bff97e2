"""How each row is measured. Sides take turns, so that what else the machine does falls on both."""

import asyncio
import json
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping
from itertools import product
from typing import Any, Final

import asyncpg
import orjson

from loadtests.bench.api import Api, Servers, VoidRun, asking, bare, median, median_answer, redis_cpu_s
from loadtests.bench.queries import BROAD, SORTS, Queries, search_path
from loadtests.bench.redis_alone import queries_per_s, searches_of
from loadtests.bench.report import Figure
from loadtests.bench.workers import measure_workers
from loadtests.bench.wrk import Deck

ROUNDS: Final = 5
ROUND_S: Final = 4
WARM_UP_S: Final = 2
MOSTLY: Final = 0.95
"""Of hot queries so many are answered by the cache, or it is not what was measured."""
ALONE: Final = 64
"""Queries that Redis alone is asked with."""
SUGGEST_RATE: Final = 500
SUGGEST_S: Final = 20
PAGE: Final = 20
LOOKS: Final = 20
"""At each broad search, with a limit of another size each time, so that no cache has it."""
DEEP_PAGE: Final = 500
LARGEST_PAGE: Final = 100

Figures = dict[str, Figure]


class Bench:
    """The rows, over one set of servers and one API process."""

    def __init__(self, servers: Servers, service: Api, queries: Queries) -> None:
        self.servers = servers
        self.api = service
        self.decks = {
            name: Deck(servers.folder / f"{name}.paths", getattr(queries, name))
            for name in ("hot", "exact", "prefix", "suggest")
        }
        self.measures: dict[str, Callable[[], Awaitable[Figures]]] = {
            "hot": self.hot,
            "exact": self.exact,
            "prefix": self.prefix,
            "suggest": self.suggest,
            "broad": self.broad,
            "paging": self.paging,
            "workers": self.workers,
        }

    async def hot(self) -> Figures:
        deck = self.decks["hot"]
        for path in deck.paths:
            self.api.get(path)
        figure = await self._throughput(deck)
        share = figure.detail["sources"].get("cache", 0) / sum(figure.detail["sources"].values())
        if share < MOSTLY:
            raise VoidRun(f"{share:.0%} of the hot queries were answered by the cache")
        return {"hot": figure}

    async def exact(self) -> Figures:
        deck = self.decks["exact"]
        async with asking(self.servers) as handler:

            async def asked() -> float:
                load, _ = await handler.load(deck, seconds=ROUND_S)
                return load.requests_per_s

            return {"exact": _uncached(await self._throughput(deck, asking_handler=asked))}

    async def prefix(self) -> Figures:
        deck = self.decks["prefix"]
        searches = await searches_of(self.api, self.servers.redis_url, deck.take(ALONE))

        async def alone() -> float:
            return await queries_per_s(self.servers.redis_url, searches)

        figure = _uncached(await self._throughput(deck, redis=alone))
        measured = figure.measured
        redis, handler = figure.detail["redis_per_s"], figure.detail["bare_per_s"]
        detail = {
            **figure.detail,
            "commands_per_query": round(statistics.mean(map(len, searches)), 1),
            "ratio_to_redis": round(measured / redis, 3),
            "ratio_to_bare": round(measured / handler, 3),
        }
        return {"prefix": Figure(measured, min(0.7 * redis, 0.3 * handler), detail)}

    async def _throughput(self, deck: Deck, **others: Callable[[], Awaitable[float]]) -> Figure:
        """Requests a second of the service against those of the bare handler; those of others in detail."""
        body = median_answer(self.api, deck)
        sources: dict[str, int] = {}
        async with bare(self.servers.folder, body) as handler:
            await self.api.load(deck, seconds=WARM_UP_S)
            rates: dict[str, list[float]] = {}
            cpu_us: dict[str, list[float]] = {}
            for _ in range(ROUNDS):
                for name, side in (("service", self.api), ("bare", handler)):
                    redis_before = await redis_cpu_s(self.servers.redis_url)
                    load, cpu = await side.load(deck, seconds=ROUND_S)
                    if side is self.api:
                        redis_s = await redis_cpu_s(self.servers.redis_url) - redis_before
                        cpu_us.setdefault("redis", []).append(redis_s / load.requests * 1e6)
                    rates.setdefault(name, []).append(load.requests_per_s)
                    cpu_us.setdefault(name, []).append(cpu)
                for source, count in self.api.sources(deck).items():
                    sources[source] = sources.get(source, 0) + count
                for name, other in others.items():
                    rates.setdefault(name, []).append(await other())
        medians = {name: statistics.median(side) for name, side in rates.items()}
        detail: dict[str, Any] = {
            "body_bytes": len(body),
            "queries": len(deck.paths),
            "sources": sources,
            "service_rss_mb": self.api.rss_mb(),
            **{f"{name}_per_s": round(rate) for name, rate in medians.items()},
            **{f"{name}_cpu_us": median(side) for name, side in cpu_us.items()},
            "rounds": {name: [round(rate) for rate in side] for name, side in rates.items()},
        }
        cpu_ratio = statistics.median(cpu_us["bare"]) / statistics.median(cpu_us["service"])
        detail["ratio_of_cpu_time"] = round(cpu_ratio, 3)
        return Figure(medians["service"], medians["bare"], detail)

    async def suggest(self) -> Figures:
        deck = self.decks["suggest"]
        body = median_answer(self.api, deck)
        async with bare(self.servers.folder, body) as handler:
            await self._steady(self.api, deck, WARM_UP_S)
            measured = await self._steady(self.api, deck, SUGGEST_S)
            handled = await self._steady(handler, deck, SUGGEST_S)
        detail = {"service": measured, "bare": handled, "sources": dict(self.api.sources(deck))}
        return {f"suggest.{name}": Figure(measured[f"{name}_ms"], None, detail) for name in ("p95", "p99")}

    async def _steady(self, side: Api, deck: Deck, seconds: float) -> Any:
        """Raises VoidRun where a request failed."""
        count = int(SUGGEST_RATE * seconds)
        file = self.servers.folder / "steady.paths"
        file.write_text("\n".join(deck.take(count)))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtests.steady", side.url, file, str(SUGGEST_RATE), str(seconds)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "REGISTRY_LOAD_KEY": side.key},
        )
        output, _ = await process.communicate()
        measured = json.loads(output)
        if measured["failed"]:
            raise VoidRun(f"requests failed: {measured['failures']}")
        return measured

    async def broad(self) -> Figures:
        """Each broad search in turns with an exact lookup, over one connection."""
        searches = {
            f"{name}, {sort}": {**filters, "sort": sort}
            for (name, filters), sort in product(BROAD.items(), SORTS)
        }
        times: dict[str, list[float]] = {name: [] for name in searches}
        exact_ms = []
        totals: dict[str, tuple[int, bool]] = {}
        for turn in range(LOOKS):
            for name, parameters in searches.items():
                [path] = self.decks["exact"].take(1)
                exact_ms.append(self.api.get_uncached(path)[1])
                path = search_path(**parameters, limit=PAGE - LOOKS // 2 + turn)
                body, took_ms = self.api.get_uncached(path)
                times[name].append(took_ms)
                page = orjson.loads(body)
                totals[name] = page["total"], page["total_is_exact"]
        medians = {name: median(side, 2) for name, side in times.items()}
        wrong = await _wrong_totals(self.servers.database_url, totals)
        if wrong:
            raise VoidRun(f"totals that are not those of Postgres: {wrong}")
        exact = statistics.median(exact_ms)
        slowest = max(medians, key=lambda name: medians[name])
        detail = {
            "slowest": slowest,
            "ms": medians,
            "times_of_exact": {name: round(took / exact, 2) for name, took in medians.items()},
            "first_ms": {name: round(side[0], 2) for name, side in times.items()},
        }
        return {"broad": Figure(medians[slowest], exact, detail)}

    async def paging(self) -> Figures:
        first_ms: dict[str, list[float]] = {}
        deep_ms: dict[str, list[float]] = {}
        for sort in SORTS:
            skipped = (DEEP_PAGE - LOOKS // 2 - 1) * PAGE
            cursor = await self._cursor_after(sort, skipped)
            for turn in range(LOOKS):
                limit = PAGE - LOOKS // 2 + turn
                took_ms = self.api.get_uncached(search_path(sort=sort, limit=limit))[1]
                first_ms.setdefault(sort, []).append(took_ms)
                path = search_path(sort=sort, limit=PAGE, cursor=cursor)
                body, took_ms = self.api.get_uncached(path)
                deep_ms.setdefault(sort, []).append(took_ms)
                cursor = orjson.loads(body)["next_cursor"]
        first = {sort: statistics.median(side) for sort, side in first_ms.items()}
        deep = {sort: statistics.median(side) for sort, side in deep_ms.items()}
        slowest = max(SORTS, key=lambda sort: deep[sort] / first[sort])
        detail = {
            "sort": slowest,
            "first_ms": {sort: round(took, 2) for sort, took in first.items()},
            "deep_ms": {sort: round(took, 2) for sort, took in deep.items()},
        }
        return {"paging": Figure(deep[slowest], first[slowest], detail)}

    async def workers(self) -> Figures:
        return await measure_workers(self.servers, self.decks["hot"], self.decks["exact"])

    async def _cursor_after(self, sort: str, count: int) -> str:
        """The cursor that leads on after so many of the catalog, walked to by large pages."""
        cursor: dict[str, str] = {}
        while count:
            limit = min(LARGEST_PAGE, count)
            body, _, _ = self.api.get(search_path(sort=sort, limit=limit, **cursor))
            if (following := orjson.loads(body)["next_cursor"]) is None:
                raise VoidRun(f"these data have no page {DEEP_PAGE}")
            cursor = {"cursor": following}
            count -= limit
        return cursor["cursor"]


def _uncached(figure: Figure) -> Figure:
    """Raises VoidRun where an answer did not come from Redis."""
    if set(figure.detail["sources"]) != {"redis"}:
        raise VoidRun(f"answers came from {figure.detail['sources']}, not all from redis")
    return figure


async def _wrong_totals(
    database_url: str, totals: Mapping[str, tuple[int, bool]]
) -> dict[str, tuple[int, bool, int]]:
    """Of broad searches by name, totals that are not exact, with what Postgres counts."""
    connection = await asyncpg.connect(database_url)
    counts = {}
    try:
        for name, filters in BROAD.items():
            wanted = {"status": "active", **filters}
            condition = " AND ".join(f"{field} = ${place}" for place, field in enumerate(wanted, 1))
            statement = f"SELECT count(*) FROM instruments WHERE {condition}"  # noqa: S608 - names of ours
            counts[name] = await connection.fetchval(statement, *wanted.values())
    finally:
        await connection.close()
    return {
        search: (total, is_exact, counts[search.rpartition(", ")[0]])
        for search, (total, is_exact) in totals.items()
        if not is_exact or total != counts[search.rpartition(", ")[0]]
    }
