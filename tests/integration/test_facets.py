"""Facets count the hits of a search exactly, whatever became of the documents before."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from app.domain.query import FILTERS, Search
from app.search.cells import CHANGED, VERSION
from app.search.expression import search_plan
from app.search.facets import hits_counted
from app.search.generation import cells_key, document_key
from app.search.schema import KEY_OF, tag_value
from app.store import search_index
from app.store.cell_counts import CellCounts
from app.store.facets import Facets
from app.store.index_jobs import IndexJobs, JobKind, JobState
from app.store.index_state import read_cells, read_live_state
from app.store.postgres import Connection
from app.store.search_index import SearchIndex
from indexer.verify import verify
from tests.integration.conftest import (
    Client,
    Import,
    WaitLevel,
    carry_out,
    current_writer,
    eventually,
    get_json,
    running_api,
)
from tests.integration.test_api import SEARCH
from tests.integration.test_degraded import NOWHERE

SECTORS = ["Energy", "energy", "Énergie", "énergie", "Oil, Gas & Coal", "a|b", "007", "{x} @y:*", None]
WORDS = ["alpha", "beta", "gamma", "delta", "alphabet"]
ALL = ",".join(FILTERS)
SEARCHES: list[dict[str, Any]] = [
    {},
    {"mic": "XETR"},
    {"sector": "ENERGY"},
    {"sector": "énergie"},
    {"sector": "a|b", "status": ["active", "delisted"]},
    {"asset_class": ["equity", "etf"], "currency": "EUR"},
    {"country": "DE", "status": "suspended"},
    {"mic": "XLON", "currency": "JPY", "sector": "nowhere"},
    {"q": "alpha"},
    {"q": "beta", "mic": ["XETR", "XNYS"]},
    {"q": "gamma delta", "currency": "EUR", "asset_class": "equity"},
    {"q": "alpha", "sort": "symbol"},
    {"q": "g"},
    {"q": "nothing has this"},
    {"q": "-"},
]


def catalogue(seed: int, count: int = 250) -> list[Mapping[str, Any]]:
    chance = random.Random(seed)  # noqa: S311 - nothing is secret
    return [
        {
            "symbol": f"S{number}",
            "name": " ".join(chance.sample(WORDS, 2)),
            "asset_class": chance.choice(["equity", "etf", "fund"]),
            "mic": chance.choice(["XETR", "XNYS", "XNAS", None]),
            "currency": chance.choice(["EUR", "USD", None]),
            "country": chance.choice(["DE", "US", "FR", None]),
            "sector": chance.choice(SECTORS),
            "status": chance.choice(["active"] * 3 + ["delisted", "suspended"]),
        }
        for number in range(count)
    ]


async def facets(client: Client, names: str = ALL, **parameters: Any) -> dict[str, Any]:
    """A search's answer, whose facets add up to its total."""
    answer: dict[str, Any] = await get_json(client, SEARCH, facets=names, **parameters)
    assert list(answer["facets"]) == names.split(",")
    for facet in answer["facets"].values():
        counts = [value["count"] for value in facet["values"]]
        assert sum(counts) + facet["other"] + facet["missing"] == answer["total"]
        assert all(counts)
    return answer


async def expected(client: Client, database: Connection, search: dict[str, Any]) -> dict[str, Any]:
    """The facets as Postgres's rows have them: of what the search lists, or its filters let through."""
    rows = await database.fetch("SELECT 'ins_' || id AS public_id, * FROM instruments")
    if "q" in search:
        hits = {hit["id"] for hit in await all_hits(client, search)}
        rows = [row for row in rows if row["public_id"] in hits]
    else:
        rows = [row for row in rows if is_let_through(row, search)]
    return {name: brute_force(tag_value(row[name] or "") for row in rows) for name in FILTERS}


def brute_force(values: Any) -> dict[str, Any]:
    counts = Counter(values)
    missing = counts.pop("", 0)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0].encode()))
    return {
        "values": [{"value": value, "count": count} for value, count in ordered],
        "other": 0,
        "missing": missing,
    }


def is_let_through(row: Any, search: dict[str, Any]) -> bool:
    filters = {"status": "active", **search}
    wanted = {
        name: {values} if isinstance(values, str) else set(values)
        for name, values in filters.items()
        if name in FILTERS
    }
    return all(
        ascii_folded(row[name]) in {ascii_folded(value) for value in values}
        for name, values in wanted.items()
    )


def ascii_folded(value: str | None) -> bytes:
    """As the embedded query engine compares values."""
    return tag_value(value or "").encode().lower()


async def all_hits(client: Client, search: dict[str, Any]) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next_cursor": None}
    while not hits or page["next_cursor"]:
        more = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = await get_json(client, SEARCH, limit=100, **more, **search)
        hits += page["hits"]
        if not page["hits"]:
            break
    return hits


async def check(client: Client, database: Connection, searches: Sequence[dict[str, Any]] = SEARCHES) -> None:
    for search in searches:
        answer = await facets(client, **search)
        assert answer["facets"] == await expected(client, database, search), search


async def move(database: Connection, chance: random.Random) -> None:
    """Some instruments change cells, some stay in theirs, some go."""
    for number in chance.sample(range(1, 200), 40):
        await database.execute(
            "UPDATE instruments SET mic = $2, sector = $3, status = $4 WHERE id = $1",
            number,
            chance.choice(["XETR", "XTKS", None]),
            chance.choice(SECTORS),
            chance.choice(["active", "delisted"]),
        )
    await database.execute("UPDATE instruments SET industry = 'x' WHERE id % 7 = 0")
    await database.execute("DELETE FROM instruments WHERE id % 11 = 3")


@pytest.mark.parametrize("seed", [1, 2])
async def test_they_are_what_counting_every_row_gives(
    seed: int,
    api: Client,
    database: Connection,
    redis_client: Redis,
    indexer: WaitLevel,
    import_instruments: Import,
) -> None:
    chance = random.Random(seed)  # noqa: S311 - nothing is secret
    await import_instruments(catalogue(seed))
    await indexer()
    await check(api, database)
    await move(database, chance)
    await import_instruments([{**row, "symbol": f"N{row['symbol']}"} for row in catalogue(seed + 100, 40)])
    await indexer()
    await check(api, database)
    jobs = IndexJobs(database)
    assert (await carry_out(jobs, JobKind.REBUILD)).state is JobState.DONE
    await check(api, database, SEARCHES[::3])
    await move(database, chance)
    await indexer()
    assert (await carry_out(jobs, JobKind.ROLLBACK)).state is JobState.DONE
    await check(api, database, SEARCHES[::3])
    # Each kept generation counts its own documents, and a cell without any is none.
    for number in await (await current_writer(redis_client)).generations():
        cells = await redis_client.hgetall(cells_key(number))
        assert all(int(count) > 0 for name, count in cells.items() if name not in (VERSION, CHANGED))


@pytest.fixture
async def shop(api: Client, indexer: WaitLevel, import_instruments: Import) -> Client:
    """Five venues with 5, 4, 3, 3 and 1 instruments, and two instruments without."""
    rows = [
        {"symbol": f"{mic or 'NONE'}{n}", "name": f"Company {mic} {n}", "asset_class": "equity", "mic": mic}
        for mic, count in {"XNYS": 5, "XETR": 4, "XPAR": 3, "XLON": 3, "XTKS": 1, None: 2}.items()
        for n in range(count)
    ]
    await import_instruments(rows)
    await indexer()
    return api


@pytest.mark.parametrize("text", ["", "company"])
async def test_the_most_frequent_values_come_first_and_the_others_are_counted(
    shop: Client, text: str
) -> None:
    answer = await facets(shop, "mic,sector", q=text, facet_limit=3, limit=1)
    assert answer["facets"] == {
        "mic": {
            "values": [
                {"value": "XNYS", "count": 5},
                {"value": "XETR", "count": 4},
                {"value": "XLON", "count": 3},
            ],
            "other": 4,
            "missing": 2,
        },
        "sector": {"values": [], "other": 0, "missing": 18},
    }


async def test_they_are_there_only_when_asked_for(shop: Client) -> None:
    assert "facets" not in await get_json(shop, SEARCH)
    assert "facets" not in await get_json(shop, SEARCH, facet_limit=3)


@pytest.mark.parametrize("text", ["", "company"])
async def test_pages_carry_those_of_the_whole_search(shop: Client, text: str) -> None:
    first = await facets(shop, "mic", q=text, limit=5)
    assert first["total"] == 18
    second = await facets(shop, "mic", q=text, limit=5, cursor=first["next_cursor"])
    assert second["facets"] == first["facets"]
    assert (await facets(shop, "mic", q=text, limit=5, offset=15))["facets"] == first["facets"]
    other = await get_json(shop, SEARCH, q=text, limit=5, cursor=first["next_cursor"])
    assert "facets" not in other  # a cursor is not bound to them


async def test_names_in_several_parameters_are_as_good_as_commas(shop: Client) -> None:
    answer = await get_json(shop, f"{SEARCH}?facets=mic&facets=currency,%20status")
    assert list(answer["facets"]) == ["mic", "currency", "status"]


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("facets=name", "facets", "'name' is unknown; known are asset_class, mic"),
        ("facets=", "facets", "'' is unknown"),
        ("facets=mic,", "facets", "'' is unknown"),
        ("facets=mic,mic", "facets", "name each once"),
        ("facets=mic&facets=sector,mic", "facets", "name each once"),
        ("facets=mic&facet_limit=0", "facet_limit", "from 1 to 100"),
        ("facets=mic&facet_limit=101", "facet_limit", "from 1 to 100"),
        ("facets=mic&facet_limit=5&facet_limit=6", "facet_limit", "give it once"),
    ],
)
async def test_what_cannot_be_counted_is_refused_by_name(
    api: Client, query: str, field: str, message: str
) -> None:
    async with api.get(f"{SEARCH}?{query}") as response:
        assert response.status == 400
        (error,) = (await response.json())["errors"]
    assert error["field"] == field
    assert message in error["message"]


async def test_names_that_are_nearly_what_was_typed_are_counted_with_the_total(
    api: Client, indexer: WaitLevel, import_instruments: Import
) -> None:
    names = {"Volkswagen": "XETR", "Volkswagen Bank": "XPAR", "Volkswager": "XNYS"}
    await import_instruments(
        [
            {"symbol": f"V{n}", "name": name, "asset_class": "equity", "mic": mic, "sector": "a|b"}
            for n, (name, mic) in enumerate(names.items())
        ]
    )
    await indexer()
    answer = await facets(api, "mic,sector", q="volkswagon")
    assert (answer["total"], answer["did_you_mean"]) == (3, "volkswagen")
    assert answer["facets"]["mic"]["values"] == [
        {"value": mic, "count": 1} for mic in ("XETR", "XNYS", "XPAR")
    ]
    assert answer["facets"]["sector"]["values"] == [{"value": "a b", "count": 3}]


async def test_a_name_that_begins_with_several_words_is_no_guess(
    api: Client, indexer: WaitLevel, import_instruments: Import
) -> None:
    await import_instruments(
        [
            {"symbol": f"A{n}", "name": name, "asset_class": "equity"}
            for n, name in enumerate(("Volkswagen Bank Works", "Volkswager Bank Works"))
        ]
    )
    await indexer()
    for text, found in (("volkswagen bank", ["A0"]), ("bank volkswagen", ["A0", "A1"])):
        hits = (await get_json(api, SEARCH, q=text))["hits"]
        assert [hit["symbol"] for hit in hits] == found


async def test_there_are_none_from_postgres(database_url: str, import_instruments: Import) -> None:
    await import_instruments(catalogue(3, 5))
    async with running_api(database_url, NOWHERE) as client:
        assert "facets" not in await get_json(client, SEARCH, facets="mic")


async def live_cells(client: Redis) -> str:
    state = await read_live_state(client)
    assert state is not None
    return cells_key(state.generation)


SPOILT = "equity\x1f\x1f\x1f\x1f\x1factive"
"""The cell of two instruments of the shop."""


async def test_a_process_reads_cells_again_only_when_they_have_changed(
    shop: Client, database: Connection, redis_client: Redis, indexer: WaitLevel
) -> None:
    await facets(shop)
    key = await live_cells(redis_client)
    version = await redis_client.hget(key, VERSION)
    await database.execute("UPDATE instruments SET industry = 'x'")
    await indexer()
    assert await redis_client.hget(key, VERSION) == version  # documents changed, no cell did
    await redis_client.hset(key, SPOILT, 999)
    assert (await facets(shop))["total"] == 18
    await database.execute("UPDATE instruments SET currency = 'JPY' WHERE mic = 'XTKS'")

    async def are_read() -> bool:
        return bool((await facets(shop))["total"] == 18 - 2 + 999)

    await eventually(are_read)
    assert await redis_client.hget(key, VERSION) != version


async def test_counts_that_are_off_are_found_and_mended(
    shop: Client, database_url: str, database: Connection, redis_client: Redis, indexer: WaitLevel
) -> None:
    await redis_client.hset(await live_cells(redis_client), SPOILT, 999)
    drift = await verify(database_url, redis_client, 0)
    assert (drift.miscounted, drift.is_repairable) == (997, True)
    assert (await carry_out(IndexJobs(database), JobKind.REPAIR)).state is JobState.DONE
    assert (await indexer()).miscounted == 0
    await check(shop, database, [{}])


async def test_counting_that_runs_out_of_time_says_so(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await current_writer(redis_client)
    await writer.create_generation(1)
    pipeline = redis_client.pipeline(transaction=False)
    for number in range(30_000):
        pipeline.hset(document_key(1, number), mapping={KEY_OF["starts"]: "a", KEY_OF["mic"]: str(number)})
    await pipeline.execute()
    search = Search("a", facets=("mic",))
    index = SearchIndex(redis_client, share_ms=5000)
    facets = Facets(index, CellCounts(index))
    monkeypatch.setattr(search_index, "REPLY_GRACE_S", 5)
    counts, warnings = await facets.count(1, search, search_plan(search), timeout_ms=1)
    assert warnings == ("Timeout limit was reached",)
    assert hits_counted(counts) < 30_000
    counts, warnings = await facets.count(1, search, search_plan(search), timeout_ms=5000)
    assert (hits_counted(counts), warnings) == (30_000, ())
    await index.close()


async def test_a_generation_that_is_gone_takes_its_cells_along(
    shop: Client, redis_client: Redis, database: Connection
) -> None:
    jobs = IndexJobs(database)
    state = await read_live_state(redis_client)
    assert state is not None
    for _ in range(2):
        await carry_out(jobs, JobKind.REBUILD)
    assert await read_cells(redis_client, state.generation) is None
    generations = await (await current_writer(redis_client)).generations()
    keys = await redis_client.keys("ir:cells:*")
    assert set(keys) == {cells_key(generation).encode() for generation in generations}
