"""Whether every parameter is registered with the configuration service, and may be used as it is there."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from app.domain.errors import ConfigServiceUnavailable
from app.parameters.definitions import DEFINITIONS, Definition
from app.parameters.live import LiveParameters, usable_value
from app.parameters.service import ConfigService, Reading
from app.parameters.shown import shown_parameter, shown_service


class Verdict(StrEnum):
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    """Something is not registered, or cannot be used."""
    UNREACHABLE = "unreachable"
    NOT_CONFIGURED = "not configured"
    """REGISTRY_CONFIG_URL is not set."""


@dataclass(frozen=True, slots=True)
class Verified:
    """One parameter."""

    definition: Definition
    is_registered: bool | None
    """None: nobody knows."""
    problem: str | None
    """Of what the service holds, whatever the environment says; None: it may be used."""

    def shown(self, parameters: LiveParameters) -> dict[str, Any]:
        """With the value that holds in this environment, and its source."""
        return {
            **shown_parameter(self.definition, parameters),
            "registered": self.is_registered,
            "problem": self.problem,
            "mitigation_needed": self.problem is not None,
            "mitigation": self.definition.tuning.mitigation,
        }


@dataclass(frozen=True, slots=True)
class Verification:
    verdict: Verdict
    parameters: tuple[Verified, ...]
    document: dict[str, Any]
    """For machines."""


async def verify(parameters: LiveParameters, service: ConfigService | None) -> Verification:
    """Reads the service once."""
    verdict, reading, problem = Verdict.NOT_CONFIGURED, None, "REGISTRY_CONFIG_URL is not set"
    if service is not None:
        try:
            reading = await service.read_all()
        except ConfigServiceUnavailable as error:
            verdict, problem = Verdict.UNREACHABLE, str(error)
            parameters.miss(problem)
        else:
            parameters.take(reading)
    if reading is None:
        verified = tuple(Verified(definition, None, problem) for definition in DEFINITIONS)
    else:
        verified = tuple(_verified(definition, reading) for definition in DEFINITIONS)
        is_complete = all(one.problem is None for one in verified)
        verdict = Verdict.COMPLETE if is_complete else Verdict.INCOMPLETE
    document = {
        "verified_at": datetime.now(UTC),
        "verdict": verdict,
        "service": shown_service(parameters),
        "parameters": [one.shown(parameters) for one in verified],
    }
    return Verification(verdict, verified, document)


def _verified(definition: Definition, reading: Reading) -> Verified:
    try:
        usable_value(definition, reading)
    except ValueError as problem:
        return Verified(definition, definition.name in reading, str(problem))
    return Verified(definition, is_registered=True, problem=None)
