"""The pure parts of `make bench`: what is asked, what its tools have printed, verdicts, and the table."""

import json
from pathlib import Path

import pytest

from app.domain.identifiers import canonical_identifier
from loadtests.bench.__main__ import CAPACITY, PERFORMANCE
from loadtests.bench.api import VoidRun
from loadtests.bench.capacity import Costs, cores, redis_nodes, shards, tables
from loadtests.bench.locust import read_load_tests
from loadtests.bench.queries import search_path, two_word_prefixes, typing
from loadtests.bench.redis_alone import parse_monitored
from loadtests.bench.report import BEGIN, END, Figure, Row, changes, replace_tables, row_of_figure, table
from loadtests.bench.rows import _uncached
from loadtests.bench.targets import ROWS, TARGETS, row_of
from loadtests.bench.tenfold import COPIES, altered
from loadtests.bench.wrk import Deck, Load, WrkError, parse_wrk

WRK = """Running 4s test @ http://127.0.0.1:8080
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     5.10ms    1.02ms  20.11ms   91.05%
    Req/Sec    12.62k     1.01k   13.70k    85.00%
  50216 requests in 4.00s, 160.11MB read
Requests/sec:  12554.02
Transfer/sec:     40.03MB
"""
MADE = {"commit": "abc", "machine": "2 cores", "date": "2026-01-31"}


def test_what_wrk_has_measured() -> None:
    assert parse_wrk(WRK) == Load(50216, 12554.02)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (WRK + "  Non-2xx or 3xx responses: 3\n", "Non-2xx or 3xx responses: 3"),
        (
            WRK + "  Socket errors: connect 0, read 1, write 0, timeout 0\n",
            "Socket errors: connect 0, read 1",
        ),
        (WRK.replace("50216 requests", "0 requests"), "did not measure"),
        ("unable to connect to 127.0.0.1:1 Connection refused", "Connection refused"),
        ("", "it printed nothing"),
    ],
)
def test_a_run_with_errors_does_not_count(output: str, reason: str) -> None:
    with pytest.raises(WrkError, match=reason):
        parse_wrk(output)


def test_paths_are_taken_in_turn_and_again_from_the_top(tmp_path: Path) -> None:
    deck = Deck(tmp_path / "paths", ["/a", "/b", "/c"])
    assert deck.file.read_text() == "/a\n/b\n/c\n"
    assert deck.take(2) == ["/a", "/b"]
    assert deck.take(2) == ["/c", "/a"]
    deck.skip(4)
    assert deck.position == 2


def test_a_deck_without_paths_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"hot\.paths would hold no path"):
        Deck(tmp_path / "hot.paths", [])


def test_commands_are_read_as_redis_shows_them() -> None:
    line = r'1700000000.1 [0 127.0.0.1:5] "FT.SEARCH" "i:1" "@name:(\"a\" | $p0*)" "m\xc3\xbcnchen" "a\\b\n"'
    command = (b"FT.SEARCH", b"i:1", b'@name:("a" | $p0*)', "münchen".encode(), b"a\\b\n")
    assert parse_monitored(line) == command


def test_names_are_asked_for_by_their_first_word_and_a_part_of_the_second() -> None:
    assert list(two_word_prefixes("Deutsche Bank AG")) == ["deutsche ban", "deutsche bank"]
    assert not list(two_word_prefixes("3M Company"))
    assert not list(two_word_prefixes("Apple Inc."))


def test_somebody_types_letter_by_letter() -> None:
    assert list(typing("ab cd")) == ["a", "ab", "ab c", "ab cd"]
    assert list(typing("abcdefghijkl"))[-1] == "abcdefgh"


def test_paths_are_quoted() -> None:
    assert search_path(q="S&P 500", limit=5) == "/v1/instruments/search?q=S%26P+500&limit=5"
    assert search_path() == "/v1/instruments/search"


@pytest.mark.parametrize(
    ("kind", "identifier"),
    [("isin", "US0378331005"), ("cusip", "037833100"), ("sedol", "B0YBKJ7"), ("figi", "BBG000B9XRY4")],
)
def test_identifiers_of_copies_are_different_and_valid(kind: str, identifier: str) -> None:
    copies = [altered(kind, identifier, copy) for copy in range(1, COPIES + 1)]
    assert len({identifier, *copies}) == COPIES + 1
    assert [canonical_identifier(kind, copy) for copy in copies] == copies


@pytest.mark.parametrize(
    ("name", "figure", "holds"),
    [
        ("exact", Figure(4500, 10_000), True),
        ("exact", Figure(4400, 10_000), False),
        ("broad", Figure(8, 2), True),
        ("broad", Figure(8.1, 2), False),
        ("suggest.p95", Figure(5), True),
        ("suggest.p95", Figure(5.1), False),
    ],
)
def test_a_target_holds_for_a_ratio_or_for_the_figure_itself(name: str, figure: Figure, holds: bool) -> None:
    assert row_of_figure(name, figure, MADE)["holds"] is holds


@pytest.mark.parametrize(
    "sources", [{"redis": 499, "cache": 1}, {"redis": 499, "postgres": 1}, {"cache": 500}]
)
def test_a_run_that_was_not_answered_by_redis_does_not_count(sources: dict[str, int]) -> None:
    answered = Figure(1, 2, {"sources": {"redis": 500}})
    assert _uncached(answered) is answered
    with pytest.raises(VoidRun, match="not all from redis"):
        _uncached(Figure(1, 2, {"sources": sources}))


def row(name: str, figure: Figure) -> dict[str, Row]:
    return {name: row_of_figure(name, figure, MADE)}


@pytest.mark.parametrize(
    ("before", "now", "shown"),
    [
        (None, 0.5, ["new", "0.5", "holds"]),
        (0.5, 0.55, ["0.5", "0.55", "+10%", "holds"]),
        (0.6, 0.5, ["0.6", "0.5", "-17%", "holds, worse than before"]),
        (0.5, 0.4, ["0.5", "0.4", "-20%", "missed: at least 0.45, worse than before"]),
    ],
)
def test_a_change_since_the_last_figures_is_told(before: float | None, now: float, shown: list[str]) -> None:
    last = {} if before is None else row("exact", Figure(before * 1000, 1000))
    [line] = changes(last, row("exact", Figure(now * 1000, 1000)))
    assert line.split(maxsplit=len(shown)) == ["exact", *shown]


def test_less_is_worse_only_where_more_is_wanted() -> None:
    [line] = changes(row("suggest.p95", Figure(2)), row("suggest.p95", Figure(4)))
    assert line.endswith("+100% holds, worse than before")
    [line] = changes(row("suggest.p95", Figure(4)), row("suggest.p95", Figure(2)))
    assert line.endswith("-50% holds")


def test_the_table_shows_what_was_measured_in_the_order_of_the_targets() -> None:
    rows = row("suggest.p95", Figure(6.25)) | row("exact", Figure(4500, 10_000))
    *_, exact, suggest, empty, made = table(rows).splitlines()
    assert exact == (
        "| exact symbols and identifiers, every one different | 4 500/s | the bare handler: 10 000/s "
        "| 0.45 | at least 0.45 | yes |"
    )
    assert suggest.endswith("P95 | 6.25 ms |  |  | at most 5 ms | **no** |")
    assert (empty, made) == ("", "Commit abc; 2 cores; 2026-01-31.")


def test_the_table_has_its_place_in_the_document() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replace_tables(document, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    with pytest.raises(ValueError, match="add the lines"):
        replace_tables(f"before\n{BEGIN}\nafter", "new")


@pytest.mark.parametrize("page", [PERFORMANCE, CAPACITY])
def test_documents_have_a_place_for_tables(page: Path) -> None:
    replace_tables(page.read_text(encoding="utf-8"), "")


COSTS = Costs(
    hot_us=50,
    exact_us=100,
    prefix_us=200,
    redis_exact_us=20,
    redis_prefix_us=100,
    exact_growth=1.0,
    prefix_growth=2.0,
    answer_bytes=3000,
    process_mb=100,
    instruments=1_000_000,
    instrument_bytes=1600,
    rebuild_us=50,
)


@pytest.mark.parametrize(
    ("rate", "instruments", "cached", "needed"),
    [
        (10_000, 1e6, 0, (3, 1, 1)),  # 10 000 × 150 µs and × 60 µs, at 0.6 of a core
        (10_000, 1e6, 0.8, (2, 1, 1)),  # × 70 µs and × 12 µs
        (10_000, 1e7, 0, (3, 1, 2)),  # a name costs twice as much
        (10_000, 1e8, 0, (3, 8, 16)),  # 480 GB: each of 8 shards has 1.1 decades more than once
    ],
)
def test_what_a_rate_needs(
    rate: float, instruments: float, cached: float, needed: tuple[int, int, int]
) -> None:
    api = cores(rate, COSTS.api_us(cached))
    assert (api, shards(COSTS, instruments), redis_nodes(COSTS, rate, instruments, cached)) == needed


def test_a_query_of_fewer_instruments_is_not_said_to_be_cheaper_than_measured() -> None:
    assert COSTS.redis_us(1000, 0) == COSTS.redis_us(1_000_000, 0) == 60


def test_costs_are_read_from_figures() -> None:
    detail = {"service_cpu_us": 100.0, "redis_cpu_us": 20.0, "body_bytes": 3000, "service_rss_mb": 120}
    tenfold = {
        "redis_cpu_us": {"exact": {"once": 20, "tenfold": 22}, "prefix": {"once": 100, "tenfold": 150}},
        "instruments": {"once": 1000, "tenfold": 10_000},
        "rebuild_s": {"once": 0.1, "tenfold": 0.5},
    }
    measured = {
        "hot": Figure(1, 2, detail),
        "exact": Figure(1, 2, detail),
        "prefix": Figure(1, 2, detail),
        "tenfold.memory": Figure(1600, None, tenfold),
    }
    rows = {name: row_of_figure(name, figure, MADE) for name, figure in measured.items()}
    costs = Costs.of(rows)
    assert (costs.exact_growth, costs.prefix_growth, costs.rebuild_us) == (1.1, 1.5, 50)
    assert (costs.instruments, costs.instrument_bytes, costs.redis_prefix_us) == (1000, 1600, 20)
    assert "| 100 000 | 17 | 17 | 2.04 GB | 4 | 1 | 2.4 Gbit/s | 170 |" in tables(rows)


def evidence(
    folder: Path,
    started_at: str,
    measured: float | None,
    failed: str = "passed",
    file: str = "load_test_burst_1",
) -> None:
    content = {
        "shape": "burst",
        "factor": 10.0,
        "started_at": started_at,
        "thresholds": [
            {"name": "failed", "limit": 0, "measured": 1, "verdict": failed},
            {"name": "p95_above_bare_ms", "limit": 10, "measured": measured, "verdict": "passed"},
        ],
    }
    (folder / f"{file}.json").write_text(json.dumps(content))


@pytest.mark.parametrize(("newer", "older"), [("1", "2"), ("2", "1")])
def test_the_newest_load_test_counts(tmp_path: Path, newer: str, older: str) -> None:
    evidence(tmp_path, "2026-01-02", 4.5, file=f"load_test_burst_{newer}")
    evidence(tmp_path, "2026-01-01", 99, file=f"load_test_burst_{older}")
    assert read_load_tests(tmp_path) == {"locust.burst10": Figure(4.5, None, {"failed": 1})}


def test_a_load_test_with_failures_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(VoidRun, match=r"no load_test_\*\.json"):
        read_load_tests(tmp_path)
    evidence(tmp_path, "2026-01-01", 4.5, failed="missed")
    with pytest.raises(VoidRun, match="burst10 missed failed"):
        read_load_tests(tmp_path)
    evidence(tmp_path, "2026-01-02", None)
    with pytest.raises(VoidRun, match="burst10: p95_above_bare_ms was not measured"):
        read_load_tests(tmp_path)


def test_each_figure_of_a_sustained_load_is_a_row(tmp_path: Path) -> None:
    measured = {
        "failed": 0,
        "rate_ratio": 1,
        "p95_above_bare_ms": 8,
        "disturbed_p95_ratio": 3,
        "rss_growth_ratio": 1.2,
    }
    thresholds = [
        {"name": name, "limit": 0, "measured": value, "verdict": "passed" if value <= 1 else "missed"}
        for name, value in measured.items()
    ]
    content = {"shape": "sustained", "factor": 1, "started_at": "2026-01-01", "thresholds": thresholds}
    (tmp_path / "load_test_sustained_1.json").write_text(json.dumps(content))
    figures = read_load_tests(tmp_path)
    rows = {name: row_of_figure(name, figure, MADE) for name, figure in figures.items()}
    assert {name: (row["value"], row["holds"]) for name, row in rows.items()} == {
        "locust.sustained": (8, False),
        "locust.disturbed": (3, False),
        "locust.memory": (1.2, False),
    }


def test_every_target_is_of_a_row() -> None:
    assert {row_of(name) for name in TARGETS} == set(ROWS)
