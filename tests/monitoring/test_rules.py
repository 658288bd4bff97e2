"""Rules: `promtool` finds each alert to fire, not to fire and to end; what they name exists."""

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client import REGISTRY

from app import metrics
from app.monitoring.queries import USER_ROUTES, USERS
from app.web.routes import ENDPOINTS
from tests.monitoring.files import (
    DASHBOARD_SOURCE,
    PROMETHEUS,
    ROOT,
    RULE_TESTS,
    RULES,
    alerts,
    metrics_of,
    queries,
    read_yaml,
    recorded,
    recorded_of,
    rules,
)
from tests.packages import needed

REQUIRED = {
    "RegistryLatencyHigh": ("p95_5m", "> 0.15", "5m", "critical"),
    "RegistryErrorsHigh": ("http_errors", "> 0.005", "2m", "critical"),
    "RegistryPostgresPoolExhausted": ("postgres_pool", "> 0.9", None, "critical"),
    "RegistryCacheHitRatioLow": ("cache_hits", "< 0.7", "10m", "critical"),
    "RegistryCanaryLatencyHigh": ("p95_5m", "> 0.09", "2m", "warning"),
    "RegistryCanaryErrorsHigh": ("http_errors", "> 0.001", "2m", "warning"),
    "RegistryRollbackLatency": ("p95_5m", "> 0.15", "5m", "critical"),
    "RegistryRollbackErrors": ("http_errors", "> 0.01", "5m", "critical"),
    "RegistryRollbackPostgresConnections": ("connection_failures", "> 0.1", "2m", "critical"),
}
"""What operations asked for: what is judged, the threshold, for how long, and how severe it is."""


def promtool(*arguments: str | Path) -> str:
    run = subprocess.run([needed("prometheus", "promtool"), *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_prometheus_takes_its_configuration_and_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    promtool("check", "rules", "--lint-fatal", *RULES)


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_alerts_fire_and_end_as_they_should(file: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", file)


def test_each_alert_is_seen_to_fire_not_to_fire_and_to_end() -> None:
    seen: dict[str, set[str]] = {name: set() for name in alerts()}
    for file in RULE_TESTS:
        for case in read_yaml(file)["tests"]:
            fired = set()
            for check in case["alert_rule_test"]:  # in the order of time
                name = check["alertname"]
                if check["exp_alerts"]:
                    seen[name].add("fires")
                    fired.add(name)
                else:
                    seen[name].add("ends" if name in fired else "is silent")
    assert seen == {name: {"fires", "is silent", "ends"} for name in alerts()}


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_thresholds_are_those_that_were_asked_for(name: str) -> None:
    judged, threshold, duration, severity = REQUIRED[name]
    rule = alerts()[name]
    assert judged in rule["expr"] and re.search(re.escape(threshold) + r"($|\D)", rule["expr"].strip())
    assert (rule.get("for"), rule["labels"]["severity"]) == (duration, severity)
    assert (rule["labels"].get("action") == "rollback") == name.startswith("RegistryRollback")


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alert_says_how_bad_it_is_and_leads_to_its_runbook(name: str) -> None:
    rule = alerts()[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    annotations = rule["annotations"]
    assert annotations["summary"] and "$value" in annotations["description"]
    page = re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()
    assert annotations["runbook_url"] == f"{{{{ $externalLabels.runbooks }}}}/{page}.html"
    assert (ROOT / f"docs/runbooks/{page}.md").is_file()


def test_runbooks_are_where_one_setting_says() -> None:
    configuration = read_yaml(PROMETHEUS / "prometheus.yml")
    where = urlsplit(configuration["global"]["external_labels"]["runbooks"])
    assert where.scheme == "http" and where.hostname and where.path == "/runbooks"
    assert {"action": "labeldrop", "regex": "runbooks"} in configuration["alerting"]["alert_relabel_configs"]


def test_what_rules_and_panels_read_is_exported_or_recorded() -> None:
    families = {metric.name: metric.type for metric in REGISTRY.collect()}
    assert metrics.HTTP_REQUEST_SECONDS is not None
    exported = set()
    for name, kind in families.items():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(kind, ("",))
        exported |= {name + suffix for suffix in suffixes}
    expressions = [rule["expr"] for rule in rules()] + [query for _, query in queries()]
    for expression in expressions:
        assert metrics_of(expression) <= exported, expression
        assert recorded_of(expression) <= recorded(), expression


def test_latency_and_errors_are_judged_of_the_requests_of_users() -> None:
    judged = [rule["expr"] for rule in rules() if "registry:http_" in rule.get("record", "")]
    judged += [rule["expr"] for rule in rules() if "registry:slo_" in rule.get("record", "")]
    for expression in judged:
        asked = re.findall(r"registry_http_request_seconds_\w+\{([^}]*\})", expression)
        assert all(USERS in selector for selector in asked), expression
    assert read_yaml(DASHBOARD_SOURCE)["short"]["USERS"] == USERS
    left_out = re.compile(USER_ROUTES.removeprefix('route!~"').removesuffix('"'))
    for endpoint in ENDPOINTS:
        is_users = (
            endpoint.scope is not None
            and not endpoint.is_stream
            and not endpoint.is_bulk
            and endpoint.name != "changes"
            and not endpoint.path.startswith("/v1/admin/")
        )
        assert is_users != bool(left_out.fullmatch(endpoint.path)), endpoint.path


def test_thresholds_of_latency_are_bounds_of_the_buckets() -> None:
    """Between bounds a percentile is a guess; at a bound it is a count."""
    for rule in rules():
        for bound in re.findall(r'le="([\d.]+)"|p95_5m\S* > ([\d.]+)', rule["expr"]):
            assert float("".join(bound)) in metrics.LATENCY_BUCKETS_S
