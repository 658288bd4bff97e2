"""The service's dependencies and their licences as a CycloneDX 1.6 bill of materials.

What is pinned comes from `requirements/service.txt`, licences from the metadata of what is installed.
Licences are SPDX expressions where packages give them so, and else what packages say.
"""

import re
from importlib import metadata
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from app.release.folder import digest_of, pretty
from app.release.pieces import Found, Missing
from app.release.source import Source

SBOM_FILE: Final = "sbom.cdx.json"
REQUIREMENTS: Final = Path("requirements/service.txt")
_PROJECT: Final = "instrument-registry"
_PIN: Final = re.compile(
    r"^(?P<name>[\w.-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+))?"
)
_VIA: Final = re.compile(r"^\s+#(?: via)?\s+(?P<name>[\w.-]+)")
_NAMED: Final = re.compile(r"^License :: (?:OSI Approved :: )?(?P<name>.+)$")
_SHORT: Final = 100
"""Some packages put the whole text of a licence where its name belongs."""


def gather_sbom(source: Source, release: str) -> Found:
    """Raises Missing."""
    file = source.root / REQUIREMENTS
    try:
        pins = file.read_text(encoding="utf-8")
    except OSError as error:
        raise Missing(f"{file} cannot be read ({error.strerror})") from error
    bom = bill_of_materials(pins, release, source.committed_at)
    unknown = sorted(one["name"] for one in bom["components"] if "licenses" not in one)
    finding = f"{len(bom['components'])} packages"
    if unknown:
        finding += f"; licence unknown, for it is not installed here or names none: {', '.join(unknown)}"
    return Found({SBOM_FILE: pretty(bom)}, source.commit, source.committed_at, finding=finding)


def bill_of_materials(pins: str, release: str, made_at: str) -> dict[str, Any]:
    """The same of the same: its serial number is made of its content."""
    components, needed_by = _read(pins)
    project = f"pkg:pypi/{_PROJECT}@{release}"
    refs = {one["name"]: one["bom-ref"] for one in components} | {_PROJECT: project}
    depends: dict[str, set[str]] = {ref: set() for ref in refs.values()}
    for name, users in needed_by.items():
        for user in users:
            if user in refs:
                depends[refs[user]].add(refs[name])
    bom = {
        "metadata": {
            "timestamp": made_at,
            "component": {
                "type": "application",
                "bom-ref": project,
                "name": _PROJECT,
                "version": release,
                "purl": project,
            },
        },
        "components": components,
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(others)} for ref, others in sorted(depends.items())
        ],
    }
    serial = uuid5(NAMESPACE_URL, digest_of(pretty(bom)))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **bom,
    }


def _read(pins: str) -> tuple[list[dict[str, Any]], dict[str, set[str]]]:
    """The components, and by whom each is needed, as the comments behind the hashes have it."""
    components: list[dict[str, Any]] = []
    needed_by: dict[str, set[str]] = {}
    for line in pins.splitlines():
        if pin := _PIN.match(line):
            components.append(_component(pin["name"].lower(), pin["version"], pin["marker"]))
        elif components and (via := _VIA.match(line)):
            needed_by.setdefault(components[-1]["name"], set()).add(via["name"].lower())
    return components, needed_by


def _component(name: str, version: str, marker: str | None) -> dict[str, Any]:
    ref = f"pkg:pypi/{name}@{version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "version": version,
        "purl": ref,
    }
    if licences := _licences(name, version):
        component["licenses"] = licences
    if marker is not None:
        component["properties"] = [{"name": f"{_PROJECT}:marker", "value": marker.strip()}]
    return component


def _licences(name: str, version: str) -> list[dict[str, Any]]:
    """None where another version is installed, or none: its licence may be another."""
    try:
        package = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return []
    if package["Version"] != version:
        return []
    fields = package.json
    if isinstance(expression := fields.get("license_expression"), str):
        return [{"expression": expression}]
    text = fields.get("license")
    if isinstance(text, str) and text and "\n" not in text and len(text) <= _SHORT:
        return [{"license": {"name": text}}]
    classifiers = fields.get("classifier", [])
    named = [found["name"] for one in classifiers if (found := _NAMED.match(one))]
    return [{"license": {"name": one}} for one in named]
