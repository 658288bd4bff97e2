"""The report on service levels as a page with charts, made of its numbers alone."""

from collections.abc import Mapping
from typing import Any, Final

from app.report_page import chart, heading, html_page, paragraph, table

_CHARTS: Final = {
    "p95_ms": "P95, in milliseconds",
    "requests_per_s": "Requests per second",
    "errors_per_s": "Answers with 5xx per second",
    "profile_operations_per_s": "Profile operations per second",
    "rows": "Instruments in Postgres",
}


def html_report(report: Mapping[str, Any]) -> str:
    ends = report["from"], report["to"]
    _, latency, errors, profiles = report["questions"]
    parts = [
        paragraph(
            f"From {report['from']} to {report['to']}. Prometheus reached it for {report['coverage']:.1%} "
            f"of that ({report['coverage_needed']:.0%} are needed)."
        ),
        table(
            ("question", "answer", "measured", "limit"),
            [(one["question"], one["state"], one["measured"], one["limit"]) for one in report["questions"]],
        ),
        *(chart(title, {title: report["lines"][name]}, ends) for name, title in _CHARTS.items()),
        heading("Latency by route"),
        paragraph(f"P50 {latency['p50_ms']} ms, P95 {latency['p95_ms']} ms, P99 {latency['p99_ms']} ms."),
        table(
            ("route", "requests", "within the limit"),
            [(one["route"], one["requests"], one["share"]) for one in latency["by_route"]],
        ),
        heading("Errors"),
        table(
            ("route", "status", "errors", "judged"),
            [
                (one["route"], one["status"], one["errors"], "yes" if one["judged"] else "no")
                for one in errors["by_route"]
            ],
        ),
        heading("Profile operations"),
        table(
            ("operation", "result", "times", "right"),
            [
                (one["operation"], one["result"], one["times"], "yes" if one["right"] else "no")
                for one in profiles["by_result"]
            ],
        ),
        heading("Use: actual and expected"),
        table(
            ("rate", "actual a second", "expected", "ratio", ""),
            [tuple(one.values()) for one in _use(report)],
        ),
        heading("Capacity"),
        table(
            ("of", "now", "limit", "used", "a day", "±", "state", "by"),
            [
                tuple(
                    one.get(name)
                    for name in ("of", "now", "limit", "used", "per_day", "per_day_error", "state", "why")
                )
                for one in report["capacity"]
            ],
        ),
    ]
    return html_page(f"Service levels of {report['window']}: {report['verdict']}", parts)


def html_problem(problem: str) -> str:
    """The page where there is no report, so that none of before is taken for it."""
    return html_page("Service levels: not known", [paragraph(problem)])


def _use(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    rates: list[dict[str, Any]] = report["use"]["rates"]
    return rates
