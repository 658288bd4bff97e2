"""Argo Rollouts is told the plan of `app/rollout/plan.toml`, and judges by the same queries."""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.kubernetes.analyses import BOUND, LOOKS_S, PLAN, QUANTILE, WINDOW_S, gates, looks, triggers
from tests.kubernetes.manifests import Manifest, of_kind, of_overlay
from tests.packages import needed

TRIGGERS: Final = "registry-triggers"
GATES: Final = {name: f"registry-gate-{name}" for name in ("errors", "comparison", "refusals", "p95")}
DURATIONS: Final = {"s": 1, "m": 60, "h": 3600}
BOUNDS: Final = ("0.025", "0.1", "0.11", "0.12", "0.15", "+Inf")
ROUTE: Final = "/v1/instruments/search"


def _canary() -> dict[str, Any]:
    [rollout] = of_kind(of_overlay("production"), "Rollout").values()
    return dict(rollout["spec"]["strategy"]["canary"])


def _templates() -> dict[str, Manifest]:
    return of_kind(of_overlay("production"), "AnalysisTemplate")


def _metrics(template: str) -> dict[str, dict[str, Any]]:
    return {metric["name"]: metric for metric in _templates()[template]["spec"]["metrics"]}


def _query(metric: dict[str, Any]) -> str:
    return str(metric["provider"]["prometheus"]["query"])


def _words(query: str) -> str:
    return re.sub(r"\s+", "", query)


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * DURATIONS[duration[-1]]


def test_the_steps_are_those_of_the_plan() -> None:
    weight, done = 0, []
    for step in _canary()["steps"]:
        assert len(step) == 1
        if "setWeight" in step:
            weight = step["setWeight"]
            continue
        analysis = step["analysis"]
        args = {arg["name"]: arg["value"] for arg in analysis["args"]}
        used = {one["templateName"] for one in analysis["templates"]}
        assert used == {
            GATES["errors"],
            *([GATES["comparison"], GATES["refusals"]] if weight < 100 else []),
            *([GATES["p95"]] if "seconds" in args else []),
        }
        declared = {arg["name"] for name in used for arg in _templates()[name]["spec"]["args"]}
        assert args.keys() == declared - {"prometheus"}
        assert int(args["misses"]) == (PLAN["limits"]["patience"] - 1) * int(args["minutes"])
        done.append((weight, 60 * int(args["minutes"]), args.get("seconds")))
    planned = [
        (step["share"], step["hold_s"], str(step["p95_s"]) if "p95_s" in step else None)
        for step in PLAN["steps"]
    ]
    assert done == planned


def test_pods_services_and_routes_are_named_as_they_are() -> None:
    manifests, canary = of_overlay("production"), _canary()
    [rollout] = of_kind(manifests, "Rollout").values()
    reference = rollout["spec"]["workloadRef"]
    assert reference["name"] in of_kind(manifests, reference["kind"])
    [route] = of_kind(manifests, "HTTPRoute").values()
    [plugin] = canary["trafficRouting"]["plugins"].values()
    assert plugin == {"httpRoute": route["metadata"]["name"], "namespace": route["metadata"]["namespace"]}
    services = [canary["stableService"], canary["canaryService"]]
    backends = route["spec"]["rules"][0]["backendRefs"]
    assert [(one["name"], one["weight"]) for one in backends] == list(zip(services, (100, 0), strict=True))
    assert set(services) == set(of_kind(manifests, "Service"))
    for track in ("stable", "canary"):
        assert canary[f"{track}Metadata"] == {"labels": {"track": track}}
    watching = canary["analysis"]
    assert [one["templateName"] for one in watching["templates"]] == [TRIGGERS]
    assert canary["steps"][watching["startingStep"] - 1] == {"setWeight": 5}, "from the first user on"


def test_templates_can_be_merged_and_ask_one_prometheus() -> None:
    defaults: dict[str, set[str | None]] = {}
    names: list[str] = []
    for template in _templates().values():
        for arg in template["spec"]["args"]:
            defaults.setdefault(arg["name"], set()).add(arg.get("value"))
        for metric in template["spec"]["metrics"]:
            names.append(metric["name"])
            used = set(re.findall(r"\{\{args\.(\w+)\}\}", json.dumps(metric)))
            assert used <= {arg["name"] for arg in template["spec"]["args"]}
            assert metric["provider"]["prometheus"]["address"] == "{{args.prometheus}}"
    assert all(len(values) == 1 for values in defaults.values())
    assert len(set(names)) == len(names)


def test_gates_ask_what_the_plan_asks() -> None:
    for name, expected in gates().items():
        [metric] = _metrics(GATES[name]).values()
        assert _words(_query(metric).replace("{{args.seconds}}", f"{BOUND:g}")) == _words(expected)
        assert _seconds(metric["interval"]) == 60 and metric["consecutiveSuccessLimit"] == "{{args.minutes}}"
        assert _seconds(metric["initialDelay"]) == WINDOW_S, "a window that the step before had no part in"
        assert metric["inconclusiveLimit"] == "{{args.misses}}" and metric["failureLimit"] == -1
        assert _seconds(metric["interval"]) * metric["consecutiveErrorLimit"] == PLAN["limits"]["blind_s"]
        limit = {
            "errors": f"<= {PLAN['error_ratio']}",
            "comparison": "<= 1",
            "refusals": "<= 1",
            "p95": f">= {QUANTILE}",
        }[name]
        assert metric["successCondition"] == f"len(result) > 0 && result[0] {limit}"
        assert metric["failureCondition"] == "false"
        assert "count" not in metric


def test_triggers_ask_what_the_plan_asks() -> None:
    metrics = _metrics(TRIGGERS)
    assert metrics.keys() == triggers().keys()
    durations = [PLAN["triggers"][name]["for_s"] for name in ("p95", "errors", "connections", "down")]
    durations += [PLAN[name]["for_s"] for name in ("comparison", "refusals")]
    for (name, expected), duration_s in zip(triggers().items(), durations, strict=True):
        metric, least = metrics[name], looks(duration_s)
        assert _words(_query(metric)) == _words(expected), name
        assert _seconds(metric["interval"]) == LOOKS_S
        assert metric["successCondition"] == f"len(result) > 0 && result[0] < {least}"
        assert metric["failureCondition"] == f"len(result) > 0 && result[0] >= {least}"
        assert metric["failureLimit"] == 0 and "count" not in metric
        assert LOOKS_S * metric["consecutiveErrorLimit"] == PLAN["limits"]["blind_s"]


@dataclass
class Track:
    """What a track did in each scrape, for ten minutes."""

    requests: int = 30
    slow: int = 0
    """Of them, longer than 150 ms; the others take 25 ms at most."""
    middling: int = 0
    """Of them, from 110 to 120 ms."""
    errors: int = 0
    refused: int = 0
    """Besides, with 401."""
    asked: int = 10
    failed: int = 0
    is_up: bool = True
    bad_from: int = 0
    """The scrape from which on requests are slow or fail; they do not before."""
    seen: bool = field(default=True)

    def series(self, track: str) -> list[dict[str, str]]:
        if not self.seen:
            return []
        labels = f'job="registry",track="{track}",route="{ROUTE}"'
        within = {"0.025": -(self.slow + self.middling), "0.1": -(self.slow + self.middling)}
        within |= {"0.11": -(self.slow + self.middling), "0.12": -self.slow, "0.15": -self.slow, "+Inf": 0}
        found = {
            f'registry_http_request_seconds_bucket{{{labels},status="200",le="{bound}"}}': (
                self.requests - self.errors + within[bound],
                self.requests,
            )
            for bound in BOUNDS
        }
        good = self.requests - self.errors
        found[f'registry_http_request_seconds_bucket{{{labels},status="200",le="+Inf"}}'] = (
            good,
            self.requests,
        )
        found[f'registry_http_request_seconds_count{{{labels},status="200"}}'] = (good, self.requests)
        if self.errors:
            found[f'registry_http_request_seconds_count{{{labels},status="503"}}'] = (self.errors, 0)
        if self.refused:
            found[f'registry_http_request_seconds_count{{{labels},status="401"}}'] = (self.refused, 0)
            found[f'registry_http_request_seconds_bucket{{{labels},status="401",le="0.025"}}'] = (
                self.refused,
                0,
            )
        acquires = f'registry_postgres_acquires_total{{job="registry",track="{track}"'
        if self.failed:
            found[f'{acquires},result="failed"}}'] = (self.failed, 0)
        found[f'{acquires},result="given"}}'] = (self.asked - self.failed, self.asked)
        series = [
            {"series": name, "values": self._counted(each, before)} for name, (each, before) in found.items()
        ]
        return [*series, {"series": f'up{{job="registry",track="{track}"}}', "values": self._up()}]

    def _counted(self, each: int, before: int) -> str:
        total = self.bad_from * before
        counts = [number * before for number in range(self.bad_from)]
        counts += [total + each * number for number in range(41 - self.bad_from)]
        return " ".join(map(str, counts))

    def _up(self) -> str:
        return " ".join("1" if number < self.bad_from or self.is_up else "0" for number in range(41))


GOOD: Final = Track()
HOLD, PASS, FAIL = "Inconclusive", "Successful", "Failed"


@pytest.mark.parametrize(
    ("metric", "stable", "canary", "phase"),
    [
        ("p95", GOOD, GOOD, PASS),
        ("p95", Track(slow=30), GOOD, PASS),
        ("p95", GOOD, Track(middling=3), HOLD),
        ("p95", GOOD, Track(middling=1), PASS),
        ("p95", GOOD, Track(requests=4), HOLD),
        ("p95", GOOD, Track(seen=False), HOLD),
        ("errors", GOOD, GOOD, PASS),
        ("errors", GOOD, Track(errors=1), HOLD),
        ("errors", Track(errors=1), GOOD, PASS),
        ("errors", GOOD, Track(requests=4), HOLD),
        ("errors", GOOD, Track(seen=False), HOLD),
        ("comparison", GOOD, GOOD, PASS),
        ("comparison", GOOD, Track(middling=3), HOLD),
        ("comparison", Track(middling=3), Track(middling=3), PASS),
        ("comparison", GOOD, Track(seen=False), HOLD),
        ("comparison", Track(requests=4), GOOD, HOLD),
        ("p95", GOOD, Track(requests=4, refused=30), HOLD),
        ("errors", GOOD, Track(requests=4, refused=30), HOLD),
        ("refusals", GOOD, GOOD, PASS),
        ("refusals", GOOD, Track(refused=1), HOLD),
        ("refusals", Track(refused=1), Track(refused=2), PASS),
        ("refusals", Track(refused=1), Track(refused=5), HOLD),
        ("refusals", GOOD, Track(requests=0, refused=30), HOLD),
        ("refusals", GOOD, Track(seen=False), HOLD),
        ("refuses-more-than-stable", GOOD, GOOD, PASS),
        ("refuses-more-than-stable", GOOD, Track(refused=1), FAIL),
        ("refuses-more-than-stable", Track(refused=1), Track(refused=1), PASS),
        ("refuses-more-than-stable", GOOD, Track(requests=0, refused=30), FAIL),
        ("refuses-more-than-stable", GOOD, Track(refused=9, bad_from=38), PASS),
        ("refuses-more-than-stable", Track(seen=False), GOOD, HOLD),
        ("p95-above-150-ms", GOOD, GOOD, PASS),
        ("p95-above-150-ms", GOOD, Track(slow=3), FAIL),
        ("p95-above-150-ms", GOOD, Track(slow=3, bad_from=22), PASS),
        ("p95-above-150-ms", Track(slow=30), GOOD, PASS),
        ("p95-above-150-ms", GOOD, Track(requests=4, slow=4), HOLD),
        ("p95-above-150-ms", GOOD, Track(seen=False), HOLD),
        ("errors-above-1-percent", GOOD, GOOD, PASS),
        ("errors-above-1-percent", GOOD, Track(errors=1), FAIL),
        ("errors-above-1-percent", GOOD, Track(errors=1, bad_from=22), PASS),
        ("errors-above-1-percent", GOOD, Track(seen=False), HOLD),
        ("connections-failed", GOOD, GOOD, PASS),
        ("connections-failed", GOOD, Track(failed=2), FAIL),
        ("connections-failed", GOOD, Track(failed=1), PASS),
        ("connections-failed", GOOD, Track(failed=9, bad_from=35), PASS),
        ("connections-failed", GOOD, Track(asked=0), HOLD),
        ("canary-down", GOOD, GOOD, PASS),
        ("canary-down", GOOD, Track(is_up=False), FAIL),
        ("canary-down", GOOD, Track(is_up=False, bad_from=35), PASS),
        ("canary-down", GOOD, Track(seen=False), HOLD),
        ("slower-than-stable", GOOD, GOOD, PASS),
        ("slower-than-stable", GOOD, Track(middling=3), FAIL),
        ("slower-than-stable", Track(slow=3), Track(slow=3), PASS),
        ("slower-than-stable", Track(seen=False), GOOD, HOLD),
    ],
)
def test_what_prometheus_answers_is_judged(
    metric: str, stable: Track, canary: Track, phase: str, tmp_path: Path
) -> None:
    """A gate's own bound is 110 ms here."""
    template = TRIGGERS if metric in triggers() else GATES[metric]
    judged = _metrics(template)[metric]
    query = _query(judged).replace("{{args.seconds}}", "0.11")
    assert (
        _phase(judged, _answer(query, [*stable.series("stable"), *canary.series("canary")], tmp_path))
        == phase
    )


def _answer(query: str, series: list[dict[str, str]], folder: Path) -> list[float]:
    """What Prometheus says after ten minutes: promtool shows it where it expected something else."""
    test = {"expr": query, "eval_time": "10m", "exp_samples": [{"labels": "not_expected", "value": -1}]}
    tests = [{"interval": f"{LOOKS_S}s", "input_series": series, "promql_expr_test": [test]}]
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": f"{LOOKS_S}s", "tests": tests}), encoding="utf-8")
    command = [needed("prometheus", "promtool"), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = re.search(r"\bgot:\s*(nil|.*)", done.stdout + done.stderr)
    assert told and "exp:" in done.stdout + done.stderr, done.stdout + done.stderr
    return [float(value) for value in re.findall(r"\} (\S+?)(?:[\s,\"]|$)", told[1].replace('\\"', "'"))]


def _phase(metric: dict[str, Any], result: list[float]) -> str:
    """As Argo Rollouts judges by two conditions."""

    def holds(condition: str) -> bool:
        expression = condition.replace("&&", "and").replace("false", "False")
        return bool(eval(expression, {"__builtins__": {"len": len}}, {"result": result}))  # noqa: S307

    assert len(result) <= 1, "a query that is not of the canary alone"
    if holds(metric["failureCondition"]):
        return FAIL
    return PASS if holds(metric["successCondition"]) else HOLD
