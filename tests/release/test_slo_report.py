"""`slo report` against a real Prometheus that knows the past days."""

import asyncio
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner, Result

from app.cli import cli
from app.embedded.children import free_port
from app.monitoring.expected import Expected
from app.monitoring.growth import DAY_S, Growth
from app.monitoring.slo import is_right
from tests.release.backfilled import DAY, HOUR, INTERVAL_S, Past, prometheus_with

WEEK: Final = 7 * DAY + HOUR
RATE: Final = 10.0
GROWTH: Final = 1000
"""Instruments a day."""
SEARCH: Final = {"job": "registry", "instance": "a", "route": "/v1/instruments/search", "method": "GET"}
PROFILE: Final = {"job": "registry", "instance": "a", "operation": "patch"}


def rising(per_s: float, since: float, begin: float = 5000.0) -> Callable[[float], float]:
    return lambda age: begin + (since - age) * per_s


def steady(value: float) -> Callable[[float], float]:
    return lambda _: value


def requests(since: float, within: float, status: str = "200", **labels: str) -> list[Past]:
    """`within` of them in 120 ms, half of that in 50 ms, the others in 250 ms."""
    name, of = "registry_http_request_seconds", SEARCH | {"status": status} | labels
    shares = {"0.05": within / 2, "0.12": within, "0.25": 1.0, "+Inf": 1.0}
    return [
        *(
            Past(f"{name}_bucket", of | {"le": le}, rising(RATE * share, since, 5000 * share), since)
            for le, share in shares.items()
        ),
        Past(f"{name}_count", of, rising(RATE, since), since),
    ]


def up(since: float, down: float = 0, until: float = 0) -> list[Past]:
    """With nobody there from `down` seconds ago until `until` seconds ago."""
    of = {"job": "registry", "instance": "a"}
    return [
        Past("up", of, lambda age: float(not until <= age < down), since, 15 if down else INTERVAL_S),
        Past("registry_workers", of, steady(2), since),
        Past(
            "registry_index_rows",
            {"job": "registry-indexer"},
            lambda age: 100_000 - age / DAY * GROWTH,
            since,
        ),
    ]


def profiles(since: float, result: str, begin: float) -> Past:
    return Past(
        "registry_profile_operations_total", PROFILE | {"result": result}, rising(0.1, since, begin), since
    )


def slo(url: str, *options: str) -> Result:
    return CliRunner().invoke(cli, ["slo", "report", "--prometheus", url, *options])


def report(url: str, *options: str) -> tuple[int, dict[str, Any]]:
    result = slo(url, "--json", *options)
    return result.exit_code, orjson.loads(result.stdout)


def states(found: dict[str, Any]) -> list[str]:
    return [one["state"] for one in found["questions"]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A week in which all was well; errors of long ago and of an administrator's route among it."""
    pasts = [
        *requests(WEEK, 0.96),
        *up(WEEK),
        profiles(WEEK, "done", 50),
        Past("registry_http_request_seconds_count", SEARCH | {"status": "500"}, steady(3), WEEK),
        Past(
            "registry_http_request_seconds_count",
            SEARCH | {"status": "503", "route": "/v1/admin/index"},
            steady(1),
            2 * HOUR,
        ),
        profiles(3 * HOUR, "PreconditionFailed", 1),
    ]
    with prometheus_with(tmp_path_factory.mktemp("good"), pasts) as url:
        yield url


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A day with too many slow requests, and one error that came once and stayed at 1."""
    since = DAY + HOUR
    pasts = [
        *requests(since, 0.9499),
        *up(since),
        profiles(since, "done", 50),
        Past(
            "registry_http_request_seconds_count",
            SEARCH | {"status": "500", "route": "/v1/subscription-profiles"},
            steady(1),
            5 * HOUR,
        ),
        Past(
            "registry_profile_operations_total",
            PROFILE | {"result": "PostgresUnavailable"},
            steady(1),
            5 * HOUR,
        ),
    ]
    with prometheus_with(tmp_path_factory.mktemp("bad"), pasts) as url:
        yield url


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prometheus looks for two hours only."""
    since = 2 * HOUR
    with prometheus_with(
        tmp_path_factory.mktemp("short"), [*requests(since, 0.99), *up(since), profiles(since, "done", 50)]
    ) as url:
        yield url


@pytest.mark.parametrize(("window", "days"), [("24h", 1), ("7d", 7)])
def test_a_good_window_passes_with_its_numbers(good: str, window: str, days: int) -> None:
    status, found = report(good, "--window", window)
    assert (status, found["verdict"], states(found)) == (0, "passed", ["passed"] * 4), found["questions"]
    reachable, latency, errors, profile = found["questions"]
    assert latency["requests"] == pytest.approx(days * DAY * RATE, rel=0.01)
    assert latency["share"] == pytest.approx(0.96, abs=0.001) and 50 < latency["p95_ms"] < 120
    assert errors["errors"] == 0
    assert (found["reachable"], reachable["down_s"], reachable["reachable"]) == (1, 0, 1)
    assert [(one["route"], one["judged"]) for one in errors["by_route"]] == [("/v1/admin/index", False)]
    assert {(one["result"], one["right"]) for one in profile["by_result"]} == {
        ("done", True),
        ("PreconditionFailed", True),
    }
    assert found["coverage"] > 0.99
    sustained, burst = found["use"]["rates"]
    assert sustained["actual_per_s"] == pytest.approx(RATE, rel=0.01)
    assert sustained["ratio"] == pytest.approx(RATE / 21, rel=0.02)
    assert burst["actual_per_s"] == pytest.approx(RATE, rel=0.05) and burst["expected_per_s"] == 213
    assert {one["state"] for one in found["use"]["rates"]} == {"within what is expected"}


def test_use_above_what_is_expected_is_said(good: str) -> None:
    _, found = report(good, "--expected-sustained", "9", "--expected-burst", "9.5")
    assert {one["state"] for one in found["use"]["rates"]} == {"above what is expected"}


def test_growth_is_followed_to_the_limit(good: str) -> None:
    _, week = report(good, "--window", "7d", "--max-rows", "110000", "--worker-rate", "100")
    rate, rows = week["capacity"]
    assert rows["per_day"] == pytest.approx(GROWTH, rel=0.02)
    assert rows["days_until_limit"] == pytest.approx(10, abs=0.6) and rows["limit"] == 110_000
    assert rate["state"] == "no growth that can be told from noise"
    assert (rate["limit"], rate["used"]) == (200, pytest.approx(0.05, rel=0.02))
    _, day = report(good)
    assert {one["state"] for one in day["capacity"]} == {"not enough data"}


def test_what_is_missed_is_said_with_its_numbers(bad: str) -> None:
    result = slo(bad)
    assert result.exit_code == 1
    assert "1 of 864," in result.stderr.replace("\n", "") and "94.98 %" in result.stderr
    status, found = report(bad)
    assert (status, states(found)) == (1, ["passed"] + ["missed"] * 3)
    assert found["questions"][2]["errors"] == 1
    assert found["questions"][3]["wrong"] == found["questions"][3]["answered_5xx"] == 1


def test_a_window_that_was_not_watched_does_not_pass(short: str) -> None:
    result = slo(short)
    assert result.exit_code == 3 and "Prometheus reached it for 8." in result.stderr
    status, found = report(short)
    assert (status, states(found)) == (3, ["not enough data"] * 4)


def test_a_prometheus_that_knows_nothing_does_not_pass(tmp_path: Path) -> None:
    with prometheus_with(tmp_path, []) as url:
        file = tmp_path / "slo.json"
        result = slo(url, "--output", str(file))
    assert result.exit_code == 3 and "reached it for 0.0%" in result.stderr
    assert orjson.loads(file.read_bytes())["verdict"] == "not enough data"
    assert "not enough data" in file.with_suffix(".html").read_text()


def test_a_prometheus_that_is_away_is_said_and_the_old_report_replaced(tmp_path: Path) -> None:
    file = tmp_path / "slo.json"
    file.write_text('{"verdict": "passed"}')
    result = slo(f"http://127.0.0.1:{free_port()}", "--output", str(file))
    assert result.exit_code == 4 and "does not answer" in result.stderr
    assert orjson.loads(file.read_bytes())["verdict"] == "Prometheus does not answer"
    assert "not known" in file.with_suffix(".html").read_text()


@pytest.mark.parametrize(
    ("down", "states_then", "coverage"),
    [
        (60, ["passed"] * 4, 0.999),
        (300, ["missed", *["passed"] * 3], 0.996),
        (3 * HOUR, ["missed", *["not enough data"] * 3], 0.875),
    ],
)
def test_time_without_an_answer_is_missed_and_covers_nothing(
    tmp_path: Path, down: int, states_then: list[str], coverage: float
) -> None:
    since = DAY + HOUR
    pasts = [*requests(since, 0.99), *up(since, 6 * HOUR, 6 * HOUR - down), profiles(since, "done", 50)]
    with prometheus_with(tmp_path, pasts) as url:
        file = tmp_path / "slo.json"
        result = slo(url, "--output", str(file))
    found = orjson.loads(file.read_bytes())
    assert states(found) == states_then, found["questions"]
    assert found["coverage"] == pytest.approx(coverage, abs=0.001)
    assert found["reachable"] == pytest.approx(1 - down / DAY, abs=0.0005)
    assert found["questions"][0]["down_s"] == pytest.approx(down, abs=30)
    assert "Was it reachable?" in result.stdout
    assert found["questions"][0]["measured"] in file.with_suffix(".html").read_text()
    if states_then[0] == "missed":
        assert (result.exit_code, found["verdict"]) == (1, "missed") and "nobody answered" in result.stderr


async def test_a_user_and_a_password_are_sent_and_never_shown(tmp_path: Path) -> None:
    """Asked of a server that lets in who has them, and refuses every query by quoting none of it."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Authorization"])
        return web.json_response({"status": "error", "error": "too busy"}, status=503)

    app = web.Application()
    app.router.add_post("/api/v1/query_range", answer)
    file = tmp_path / "slo.json"
    async with TestServer(app) as server:
        address = f"127.0.0.1:{server.port}"
        url = f"http://ada:s%40cr%E2%82%ACt@{address}"
        refused = await asyncio.to_thread(slo, url, "--output", str(file))
    away = await asyncio.to_thread(slo, url)
    assert asked[0] == encode_basic_auth("ada", "s@cr€t")
    assert (refused.exit_code, away.exit_code) == (4, 4)
    assert f"Prometheus at http://{address} refuses a query with 503: too busy" in refused.stderr
    assert "does not answer" in away.stderr
    for shown in (refused.stderr, away.stderr, file.read_text(), file.with_suffix(".html").read_text()):
        assert "ada" not in shown and "%40cr" not in shown


def test_the_report_is_written_with_charts(good: str, tmp_path: Path) -> None:
    file = tmp_path / "slo.json"
    result = slo(good, "--window", "7d", "--output", str(file))
    assert result.exit_code == 0, result.stderr
    page = file.with_suffix(".html").read_text()
    assert page.count("<svg") == 5 and orjson.loads(file.read_bytes())["window"] == "7d"
    assert not re.search(r"<(script|link|img)|@import|url\(|src=", page)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--prometheus", "prometheus:9090"], "--prometheus: is no URL of a server"),
        (["--prometheus", "http://127.0.0.1:1", "--window", "1h"], "--window"),
        (["--prometheus", "http://127.0.0.1:1", "--output", "slo.html"], "--output"),
    ],
)
def test_bad_options_are_named(options: list[str], named: str) -> None:
    result = CliRunner().invoke(cli, ["slo", "report", *options])
    assert result.exit_code == 1 and named in result.stderr


@pytest.mark.parametrize(
    ("result", "right"),
    [
        ("done", True),
        ("replayed", True),
        ("not_modified", True),
        ("NotFound", True),
        ("NameTaken", True),
        ("PreconditionFailed", True),
        ("InvalidInput", True),
        ("PostgresUnavailable", False),
        ("Unavailable", False),
        ("SearchTimedOut", False),
        ("KeyError", False),
    ],
)
def test_refusals_are_right_and_failures_are_not(result: str, right: bool) -> None:
    assert is_right(result) is right


def daily(*values: float, points: int = 24) -> list[tuple[float, float]]:
    """Hourly points, the last day ending at 0."""
    return [
        (-(len(values) - day) * DAY_S + (hour + 0.5) * DAY_S / points, value)
        for day, value in enumerate(values)
        for hour in range(points)
    ]


def test_growth_is_told_from_noise() -> None:
    steady = Growth.of(daily(10, 20, 30, 40, 50), 0)
    assert steady is not None and (steady.days, round(steady.per_day), round(steady.now)) == (5, 10, 55)
    assert steady.days_until(155) == pytest.approx(10) and steady.days_until(50) == 0
    noisy = Growth.of(daily(10, 30, 5, 28, 12), 0)
    assert noisy is not None and noisy.days_until(100) is None
    shrinking = Growth.of(daily(50, 40, 30, 20), 0)
    assert shrinking is not None and shrinking.days_until(100) is None
    assert Growth.of(daily(1, 2, 3), 0) is None
    assert Growth.of([], 0) is None
    assert Growth.of([*daily(1, 2, 3), (-3.9 * DAY_S, 9.0)], 0) is None  # one point is no day
    assert Growth.of([(at, math.nan) for at, _ in daily(1, 2, 3, 4)], 0) is None


def test_the_limits_are_those_of_the_measurements() -> None:
    rows = orjson.loads(Path("docs/bench.json").read_bytes())
    exact, prefix = (rows[name]["detail"]["service_cpu_us"] for name in ("exact", "prefix"))
    assert Expected().worker_per_s == pytest.approx(0.6 / ((exact + prefix) / 2 / 1e6), rel=0.01)
    assert Expected().rows == pytest.approx(64e9 / 3 / rows["tenfold.memory"]["measured"], rel=0.01)
