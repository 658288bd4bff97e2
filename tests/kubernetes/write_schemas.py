"""Writes `schemas.json`: JSON Schemas of the resources that are not Kubernetes's own.

    python -m tests.kubernetes.write_schemas        (needs npm)

Argo Rollouts, the Prometheus operator and the Gateway API publish their schemas where no package registry has
them. Packages that are generated from their Go types are there: this reads the TypeScript interfaces in them.
What the definitions of these resources check beyond types (patterns, rules) is not in them. Types of
Kubernetes itself refer to the definitions that `kubernetes-validate` carries.
"""

import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("schemas.json")
DEFINITIONS: Final = "_definitions.json#/$defs/"
_PACKAGES: Final = {
    "@kubernetes-models/argo-rollouts@2.0.0": ("Rollout", "AnalysisTemplate"),
    "@kubernetes-models/prometheus-operator@6.0.0": ("PodMonitor",),
    "@kubernetes-models/gateway-api@2.0.0": ("HTTPRoute",),
}
_PUBLISHED_AS: Final = re.compile(r"export type \{ (?P<name>I\w+) as I(?P<id>\w+)")
_INTERFACE: Final = re.compile(
    r"^export interface \w+(?: extends (?P<bases>[^{]+))? \{\n(?P<body>.*?)^\}", re.M | re.S
)
_ALIAS: Final = re.compile(r"^export type I\w+ = (?P<type>\{\}|[^;{]+);", re.M)
_PROPERTY: Final = re.compile(
    r'^ {4}"(?P<name>[^"]+)"(?P<optional>\??): (?P<type>\{\n.*?^ {4}\}|[^\n]*?);$', re.M | re.S
)
_MAP: Final = re.compile(r"\{\s*\[key: string\]: (?P<type>.*?);\s*\}", re.S)
_COMMENT: Final = re.compile(r"/\*\*.*?\*/", re.S)
_SIMPLE: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "{}": {"type": "object"},
}
_LITERAL: Final = '"0123456789'
_GROUPS: Final = {
    "IoK8sApiCoreV1": "io.k8s.api.core.v1.",
    "IoK8sApiBatchV1": "io.k8s.api.batch.v1.",
    "IoK8sApimachineryPkgApisMetaV1": "io.k8s.apimachinery.pkg.apis.meta.v1.",
    "IoK8sApimachineryPkgUtilIntstr": "io.k8s.apimachinery.pkg.util.intstr.",
    "IoK8sApimachineryPkgApiResource": "io.k8s.apimachinery.pkg.api.resource.",
}


def main() -> None:
    sources: dict[str, str] = {}
    kinds: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for package, wanted in _PACKAGES.items():
            found = _read_package(package, Path(folder))
            sources |= found
            for kind in wanted:
                kinds |= _published(kind, found)
    schemas = {
        "$comment": f"Written by {Path(__file__).name} from {', '.join(_PACKAGES)} (MIT).",
        "kinds": kinds,
        "$defs": _reachable(list(kinds.values()), sources),
    }
    FILE.write_text(json.dumps(schemas, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _read_package(package: str, folder: Path) -> dict[str, str]:
    """The text of each type's file, by the name that other files know the type by."""
    command = ["npm", "pack", "--silent", package, "--pack-destination", str(folder)]
    packed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    found = {}
    with tarfile.open(folder / packed) as archive:
        for member in archive.getmembers():
            if member.name.endswith(".d.ts") and (file := archive.extractfile(member)) is not None:
                text = _COMMENT.sub("", file.read().decode())
                if match := _PUBLISHED_AS.search(text):
                    found[match["id"]] = text
    return found


def _published(kind: str, sources: dict[str, str]) -> dict[str, str]:
    """`{apiVersion/kind: type}` of a kind, in its stable version."""
    for name, text in sources.items():
        version = re.search(r'^ {4}"apiVersion": "(\w[^"]+/(?:v1|v1alpha1))";', text, re.M)
        if version and f'"kind": "{kind}";' in text:
            return {f"{version[1]}/{kind}": name}
    raise SystemExit(f"{kind} is in none of the packages")


def _reachable(names: list[str], sources: dict[str, str]) -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    while names:
        name = names.pop()
        if name not in schemas:
            schemas[name] = _schema(name, sources)
            names += re.findall(r'"#/\$defs/(\w+)"', json.dumps(schemas[name]))
    return schemas


def _schema(name: str, sources: dict[str, str]) -> dict[str, Any]:
    text = sources[name]
    if alias := _ALIAS.search(text):
        return _type(alias["type"])
    properties: dict[str, Any] = {}
    required: list[str] = []
    interface = _INTERFACE.search(text)
    if interface is None:
        raise SystemExit(f"{name} is written in a way that is not known here")
    for base in (interface["bases"] or "").split(","):
        if base.strip() not in ("", "TypeMeta"):
            inherited = _schema(base.strip().removeprefix("I"), sources)
            properties |= inherited["properties"]
            required += inherited["required"]
    for found in _PROPERTY.finditer(interface["body"]):
        if found["name"] != "status":
            properties[found["name"]] = _type(found["type"])
            required += [] if found["optional"] else [found["name"]]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _type(text: str) -> dict[str, Any]:
    text = text.strip()
    if text in _SIMPLE:
        return _SIMPLE[text]
    if text[0] in _LITERAL:
        return {"enum": [json.loads(literal) for literal in text.split(" | ")]}
    if text.startswith("Array<"):
        return {"type": "array", "items": _type(text.removeprefix("Array<").removesuffix(">"))}
    if found := _MAP.fullmatch(text):
        return {"type": "object", "additionalProperties": _type(found["type"])}
    for prefix, group in _GROUPS.items():
        if text.startswith(f"I{prefix}"):
            return {"$ref": DEFINITIONS + group + text.removeprefix(f"I{prefix}")}
    if re.fullmatch(r"I(Com|Io)[A-Z]\w+", text):
        return {"$ref": f"#/$defs/{text.removeprefix('I')}"}
    raise SystemExit(f"a type that is not known here: {text}")


if __name__ == "__main__":
    main()
