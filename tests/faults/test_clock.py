"""The wall clock of our processes is set back by an hour: nothing that lasts is measured by it."""

import asyncio
import shutil
import subprocess
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest

from app.store.index_jobs import IndexJobs, JobKind, JobState
from app.store.postgres import Connection
from tests.faults.conftest import Report
from tests.faults.load import SEARCH, load
from tests.faults.system import System, changing
from tests.faults.test_postgres import searchable_after_s
from tests.integration.conftest import carry_out

PACKAGE = "libfaketime"


@pytest.fixture(scope="module")
def fake_time() -> Path:
    """libfaketime, installed from Debian's package where it is missing."""
    if not _libraries():
        apt = shutil.which("apt-get")
        assert apt is not None, f"install {PACKAGE}, which sets a process's clock: apt-get install {PACKAGE}"
        subprocess.run([apt, "update"], check=True, capture_output=True)
        subprocess.run([apt, "install", "-y", PACKAGE], check=True, capture_output=True)
    return _libraries()[0]


def _libraries() -> list[Path]:
    return sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.mark.slow
async def test_the_clock_set_back_by_an_hour(
    system: System, database: Connection, tmp_path: Path, fake_time: Path, report: Report
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    environment = {
        "LD_PRELOAD": str(fake_time),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    indexer = system.start_indexer(environment=environment)
    await system.until_live()
    api = await system.start_api(environment)
    async with load([api.base_url]) as searches, changing(system.database_url):
        await asyncio.sleep(1)
        searches.mark()
        clock.write_text("-3600\n")
        await asyncio.sleep(1)
        delay_s = await searchable_after_s(api.base_url, database, "S2", "After the clock")
        assert (await carry_out(IndexJobs(database), JobKind.REBUILD)).state is JobState.DONE
        delay_s = max(delay_s, await searchable_after_s(api.base_url, database, "S3", "After the rebuild"))
        await asyncio.sleep(5)
        async with aiohttp.ClientSession(api.base_url) as session, session.get(SEARCH) as response:
            age_s = float(response.headers["X-Index-Age"])
            told = response.headers["Date"]
    searches.assert_unnoticed()
    report(searches, slowest_change_searchable_after_s=round(delay_s, 2))
    behind_s = datetime.now(UTC) - parsedate_to_datetime(told)
    assert behind_s.total_seconds() > 3500, "the API has the clock that was set back"
    assert 0 <= age_s < 5
    assert delay_s < 5
    assert "interrupted" not in indexer.log.read_text()
    await system.assert_level()
