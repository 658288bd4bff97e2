"""The parameters as the API and the commands show them: JSON values, by these names."""

from typing import Any

from app.parameters.definitions import DEFINITIONS, Definition
from app.parameters.live import LiveParameters


def shown(parameters: LiveParameters) -> dict[str, Any]:
    return {
        "parameters": [shown_parameter(definition, parameters) for definition in DEFINITIONS],
        "service": shown_service(parameters),
    }


def shown_parameter(definition: Definition, parameters: LiveParameters) -> dict[str, Any]:
    state = parameters.states[definition.name]
    return {
        "name": definition.name,
        "value": state.value,
        "unit": definition.tuning.unit,
        "minimum": definition.minimum,
        "maximum": definition.maximum,
        "default": definition.default,
        "source": state.source,
        "problem": state.problem,
        "since": state.since,
    }


def shown_service(parameters: LiveParameters) -> dict[str, Any] | None:
    """The configuration service, without its password; None: none is set."""
    if (service := parameters.service) is None:
        return None
    return {
        "kind": service.address.kind,
        "url": service.address.shown,
        "up": service.problem is None,
        "problem": service.problem,
        "read_at": service.read_at,
    }
