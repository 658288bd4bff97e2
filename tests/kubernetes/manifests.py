"""What kustomize makes of `deploy/kubernetes`, and what it is held against."""

import json
import re
import shutil
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.kubernetes.write_schemas import FILE as SCHEMAS

ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "deploy/kubernetes"
OVERLAYS: Final = ("staging", "production")
VERSIONS: Final = ("1.30", "1.37")
"""Of Kubernetes: the oldest and the newest that the manifests are valid for."""
KUSTOMIZE: Final = (5, 0)
Manifest = dict[str, Any]


def rendered(overlay: Path) -> list[Manifest]:
    """Every resource of an overlay, as it is applied."""
    command = [*_kustomize(), str(overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        pytest.fail(f"{' '.join(command)}: {done.stderr}")
    return list(yaml.safe_load_all(done.stdout))


@cache
def of_overlay(name: str) -> list[Manifest]:
    """As `rendered`, once; not to be changed."""
    return rendered(KUBERNETES / "overlays" / name)


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """By name."""
    return {found["metadata"]["name"]: found for found in manifests if found["kind"] == kind}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod template of everything that has one, by its name."""
    return {
        found["metadata"]["name"]: found["spec"]["template"]
        for found in manifests
        if "template" in found.get("spec", {})
    }


def container(pod: Manifest) -> Manifest:
    """The only one."""
    [only] = pod["spec"]["containers"]
    assert "initContainers" not in pod["spec"]
    return dict(only)


def validate(manifest: Manifest) -> None:
    """Raises an error where it is not valid by its schema, or has a field that the schema does not know."""
    if f"{manifest['apiVersion']}/{manifest['kind']}" in _schemas()["kinds"]:
        _validate_resource_of_others(manifest)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


def _validate_resource_of_others(manifest: Manifest) -> None:
    schemas = _schemas()
    folder = files("kubernetes_validate") / f"kubernetes-json-schema/v{VERSIONS[-1]}.0-local-strict"
    definitions = json.loads((folder / "_definitions.json").read_text())
    name = schemas["kinds"][f"{manifest['apiVersion']}/{manifest['kind']}"]
    schema = {"$defs": schemas["$defs"], "$ref": f"#/$defs/{name}"}
    registry: Registry[Any] = Registry().with_resource(
        "_definitions.json", Resource.from_contents(definitions)
    )
    Draft202012Validator(schema, registry=registry).validate(manifest)


@cache
def _schemas() -> dict[str, Any]:
    return dict(json.loads(SCHEMAS.read_text(encoding="utf-8")))


@cache
def _kustomize() -> tuple[str, ...]:
    """kustomize of its own, or the one in kubectl; older ones do not know what is used here."""
    for command, version in (
        ("kustomize build", "kustomize version"),
        ("kubectl kustomize", "kubectl version --client"),
    ):
        if shutil.which(command.split()[0]) is not None:
            told = subprocess.run(version.split(), capture_output=True, text=True, check=False).stdout
            found = re.search(r"v(\d+)\.(\d+)\.\d+\s*$", told)
            if found and (int(found[1]), int(found[2])) >= KUSTOMIZE:
                return tuple(command.split())
    pytest.fail("this test runs kustomize 5 or kubectl 1.27, or newer, which is not installed")
