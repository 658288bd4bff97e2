"""Measures how well searches find what is meant, on a folder of real data or in a registry that runs.

    make relevance DATA=path/to/data

Without a folder, the registry of REGISTRY_DATABASE_URL and REGISTRY_REDIS_URL is asked; nothing is written.
The exit status is 1 when a family misses its floor.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

import asyncpg

from app.ingest.aliases import known_aliases
from app.ingest.importer import import_aliases
from loadtests.full_data import timed_import
from loadtests.servers import embedded_servers, environment_of, filling_indexer
from tests.relevance.judged import COLUMNS, Instrument, judged_queries
from tests.relevance.measure import Outcome, missed_floors, open_searches, outcomes, scores, table


async def main(arguments: argparse.Namespace) -> int:
    if arguments.data is None:
        return await measure(os.environ["REGISTRY_DATABASE_URL"], os.environ["REGISTRY_REDIS_URL"], arguments)
    with tempfile.TemporaryDirectory(prefix="registry-relevance-") as scratch:
        folder = Path(scratch)
        async with embedded_servers(folder) as (database_url, redis_url):
            await timed_import(database_url, arguments.data, folder)
            rejects = folder / "aliases-rejects.csv"
            await import_aliases(database_url, [known_aliases()], rejects, actor="measure")
            async with filling_indexer(folder, environment_of(database_url, redis_url)):
                pass
            return await measure(database_url, redis_url, arguments)


async def measure(database_url: str, redis_url: str, arguments: argparse.Namespace) -> int:
    connection = await asyncpg.connect(database_url)
    instruments = [Instrument(*record) for record in await connection.fetch(COLUMNS)]
    await connection.close()
    queries = judged_queries(instruments, per_family=arguments.per_family, seed=arguments.seed)
    async with open_searches(database_url, redis_url) as searches:
        found = await outcomes(searches, queries)
    by_family = scores(found)
    if arguments.show is not None:
        show_misses([outcome for outcome in found if outcome.query.family == arguments.show])
    print(table(by_family))
    missed = missed_floors(by_family)
    print("\n".join(missed) or "no family misses its floor")
    return 1 if missed else 0


def show_misses(found: list[Outcome]) -> None:
    """The queries whose first hit is wrong: where the right one came, and what came before it."""
    for outcome in found:
        if outcome.place != 1:
            first = [f"{hit['symbol']} {hit['name'][:40]}" for hit in outcome.hits[:3]]
            print(f"{outcome.query.text!r}: {outcome.place or '-'}; first {' | '.join(first) or 'none'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.relevance", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, help="folder of files to import first")
    parser.add_argument("--per-family", type=int, default=100, help="queries of each family (100)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the instruments (1)")
    parser.add_argument("--show", metavar="FAMILY", help="list its queries whose first hit is wrong")
    sys.exit(asyncio.run(main(parser.parse_args())))
