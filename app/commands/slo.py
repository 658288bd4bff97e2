"""`instrument-registry slo`."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from app.monitoring.expected import EXPECTED, Expected
from app.terminal import fail, output, print_table, server_url

slo = typer.Typer(no_args_is_help=True, help="Service levels after a deployment: report.")

DAY: Final = "24h"
MISSED: Final = 1
NOT_ENOUGH_DATA: Final = 3
UNREACHABLE: Final = 4


@slo.callback()
def levels() -> None:
    """Keeps `report` a command of its own while it is the only one."""


@slo.command("report")
def report(
    prometheus: Annotated[str, typer.Option(help="URL of Prometheus.")],
    window: Annotated[str, typer.Option(help="24h or 7d, up to now.")] = DAY,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Write this JSON file, and a page with charts beside it.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    expected_sustained: Annotated[
        float, typer.Option(min=0.001, help="Requests a second, on average.")
    ] = EXPECTED.sustained_per_s,
    expected_burst: Annotated[
        float, typer.Option(min=0.001, help="Requests a second, over five minutes at most.")
    ] = EXPECTED.burst_per_s,
    worker_rate: Annotated[
        float, typer.Option(min=0.001, help="Requests a second that one worker is good for.")
    ] = EXPECTED.worker_per_s,
    max_rows: Annotated[
        float, typer.Option(min=1, help="Instruments that Redis has room for.")
    ] = EXPECTED.rows,
) -> None:
    """What users got: reachable, P95 below 120 ms, no errors, profile operations right; use and capacity.

    Ends with 0 if all is so, 1 if something is not, 3 if there is not enough data to say so, 4 if Prometheus
    does not answer.

    Example: instrument-registry slo report --prometheus http://127.0.0.1:9090 --window 7d --output slo.json
    """
    from app.monitoring.prometheus import PrometheusUnavailable
    from app.monitoring.slo import WINDOWS, State
    from app.monitoring.slo_page import html_problem, html_report

    if window not in WINDOWS:
        fail(f"--window: {window!r} is none; it is {' or '.join(WINDOWS)}")
    server_url(prometheus, "--prometheus")
    if file is not None and file.suffix == ".html":
        fail("--output: names the JSON file; the page with charts is written beside it as .html")
    expected = Expected(expected_sustained, expected_burst, worker_rate, max_rows)
    try:
        found = asyncio.run(_ask(prometheus, window, expected))
    except PrometheusUnavailable as error:
        problem = {"verdict": "Prometheus does not answer", "problem": str(error), "window": window}
        _write(file, problem, html_problem(str(error)))
        fail(f"{error}; start it, or name another with --prometheus", UNREACHABLE)
    _write(file, found, html_report(found))
    if as_json:
        output.out(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode(), highlight=False)
    else:
        _print(found)
    if found["verdict"] == State.MISSED:
        missed = [one["measured"] for one in found["questions"] if one["state"] == State.MISSED]
        fail("; ".join(missed), MISSED)
    if found["verdict"] == State.NOT_ENOUGH_DATA:
        fail(
            f"not enough data: Prometheus reached it for {found['coverage']:.1%} of the window, "
            f"{found['coverage_needed']:.0%} are needed; {_unanswered(found)}",
            NOT_ENOUGH_DATA,
        )


async def _ask(url: str, window: str, expected: Expected) -> dict[str, Any]:
    import aiohttp

    from app.monitoring.prometheus import Prometheus
    from app.monitoring.slo import report

    async with aiohttp.ClientSession() as session:
        return await report(Prometheus(session, url), window, expected)


def _write(file: Path | None, content: dict[str, Any], page: str) -> None:
    if file is None:
        return
    try:
        file.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        file.with_suffix(".html").write_text(page, encoding="utf-8")
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror}); name another file with --output")


def _print(found: dict[str, Any]) -> None:
    output.print(f"{found['window']}, from {found['from']} to {found['to']}: {found['verdict']}")
    print_table(
        ("question", "answer", "measured", "limit"),
        [(one["question"], one["state"], one["measured"], one["limit"]) for one in found["questions"]],
    )
    print_table(
        ("use", "actual/s", "expected/s", "ratio", ""), [tuple(one.values()) for one in found["use"]["rates"]]
    )
    print_table(
        ("capacity of", "now", "limit", "a day", "state"),
        [
            tuple(one.get(name) for name in ("of", "now", "limit", "per_day", "state"))
            for one in found["capacity"]
        ],
    )


def _unanswered(found: dict[str, Any]) -> str:
    return "; ".join(one["measured"] for one in found["questions"] if one["state"] == found["verdict"])
