"""Searches find what is meant, on the bundled sample; `make relevance` measures them on real data."""

from pathlib import Path

import pytest

from app.ingest.aliases import known_aliases
from app.ingest.importer import import_aliases, import_rows
from app.ingest.sample import sample_source
from app.store.postgres import Connection
from tests.integration.conftest import WaitLevel
from tests.integration.conftest import indexer as indexer
from tests.relevance.judged import COLUMNS, Instrument, judged_queries
from tests.relevance.measure import Outcome, Score, missed_floors, open_searches, outcomes, scores, table

PER_FAMILY = 25


@pytest.fixture
async def found(
    database_url: str, database: Connection, redis_url: str, indexer: WaitLevel, tmp_path: Path
) -> list[Outcome]:
    """What became of judged queries over the sample."""
    await import_rows(database_url, [sample_source()], tmp_path / "rejects.csv", actor="tests")
    await import_aliases(database_url, [known_aliases()], tmp_path / "rejects.csv", actor="tests")
    await indexer()
    instruments = [Instrument(*record) for record in await database.fetch(COLUMNS)]
    queries = judged_queries(instruments, per_family=PER_FAMILY, seed=1)
    async with open_searches(database_url, redis_url) as searches:
        return await outcomes(searches, queries)


async def test_no_family_of_queries_misses_its_floor(found: list[Outcome]) -> None:
    by_family = scores(found)
    missed = missed_floors(by_family)
    wrong = [(outcome.query.family, outcome.query.text) for outcome in found if outcome.place != 1]
    assert not missed, f"{missed}\n{table(by_family)}\n{wrong}"
    assert by_family["head"].queries >= 100


def test_a_family_that_misses_its_floor_is_told() -> None:
    poor = {
        "all": Score(2, 0.94, 0.9, 1.0),
        "typo": Score(1, 0.86, 0.8, 1.0),
        "isin": Score(1, 0.99, 0.98, 1.0),
    }
    assert [line.partition(":")[0] for line in missed_floors(poor)] == ["all", "isin"]
