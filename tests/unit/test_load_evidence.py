"""What a load test concludes from its requests, and what its shapes and plans mean."""

import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from loadtests.corpus import Entry, Zipf, corpus_of_file
from loadtests.disturbances import Disturbance
from loadtests.evidence import Measured, evaluate
from loadtests.plan import Plan
from loadtests.processes import Watched
from loadtests.records import Request, read_requests, write_requests
from loadtests.report import html_report
from loadtests.shapes import SHAPES_FILE, LoadTestError, Shape, Thresholds, read_shapes

BEGIN = 1000.0
SECONDS = 100
RATE = 10
SHAPES = read_shapes(SHAPES_FILE)


def requests_of(
    side: str = "service", *, waited_ms: float = 5.0, slow: tuple[float, float] = (0, 0)
) -> list[Request]:
    """Ten a second for a hundred seconds; those due within `slow` take ten times as long."""
    return [
        Request(
            side,
            "search",
            BEGIN + number / RATE,
            waited_ms * (10 if slow[0] <= number / RATE < slow[1] else 1),
            1.0,
            None,
        )
        for number in range(SECONDS * RATE)
    ]


def measured(
    requests: list[Request],
    *,
    disturbances: tuple[Disturbance, ...] = (),
    memory: tuple[float, float] = (100.0, 100.0),
    factor: float = 1,
    **limits: float,
) -> Measured:
    shape = Shape(
        rate_per_s=RATE / factor,
        pacing_s=1,
        warm_up_s=1,
        seconds=SECONDS,
        disturbed_s=10,
        thresholds=Thresholds(**limits),
        scaled_thresholds=Thresholds(p95_above_bare_ms=10),
    )
    first, last = memory
    samples = [(BEGIN + second, first if second < SECONDS / 2 else last) for second in range(SECONDS)]
    processes = [Watched(psutil.Process(os.getpid()), "serve", samples)]
    return Measured(shape, factor, SECONDS, BEGIN, BEGIN + SECONDS, requests, disturbances, processes)


def failing(count: int) -> list[Request]:
    requests = requests_of()
    return [one._replace(failure="status 503") for one in requests[:count]] + requests[count:]


REFRESH = Disturbance("refresh", BEGIN + 50, BEGIN + 51)
BOTH = [*requests_of(waited_ms=9.0), *requests_of("bare", waited_ms=5.0)]


@pytest.mark.parametrize(
    ("limit", "run", "figure", "verdict"),
    [
        ({"failed": 2}, measured(failing(2), failed=2), 2, "passed"),
        ({"failed": 1}, measured(failing(2), failed=1), 2, "missed"),
        ({"rate_ratio": 0.99}, measured(requests_of(), rate_ratio=0.99), 1.0, "passed"),
        ({"rate_ratio": 0.99}, measured(requests_of()[:-20], rate_ratio=0.99), 0.98, "missed"),
        ({"rate_ratio": 0.99}, measured(BOTH[:-20], rate_ratio=0.99), 0.98, "missed"),
        ({"rate_ratio": 0.99}, measured([], rate_ratio=0.99), 0.0, "missed"),
        ({"p95_ms": 5}, measured(requests_of(), p95_ms=5), 5.0, "passed"),
        ({"p95_ms": 5}, measured(requests_of(slow=(0, 6)), p95_ms=5), 50.0, "missed"),
        ({"p95_above_bare_ms": 4}, measured(BOTH, p95_above_bare_ms=4), 4.0, "passed"),
        ({"p95_above_bare_ms": 3}, measured(BOTH, p95_above_bare_ms=3), 4.0, "missed"),
        ({"p95_above_bare_ms": 10}, measured(BOTH, p95_above_bare_ms=3, factor=10), 4.0, "passed"),
        ({"p95_above_bare_ms": 3}, measured(requests_of(), p95_above_bare_ms=3), None, "not measured"),
        (
            {"disturbed_p95_ratio": 2},
            measured(requests_of(slow=(52, 54)), disturbances=(REFRESH,), disturbed_p95_ratio=2),
            10.0,
            "missed",
        ),
        (
            {"disturbed_p95_ratio": 2},
            measured(requests_of(slow=(70, 72)), disturbances=(REFRESH,), disturbed_p95_ratio=2),
            1.0,
            "passed",
        ),
        (
            {"rss_growth_ratio": 1.1},
            measured(requests_of(), memory=(100, 111), rss_growth_ratio=1.1),
            1.11,
            "missed",
        ),
        (
            {"rss_growth_ratio": 1.1},
            measured(requests_of(), memory=(100, 109), rss_growth_ratio=1.1),
            1.09,
            "passed",
        ),
    ],
)
def test_a_threshold_is_judged_by_what_was_measured(
    limit: dict[str, float], run: Measured, figure: float | None, verdict: str
) -> None:
    evidence = evaluate(run)
    [(name, value)] = limit.items()
    assert evidence["thresholds"] == [{"name": name, "limit": value, "measured": figure, "verdict": verdict}]
    assert evidence["verdict"] == ("missed" if verdict == "missed" else "passed")


def test_one_missed_threshold_of_several_is_a_missed_run() -> None:
    evidence = evaluate(measured(failing(1), failed=0, rate_ratio=0.99))
    assert [one["verdict"] for one in evidence["thresholds"]] == ["missed", "passed"]
    assert evidence["verdict"] == "missed"


def test_figures_are_told_by_side_by_request_and_over_time() -> None:
    evidence = evaluate(measured([*failing(3), *requests_of("bare", waited_ms=2.0)], failed=0))
    service, bare = evidence["sides"]["service"], evidence["sides"]["bare"]
    assert service["errors"] == {"search: status 503": 3} and service["rate_per_s"] == RATE
    assert bare["latency_ms"] == {"p50": 2.0, "p95": 2.0, "p99": 2.0, "max": 2.0}
    assert service["by_request"]["search"]["requests"] == SECONDS * RATE
    assert evidence["timeline"]["step_s"] == 1
    assert evidence["timeline"]["requests_per_s"]["bare"] == [RATE] * SECONDS
    assert orjson.loads(orjson.dumps(evidence)) == evidence


def test_a_report_is_one_page_that_needs_nothing_else(evidence: dict[str, Any]) -> None:
    page = html_report(evidence)
    assert page.count("<polyline") == 4  # two sides, twice
    assert "<title>refresh</title>" in page
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert not re.search(r"<(script|link|img)|@import|url\(|src=", page)


@pytest.fixture
def evidence() -> dict[str, Any]:
    run = measured(BOTH, disturbances=(REFRESH,), p95_ms=5, memory=(0, 0))
    run = Measured(run.shape, 1, SECONDS, BEGIN, BEGIN + SECONDS, run.requests, run.disturbances, ())
    return {
        "shape": "burst",
        "started_at": "2026-01-01T00:00:00+00:00",
        "seconds": SECONDS,
        **evaluate(run),
        "coordinated_omission": "avoided",
        "users": {"count": 10, "pacing_s": 1.0},
        "service": {"url": "http://127.0.0.1/<b>", "instruments": 7},
        "commit": None,
        "machine": {"cores": 2, "system": "Linux", "python": "3.11"},
    }


def plan_of(**values: Any) -> Plan:
    entries = [Entry(id=f"ins_{n}", symbol=f"S{n}", name="N", identifiers=[]) for n in range(1, 101)]
    return Plan(
        **{
            "url": "http://service",
            "bare_url": "http://bare",
            "users": 1,
            "shares": SHAPES.users,
            "pacing_s": 1.0,
            "warm_up_s": 1.0,
            "turn_s": 5.0,
            "seconds": 20.0,
            "choice": SHAPES.corpus,
            "corpus": entries,
            "begins_at": BEGIN,
            **values,
        }
    )


@pytest.mark.parametrize(
    ("after_s", "side"),
    [
        (-0.1, "service"),
        (0, "service"),
        (4.9, "service"),
        (5, "bare"),
        (10, "service"),
        (19.9, "bare"),
        (20, "service"),
    ],
)
def test_sides_take_turns_while_it_counts(after_s: float, side: str) -> None:
    assert plan_of().side_at(BEGIN + after_s) == side
    assert plan_of(bare_url=None).side_at(BEGIN + after_s) == "service"
    assert not plan_of().is_asked_beside(BEGIN + after_s)


def test_without_turns_the_bare_handler_is_asked_beside() -> None:
    plan = plan_of(turn_s=None)
    assert [plan.is_asked_beside(BEGIN + after_s) for after_s in (-1, 0, 19, 20)] == [
        False,
        True,
        True,
        False,
    ]
    assert plan.side_at(BEGIN + 5) == "service"
    assert not plan_of(turn_s=None, bare_url=None).is_asked_beside(BEGIN + 1)


def test_zipf_prefers_the_first_and_repeats_itself() -> None:
    zipf = Zipf(plan_of().corpus, 1.0)
    chosen = [entry.symbol for entry in zipf.choose_some(random.Random(1), 20_000)]  # noqa: S311
    counts = Counter(chosen)
    assert 1.7 < counts["S1"] / counts["S2"] < 2.3 and 8 < counts["S1"] / counts["S10"] < 13
    assert chosen == [entry.symbol for entry in zipf.choose_some(random.Random(1), 20_000)]  # noqa: S311


def test_the_shipped_thresholds_are_those_that_are_promised() -> None:
    assert (SHAPES.burst.rate_per_s, SHAPES.sustained.rate_per_s) == (213, 21)
    assert SHAPES.burst.thresholds_at(1).p95_above_bare_ms == 3
    assert SHAPES.burst.thresholds_at(10) == SHAPES.burst.thresholds.model_copy(
        update={"p95_above_bare_ms": 10}
    )
    assert SHAPES.sustained.seconds == 1800 and SHAPES.sustained.thresholds_at(1).failed == 0


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("rate_per_s = 213", "rate_per_s = 0", "burst.rate_per_s"),
        ("rate_per_s = 213", "rate = 213", "burst.rate"),
        ("rate_ratio = 0.99", "rate_ratio = 1.1", "thresholds.rate_ratio"),
        ("[users]", "[users", "no TOML"),
    ],
)
def test_a_bad_file_of_shapes_is_refused_by_field(tmp_path: Path, old: str, new: str, named: str) -> None:
    file = tmp_path / "shapes.toml"
    file.write_text(SHAPES_FILE.read_text().replace(old, new, 1))
    with pytest.raises(LoadTestError, match=re.escape(named)) as refused:
        read_shapes(file)
    assert "\n" not in str(refused.value) or named == "no TOML"


def test_a_corpus_is_the_first_lines_of_an_export(tmp_path: Path) -> None:
    file = tmp_path / "corpus.ndjson"
    line = {
        "id": "ins_1",
        "symbol": "A",
        "name": "Agilent",
        "identifiers": {"isin": "US00846U1016", "figi": None},
    }
    file.write_bytes(b"\n".join([orjson.dumps(line)] * 3))
    entry, second = corpus_of_file(file, 2)
    assert entry == second and entry.identifiers == [
        {"type": "symbol", "value": "A"},
        {"type": "isin", "value": "US00846U1016"},
    ]
    file.write_text('{"id": 1}\n')
    with pytest.raises(LoadTestError, match="line 1 of"):
        corpus_of_file(file, 2)
    file.write_text("")
    with pytest.raises(LoadTestError, match="is empty"):
        corpus_of_file(file, 2)


def test_requests_are_kept_as_they_were(tmp_path: Path) -> None:
    requests = failing(1)[:3]
    write_requests(tmp_path / "requests", requests)
    assert read_requests(tmp_path / "requests") == requests


def test_latency_may_be_measured_and_not_judged() -> None:
    for shape, factor, judged in (
        (SHAPES.sustained, 1, {"failed", "rate_ratio", "rss_growth_ratio"}),
        (SHAPES.burst, 10, {"failed", "rate_ratio"}),
    ):
        limits = shape.without_latency().thresholds_at(factor)
        assert {name for name, limit in limits if limit is not None} == judged


def test_a_shorter_run_warms_up_for_less() -> None:
    shape = SHAPES.sustained.model_copy(update={"warm_up_s": 300, "seconds": 1800})
    assert [shape.warm_up_of(seconds) for seconds in (3600, 1800, 120, 1)] == [300, 300, 20, 10]
    assert shape.model_copy(update={"warm_up_s": 3}).warm_up_of(1) == 3
