"""Measures what the service makes of its machine, in ratios to the least that would do the same work.

    make bench DATA=path/to/data

One API process with a key, limits, metrics and logs, on real data, against a bare aiohttp handler that
returns as many bytes and against Redis alone. Prints what changed since the committed figures, writes
docs/bench.json and the tables in docs/performance.md and docs/capacity.md, and exits with 1 where a target is
missed. Without DATA it measures the servers that REGISTRY_DATABASE_URL and REGISTRY_REDIS_URL name, which are
filled already.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from app.embedded.children import EmbeddedError
from app.environment import SettingsError
from loadtests.bench import capacity
from loadtests.bench.api import Servers, VoidRun, api
from loadtests.bench.locust import read_load_tests
from loadtests.bench.queries import read_queries
from loadtests.bench.report import Figure, Row, changes, replace_tables, row_of_figure, table
from loadtests.bench.rows import Bench
from loadtests.bench.targets import ROWS, TENFOLD
from loadtests.bench.tenfold import measure_tenfold, multiply
from loadtests.bench.wrk import WrkError, find_wrk
from loadtests.full_data import timed_import
from loadtests.servers import embedded_servers, environment_of, filling_indexer

FIGURES: Final = Path("docs/bench.json")
PERFORMANCE: Final = Path("docs/performance.md")
URLS: Final = ("REGISTRY_DATABASE_URL", "REGISTRY_REDIS_URL")
CAPACITY: Final = Path("docs/capacity.md")


def main() -> int:
    options = parser().parse_args()
    wanted = options.only or [row for row in ROWS if row != TENFOLD or options.tenfold]
    try:
        find_wrk()
        check_servers(options.data, wanted)
        now, is_void = asyncio.run(measure(options.data, wanted, options.evidence))
    except (VoidRun, WrkError, EmbeddedError, SettingsError) as error:
        sys.exit(str(error))
    if not options.print_only:
        rows: dict[str, Row] = (json.loads(FIGURES.read_text()) if FIGURES.exists() else {}) | now
        FIGURES.write_text(json.dumps(rows, indent=2) + "\n")
        write_tables(PERFORMANCE, table(rows))
        if all(name in rows for name in capacity.NEEDED):
            write_tables(CAPACITY, capacity.tables(rows))
    return 1 if is_void or not all(row["holds"] for row in now.values()) else 0


def check_servers(data: Path | None, wanted: Sequence[str]) -> None:
    """Raises SettingsError where it is not clear what is to be measured."""
    if data is not None and not data.exists():
        raise SettingsError(f"DATA: there is no {data}; name a folder of files to import")
    if data is None and TENFOLD in wanted:
        raise SettingsError(f"DATA: {TENFOLD} fills servers of its own; name a folder of files to import")
    missing = [name for name in URLS if name not in os.environ]
    if data is None and missing:
        raise SettingsError(
            f"{missing[0]}: is not set; name filled servers, or set DATA to a folder to import"
        )


def write_tables(page: Path, tables: str) -> None:
    page.write_text(replace_tables(page.read_text(), tables))


def parser() -> argparse.ArgumentParser:
    described = argparse.ArgumentParser("python -m loadtests.bench", description=__doc__)
    described.formatter_class = argparse.RawDescriptionHelpFormatter
    described.add_argument("data", nargs="?", type=Path, help="a folder of data to import")
    described.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help=", ".join(ROWS))
    described.add_argument(
        "--tenfold", action="store_true", help="ten times the data too: half an hour, 16 GB of memory"
    )
    described.add_argument(
        "--evidence", type=Path, default=Path(), help="the folder of the load tests' evidence (here)"
    )
    described.add_argument("--print-only", action="store_true", help="print the figures, write nothing")
    return described


async def measure(data: Path | None, wanted: Sequence[str], evidence: Path) -> tuple[dict[str, Row], bool]:
    """The figures of these rows, printed one by one, and whether some do not count."""
    committed = committed_figures()
    now: dict[str, Row] = {}
    is_void = False
    made = {
        "commit": git("describe", "--always", "--dirty"),
        "machine": f"{os.cpu_count()} cores, {processor()}, Python {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
    }
    async with filled_servers(data) as servers, api(servers) as service:
        bench = Bench(servers, service, await read_queries(servers.database_url))
        measures = bench.measures | {
            "locust": partial(asyncio.to_thread, read_load_tests, evidence),
            TENFOLD: partial(tenfold, data, bench),
        }
        for row in wanted:
            print(f"measuring {row} ...", file=sys.stderr)
            try:
                figures = await measures[row]()
            except (VoidRun, WrkError) as error:
                is_void = True
                print(f"{row:18} void: {error}", flush=True)
                continue
            rows = {name: row_of_figure(name, figure, made) for name, figure in figures.items()}
            print("\n".join(changes(committed, rows)), flush=True)
            now |= rows
    return now, is_void


async def tenfold(data: Path | None, bench: Bench) -> dict[str, Figure]:
    async with filled_servers(data, tenfold=True) as servers, api(servers) as service:
        decks = {kind: bench.decks[kind] for kind in ("exact", "prefix")}
        return await measure_tenfold((bench.servers, bench.api), (servers, service), decks)


@asynccontextmanager
async def filled_servers(data: Path | None, *, tenfold: bool = False) -> AsyncIterator[Servers]:
    """Embedded ones with this data and an indexer; without data, those of the environment."""
    with tempfile.TemporaryDirectory(prefix="registry-bench-") as scratch:
        folder = Path(scratch)
        if data is None:
            yield Servers(folder, *(os.environ[name] for name in URLS))
            return
        async with embedded_servers(folder) as (database_url, redis_url):
            print("filling the servers ...", file=sys.stderr)
            await timed_import(database_url, data, folder)
            if tenfold:
                print(f"ten times the data: {await multiply(database_url)} s", file=sys.stderr)
            async with filling_indexer(folder, environment_of(database_url, redis_url)):
                yield Servers(folder, database_url, redis_url)


def committed_figures() -> dict[str, Row]:
    shown = subprocess.run(["git", "show", f"HEAD:{FIGURES}"], capture_output=True, check=False)  # noqa: S607
    figures: dict[str, Row] = json.loads(shown.stdout) if shown.returncode == 0 else {}
    return figures


def processor() -> str:
    """Its model, where Linux names one."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607


if __name__ == "__main__":
    sys.exit(main())
