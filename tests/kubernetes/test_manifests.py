"""The manifests are valid, and agree with the service, with the image and with each other."""

import copy
import re
import shutil
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from app.environment import variable_name
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.supervision import supervisor
from app.web.at_once import MAX_BULK_WRITES
from app.web.routes import ENDPOINTS
from indexer import health
from tests.kubernetes.manifests import (
    KUBERNETES,
    OVERLAYS,
    ROOT,
    Manifest,
    container,
    of_kind,
    of_overlay,
    pods,
    rendered,
    validate,
)

API, INDEXER, MIGRATE = "registry-api", "registry-indexer", "registry-migrate"
SECRETS: Final = "/run/secrets/registry/"
CONNECTIONS_BESIDE_POOL: Final = 3
CONNECTIONS_OF_INDEXER: Final = 10
MAX_CONNECTIONS: Final = 200
"""As docs/scaling.md and docs/kubernetes.md ask of Postgres."""
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - within a pod
UNITS: Final = {"Mi": 1 << 20, "Gi": 1 << 30}
SETTINGS: Final = {
    variable_name(model, name) for model in (Settings, Parameters) for name in model.model_fields
}

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


@overlays
def test_every_manifest_is_valid(overlay: str) -> None:
    for manifest in of_overlay(overlay):
        validate(manifest)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriodSecond")),
        ("Rollout", ("spec", "strategy", "canary", "stableServices")),
        ("AnalysisTemplate", ("spec", "metric")),
        ("PodMonitor", ("spec", "endpoints")),
        ("HTTPRoute", ("spec", "hosts")),
    ],
)
def test_a_misspelt_field_is_not_valid(kind: str, path: tuple[str, ...]) -> None:
    manifest: Any = copy.deepcopy(next(iter(of_kind(of_overlay("production"), kind).values())))
    inner = manifest
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = []
    with pytest.raises(jsonschema.ValidationError, match=path[-1]):
        validate(manifest)


@overlays
def test_everything_is_in_the_namespace_and_pods_are_restricted(overlay: str) -> None:
    manifests = of_overlay(overlay)
    [(namespace, found)] = of_kind(manifests, "Namespace").items()
    assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {one["metadata"].get("namespace") for one in manifests if one is not found} == {namespace}
    user = re.search(r"--uid (\d+).*\nUSER (\d+)", re.sub(r"\n#.*", "", _text("deploy/Dockerfile")))
    assert user and user[1] == user[2]
    for pod in pods(manifests).values():
        spec, inner = pod["spec"], container(pod)["securityContext"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == int(user[1])
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert inner["allowPrivilegeEscalation"] is False and inner["readOnlyRootFilesystem"] is True
        assert inner["capabilities"] == {"drop": ["ALL"]}
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] in of_kind(manifests, "ServiceAccount")
        assert spec["enableServiceLinks"] is False, "a service's variables could be taken for settings"
        assert {"requests", "limits"} <= container(pod)["resources"].keys()


@overlays
def test_settings_exist_and_can_be_read(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = of_overlay(overlay)
    [(name, found)] = of_kind(manifests, "ConfigMap").items()
    assert found["data"].keys() <= SETTINGS
    for pod in pods(manifests).values():
        assert container(pod)["envFrom"] == [{"configMapRef": {"name": name}}]
    settings = _settings(manifests, monkeypatch)
    assert settings.host == settings.indexer_host == EVERYWHERE


@overlays
def test_secrets_come_from_files_that_are_mounted(overlay: str) -> None:
    for name, pod in pods(of_overlay(overlay)).items():
        files = {one["name"]: one["value"] for one in container(pod)["env"]}
        assert {variable.removesuffix("_FILE") for variable in files} <= SETTINGS
        assert all(variable.endswith("_FILE") for variable in files)
        assert "REGISTRY_DATABASE_URL_FILE" in files
        assert ("REGISTRY_REDIS_URL_FILE" in files) == (name != MIGRATE)
        [secret] = [one["secret"] for one in pod["spec"]["volumes"] if one["name"] == "secrets"]
        assert {SECRETS + one["path"] for one in secret["items"]} == set(files.values())
        mounts = {one["name"]: one for one in container(pod)["volumeMounts"]}
        assert mounts["secrets"]["mountPath"] + "/" == SECRETS and mounts["secrets"]["readOnly"] is True
        assert mounts.keys() == {one["name"] for one in pod["spec"]["volumes"]}


@overlays
def test_ports_probes_and_scrapes_are_where_the_service_answers(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = of_overlay(overlay)
    settings = _settings(manifests, monkeypatch)
    served = {endpoint.path for endpoint in ENDPOINTS if endpoint.method == "GET" and endpoint.scope is None}
    indexer = set(re.findall(r'web\.get\("([^"]+)"', Path(health.__file__).read_text(encoding="utf-8")))
    for name, pod in pods(manifests).items():
        inner = container(pod)
        probes = {kind: inner[kind]["httpGet"] for kind in inner if kind.endswith("Probe")}
        if name == MIGRATE:
            assert not probes
            continue
        port, number = ("http", settings.port) if name == API else ("metrics", settings.indexer_port)
        assert inner["ports"] == [{"name": port, "containerPort": number}]
        assert {probe["port"] for probe in probes.values()} == {port}
        assert {probe["path"] for probe in probes.values()} <= (served if name == API else indexer)
        assert probes["livenessProbe"]["path"] == "/health/live"
        assert name != API or probes["readinessProbe"]["path"] == "/health/ready"
        [monitor] = [
            one["spec"]
            for one in of_kind(manifests, "PodMonitor").values()
            if _selects(one["spec"]["selector"]["matchLabels"], pod)
        ]
        [scrape] = monitor["podMetricsEndpoints"]
        assert (scrape["port"], scrape["path"]) == (port, "/metrics")
        assert scrape["path"] in (served if name == API else indexer)
        job = "registry" if name == API else "registry-indexer"
        assert scrape["relabelings"] == [{"targetLabel": "job", "replacement": job}]
        assert monitor["podTargetLabels"] == ["track"] and pod["metadata"]["labels"]["track"]


@overlays
def test_users_reach_the_api_and_nothing_else(overlay: str) -> None:
    manifests = of_overlay(overlay)
    [route] = of_kind(manifests, "HTTPRoute").values()
    [rule] = route["spec"]["rules"]
    paths = [match["path"] for match in rule["matches"]]

    def reaches(path: str) -> bool:
        return any(
            path == match["value"]
            or (match["type"] == "PathPrefix" and path.startswith(match["value"] + "/"))
            for match in paths
        )

    for endpoint in ENDPOINTS:
        if endpoint.path.startswith("/v"):
            assert reaches(endpoint.path), endpoint.path
    assert reaches("/openapi.json")
    assert not any(reaches(path) for path in ("/metrics", "/health/live", "/health/ready"))
    services = of_kind(manifests, "Service")
    for backend in rule["backendRefs"]:
        service = services[backend["name"]]["spec"]
        assert {port["port"] for port in service["ports"]} == {backend["port"]}
        assert {port["targetPort"] for port in service["ports"]} == {"http"}
        assert _selects(service["selector"], pods(manifests)[API])


@overlays
def test_pods_are_given_the_time_that_they_take_to_end(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = of_overlay(overlay)
    settings = _settings(manifests, monkeypatch)
    ending_s = settings.shutdown_drain_s + 2 * settings.shutdown_grace_s + supervisor._SPARE_S
    pod = pods(manifests)[API]
    assert pod["spec"]["terminationGracePeriodSeconds"] > ending_s
    assert "lifecycle" not in container(pod), "the service drains by itself"
    ready = container(pod)["readinessProbe"]
    assert settings.shutdown_drain_s > ready["periodSeconds"] * ready["failureThreshold"]


@overlays
def test_replicas_disruptions_and_connections_agree(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = of_overlay(overlay)
    settings = _settings(manifests, monkeypatch)
    [scaler] = (one["spec"] for one in of_kind(manifests, "HorizontalPodAutoscaler").values())
    deployment, rollouts = of_kind(manifests, "Deployment")[API], of_kind(manifests, "Rollout")
    target = rollouts[API] if overlay == "production" else deployment
    assert scaler["scaleTargetRef"] == {
        "apiVersion": target["apiVersion"],
        "kind": target["kind"],
        "name": target["metadata"]["name"],
    }
    assert "replicas" not in target["spec"], "applying it would undo what the autoscaler did"
    assert bool(rollouts) == (deployment["spec"].get("replicas") == 0)
    assert settings.workers == 1 and container(pods(manifests)[API])["resources"]["requests"]["cpu"] == "1"
    assert "cpu" not in container(pods(manifests)[API])["resources"]["limits"]
    indexers = 0
    for name, pod in pods(manifests).items():
        budgets = [
            budget["spec"]["minAvailable"]
            for budget in of_kind(manifests, "PodDisruptionBudget").values()
            if _selects(budget["spec"]["selector"]["matchLabels"], pod)
        ]
        if name == MIGRATE:
            assert not budgets
            continue
        [least] = budgets
        replicas = (
            scaler["minReplicas"]
            if name == API
            else of_kind(manifests, "Deployment")[name]["spec"]["replicas"]
        )
        assert 1 <= least < replicas
        indexers += 0 if name == API else replicas
    tracks = 2 if rollouts else 1
    used = tracks * scaler["maxReplicas"] * (settings.postgres_pool_size + CONNECTIONS_BESIDE_POOL)
    assert used + CONNECTIONS_OF_INDEXER * tracks + indexers <= MAX_CONNECTIONS


@overlays
def test_memory_and_temporary_files_are_what_was_measured(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = of_overlay(overlay)
    settings = _settings(manifests, monkeypatch)
    measured = re.search(r"\| `process` \| (\d+) MB", _text("docs/capacity.md"))
    assert measured
    pod = pods(manifests)[API]
    resources = container(pod)["resources"]
    assert _bytes(resources["requests"]["memory"]) >= int(measured[1]) * 1_000_000 + settings.cache_max_bytes
    [bodies] = [one["emptyDir"] for one in pod["spec"]["volumes"] if one["name"] == "bulk"]
    assert _bytes(bodies["sizeLimit"]) >= MAX_BULK_WRITES * settings.max_bulk_bytes
    assert _bytes(resources["limits"]["ephemeral-storage"]) > _bytes(bodies["sizeLimit"])


@overlays
def test_networks_allow_what_is_needed_and_nothing_else(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = of_overlay(overlay)
    settings = _settings(manifests, monkeypatch)
    names = {("out", "kube-system", 53)}
    servers = {("out", "data", 5432), ("out", "data", 6379)}
    api = {("in", "gateway", settings.port), ("in", "monitoring", settings.port)}
    needed = {
        API: names | servers | api,
        INDEXER: names | servers | {("in", "monitoring", settings.indexer_port)},
        f"{INDEXER}-canary": names | servers | {("in", "monitoring", settings.indexer_port)},
        MIGRATE: names | {("out", "data", 5432)},
    }
    policies = [one["spec"] for one in of_kind(manifests, "NetworkPolicy").values()]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    for name, pod in pods(manifests).items():
        allowed = {
            (direction, peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], port["port"])
            for policy in policies
            if _selects(policy["podSelector"].get("matchLabels", {}), pod)
            for direction, rules, side in (("in", "ingress", "from"), ("out", "egress", "to"))
            for rule in policy.get(rules, [])
            for peer in rule[side]
            for port in rule["ports"]
        }
        assert allowed == needed[name], name


def test_images_are_pinned_and_each_track_has_its_indexer(tmp_path: Path) -> None:
    """A release names its version once; the stable version's indexer stays until it is at 100 %."""
    for overlay in OVERLAYS:
        for pod in pods(of_overlay(overlay)).values():
            assert re.fullmatch(r"[\w.-]+/instrument-registry:[\w.-]+", container(pod)["image"])
            assert not container(pod)["image"].endswith(":latest")
    shutil.copytree(KUBERNETES, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "overlays/production/kustomization.yaml"
    file.write_text(re.sub(r'newTag: ".*"', 'newTag: "new"', file.read_text(encoding="utf-8"), count=1))
    images = {
        name: container(pod)["image"].rpartition(":")[2] == "new"
        for name, pod in pods(rendered(file.parent)).items()
    }
    assert images == {API: True, MIGRATE: True, f"{INDEXER}-canary": True, INDEXER: False}


def test_selectors_of_the_tracks_do_not_meet() -> None:
    deployments = of_kind(of_overlay("production"), "Deployment")
    for name, deployment in deployments.items():
        selected = {
            other
            for other, one in deployments.items()
            if _selects(deployment["spec"]["selector"]["matchLabels"], one["spec"]["template"])
        }
        assert selected == {name}


def _settings(manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As a pod reads them."""
    [found] = of_kind(manifests, "ConfigMap").values()
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in found["data"].items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


def _selects(labels: dict[str, str], pod: Manifest) -> bool:
    return bool(labels.items() <= pod["metadata"]["labels"].items())


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
