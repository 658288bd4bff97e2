"""What analyses of a rollout must ask: the queries of `app.monitoring.queries` with its plan's numbers.

Every query is of the canary alone, and answers nothing where too little was asked of it.
"""

import tomllib
from pathlib import Path
from typing import Any, Final

from app.monitoring import queries
from app.monitoring.queries import CANARY, STABLE
from app.rollout.plan import STANDARD_ERRORS

ROOT: Final = Path(__file__).parents[2]
PLAN: Final[dict[str, Any]] = tomllib.loads((ROOT / "app/rollout/plan.toml").read_text(encoding="utf-8"))
BOUND: Final = 0.120125
"""Stands for a gate's own bound, which comes as an argument."""
WINDOW_S: Final[int] = PLAN["window_s"]
RECENT_S: Final[int] = PLAN["trigger_window_s"]
LOOKS_S: Final[int] = PLAN["interval_s"]
QUANTILE: Final = 0.95


def gates() -> dict[str, str]:
    """The query of each gate."""
    least = PLAN["minimum_requests"]
    return {
        "errors": _ratio(_errors(WINDOW_S), queries.requests(WINDOW_S), least),
        "comparison": _comparison(),
        "refusals": _refusals(),
        "p95": _ratio(queries.requests_within(BOUND, WINDOW_S), queries.requests(WINDOW_S), least),
    }


def triggers() -> dict[str, str]:
    """The query of each trigger: how many of the looks that the plan asks for saw too much."""
    plan, least = PLAN["triggers"], PLAN["trigger_minimum_requests"]
    asked = queries.requests(RECENT_S)
    within = _ratio(queries.requests_within(plan["p95"]["limit"], RECENT_S), asked, least)
    errors = _ratio(_errors(RECENT_S), asked, least)
    connections = _ratio(
        f"({queries.connections_failed(RECENT_S)} or 0 * {queries.connections_asked(RECENT_S)})",
        queries.connections_asked(RECENT_S),
        PLAN["minimum_connections"],
    )
    return {
        "p95-above-150-ms": _looks(within, f"< bool {QUANTILE}", plan["p95"]["for_s"]),
        "errors-above-1-percent": _looks(
            errors, f"> bool {plan['errors']['limit']}", plan["errors"]["for_s"]
        ),
        "connections-failed": _looks(
            connections, f"> bool {plan['connections']['limit']}", plan["connections"]["for_s"]
        ),
        "canary-down": _looks(f"{queries.targets_up()} {_of(CANARY)}", "< bool 1", plan["down"]["for_s"]),
        "slower-than-stable": _looks(_comparison(), "> bool 1", PLAN["comparison"]["for_s"]),
        "refuses-more-than-stable": _looks(_refusals(), "> bool 1", PLAN["refusals"]["for_s"]),
    }


def looks(seconds: int) -> int:
    return seconds // LOOKS_S


def _errors(window_s: int) -> str:
    return f"({queries.errors(window_s)} or 0 * {queries.requests(window_s)})"


def _ratio(part: str, whole: str, least: int, track: str = CANARY) -> str:
    return f"{part} / ({whole} >= {least}) {_of(track)}"


def _of(track: str) -> str:
    return f'and on (track) label_replace(vector(1), "track", "{track}", "", "")'


def _comparison() -> str:
    """The canary's P95 to its limit: stable's and as much again, or the margin if that is more."""
    ratio, margin_s = PLAN["comparison"]["ratio"], PLAN["comparison"]["margin_s"]
    assert ratio == 2, "the query adds stable's P95 once"
    stable, canary = _p95(STABLE), _p95(CANARY)
    return f"{canary} / ignoring (track) ( clamp_min( {stable}, {margin_s}) + {stable} )"


def _refusals() -> str:
    """The canary's share of 4xx to its limit: stable's, the margin, and three standard errors."""
    answers, margin = queries.answers(WINDOW_S), PLAN["refusals"]["margin"]
    refused = f"({queries.refusals(WINDOW_S)} or 0 * {answers})"
    stable, canary = (
        f"({_ratio(refused, answers, PLAN['minimum_requests'], track)})" for track in (STABLE, CANARY)
    )
    error = f"sqrt( {stable} * (1 - {stable}) / ignoring (track) ({answers} {_of(CANARY)}) )"
    return (
        f"{canary} / ignoring (track) ( {stable} + {margin} + ignoring (track) {STANDARD_ERRORS} * {error} )"
    )


def _p95(track: str) -> str:
    enough = f"{queries.requests(WINDOW_S)} >= {PLAN['minimum_requests']}"
    return f"({queries.p95(WINDOW_S)} and {enough} {_of(track)})"


def _looks(query: str, condition: str, seconds: int) -> str:
    return f"sum_over_time(( ( {query} ) {condition} )[{seconds}s:{LOOKS_S}s])"
