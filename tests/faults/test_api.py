"""API processes killed, or asked to end, while searches come."""

import asyncio

from tests.faults.conftest import Report
from tests.faults.load import load
from tests.faults.system import System


async def test_an_api_process_killed(system: System, report: Report) -> None:
    """Only what that process was answering is lost; the other goes on."""
    system.start_indexer()
    await system.until_live()
    killed, other = await system.start_api(), await system.start_api()
    async with load([killed.base_url, other.base_url]) as searches:
        await asyncio.sleep(1)
        searches.mark()
        killed.child.process.kill()
        await asyncio.sleep(1)
        await system.start_api_again(killed)
        await asyncio.sleep(3)
    figures = report(searches)
    assert set(figures["outcomes"]) <= {"200", "ServerDisconnectedError", "ClientOSError"}, "never a 5xx"
    assert figures["failed"] <= 3
    assert searches.answers[-1].is_normal
    await system.assert_level()


async def test_sigterm_during_load(system: System, report: Report) -> None:
    """One process after the other ends and is started again; no request fails."""
    system.start_indexer()
    await system.until_live()
    first, second = await system.start_api(), await system.start_api()
    async with load([first.base_url, second.base_url], rate=200) as searches:
        searches.mark()
        for api in (first, second, first):
            await asyncio.sleep(1)
            api.child.process.terminate()
            await asyncio.to_thread(api.child.process.wait)
            assert api.child.process.returncode == 0, api.child.log_tail()
            await system.start_api_again(api)
    report(searches)
    searches.assert_unnoticed()
