"""What a second worker adds, and what it costs."""

import statistics
from collections import defaultdict
from contextlib import AsyncExitStack
from typing import Final

from loadtests.bench.api import Servers, api, bare, median_answer
from loadtests.bench.report import Figure
from loadtests.bench.wrk import Deck

ROUNDS: Final = 5
ROUND_S: Final = 4
WARM_UP_S: Final = 3


async def measure_workers(servers: Servers, hot: Deck, exact: Deck) -> dict[str, Figure]:
    """CPU time by exact lookups, throughput by hot queries: those leave most of the cores to workers."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(api(servers))
        two = await stack.enter_async_context(api(servers, "--workers", "2"))
        for service in (one, two):
            await service.load(hot, seconds=WARM_UP_S)
        body = median_answer(one, hot)
        bare_one = await stack.enter_async_context(bare(servers.folder, body))
        bare_two = await stack.enter_async_context(bare(servers.folder, body, processes=2))
        sides = {"one": one, "two": two, "bare_one": bare_one, "bare_two": bare_two}
        rates: dict[str, list[float]] = defaultdict(list)
        cpu_us: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            for name, side in sides.items():
                load, cpu = await side.load(hot, seconds=ROUND_S)
                rates[f"{name}_hot"].append(load.requests_per_s)
                cpu_us[f"{name}_hot"].append(cpu)
            for name in ("one", "two"):
                load, cpu = await sides[name].load(exact, seconds=ROUND_S)
                rates[f"{name}_exact"].append(load.requests_per_s)
                cpu_us[f"{name}_exact"].append(cpu)
        rss_mb = {name: side.rss_mb() for name, side in sides.items()}
    rate = {name: round(statistics.median(side)) for name, side in rates.items()}
    cpu_of = {name: round(statistics.median(side), 1) for name, side in cpu_us.items()}
    detail = {"per_s": rate, "cpu_us": cpu_of, "rss_mb": rss_mb}
    return {
        "workers.cpu": Figure(cpu_of["two_exact"], cpu_of["one_exact"], detail),
        "workers.throughput": Figure(
            rate["two_hot"] / rate["one_hot"], rate["bare_two_hot"] / rate["bare_one_hot"], detail
        ),
    }
