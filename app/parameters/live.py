"""The parameters as they hold at this moment, and where each has its value from.

The environment comes before the configuration service, and that before the default. Of a service that is
down, has lost a parameter or holds what cannot be used, the last good value stays.

To be used in one thread: those who read take an attribute, without a lock.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import structlog

from app import metrics
from app.parameters.address import Address
from app.parameters.definitions import DEFINITIONS, Definition, Parameters, Value
from app.parameters.service import Reading, Unreadable

NOT_READ: Final = "the configuration service has not been read yet"
NOT_ANSWERING: Final = "the configuration service does not answer"
NOT_REGISTERED: Final = (
    "is not registered with the configuration service; instrument-registry config register creates it"
)

log = structlog.get_logger(__name__)


class Source(StrEnum):
    ENVIRONMENT = "environment"
    SERVICE = "service"
    LAST_GOOD = "service (last good)"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class ParameterState:
    value: Value
    source: Source
    problem: str | None
    """Why the configuration service's value does not hold, where it should."""
    since: datetime
    """When any of these last changed."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    address: Address
    problem: str | None
    """Why it cannot be read; None: it answers."""
    read_at: datetime | None
    """When it last was."""


class LiveParameters:
    """Those of one process. `address`: of the configuration service that will be read, if there is one."""

    __slots__ = (
        "_given",
        "_last_good",
        "_listeners",
        "_read_at",
        "cache_ttl_seconds",
        "max_results_per_page",
        "query_optimization",
        "search_index_refresh",
        "search_timeout",
        "service",
        "states",
    )
    search_timeout: int
    max_results_per_page: int
    query_optimization: bool
    cache_ttl_seconds: int
    search_index_refresh: float

    def __init__(self, given: Parameters, address: Address | None = None) -> None:
        self._given = given
        self._last_good: dict[str, Value] = {}
        self._listeners: list[Callable[[], None]] = []
        self._read_at = time.monotonic()
        self.states: dict[str, ParameterState] = {}
        """By name, in the order of their definitions."""
        self.service = None if address is None else ServiceState(address, NOT_READ, None)
        for definition in DEFINITIONS:
            self._set(definition, definition.default, Source.DEFAULT, None if address is None else NOT_READ)
        if address is not None:
            metrics.CONFIG_SERVICE_UP.labels(address.kind).set(0)
            metrics.CONFIG_SERVICE_AGE_SECONDS.labels(address.kind).set_function(
                lambda: time.monotonic() - self._read_at
            )

    @contextmanager
    def listening(self, changed: Callable[[], None]) -> Iterator[None]:
        """Call `changed` whenever values have changed, meanwhile."""
        self._listeners.append(changed)
        try:
            yield
        finally:
            self._listeners.remove(changed)

    def take(self, reading: Reading) -> None:
        """What the configuration service holds now."""
        before = self._values()
        for definition in DEFINITIONS:
            try:
                value = usable_value(definition, reading)
            except ValueError as problem:
                self._keep(definition, str(problem))
            else:
                self._last_good[definition.name] = value
                self._set(definition, value, Source.SERVICE, None)
        self._read_at = time.monotonic()
        self._set_service(None)
        self._tell_if_changed(before)

    def miss(self, reason: str) -> None:
        """That the configuration service cannot be read now."""
        for definition in DEFINITIONS:
            self._keep(definition, NOT_ANSWERING)
        self._set_service(reason)

    def _keep(self, definition: Definition, problem: str) -> None:
        """What holds where the service has no value that could."""
        last_good = self._last_good.get(definition.name)
        if last_good is None:
            self._set(definition, definition.default, Source.DEFAULT, problem)
        else:
            self._set(definition, last_good, Source.LAST_GOOD, problem)

    def _set(self, definition: Definition, value: Value, source: Source, problem: str | None) -> None:
        if definition.field in self._given.model_fields_set:
            value, source, problem = getattr(self._given, definition.field), Source.ENVIRONMENT, None
        name, before = definition.name, self.states.get(definition.name)
        if before is not None and (before.value, before.source, before.problem) == (value, source, problem):
            return
        self.states[name] = ParameterState(value, source, problem, datetime.now(UTC))
        setattr(self, definition.field, value)
        if before is not None and before.value != value:
            log.info("parameter changed", parameter=name, before=before.value, value=value, source=source)
        if problem not in (None, NOT_READ, NOT_ANSWERING):
            log.warning("parameter not taken", parameter=name, reason=problem, value=value, source=source)
        metrics.PARAMETER_VALUE.labels(name).set(value)
        metrics.PARAMETER_PROBLEM.labels(name).set(problem is not None)
        for one in Source:
            metrics.PARAMETER_INFO.labels(name, one).set(one is source)

    def _set_service(self, problem: str | None) -> None:
        before = self.service
        assert before is not None  # noqa: S101 - there is one, for it was asked
        read_at = datetime.now(UTC) if problem is None else before.read_at
        if problem is not None and before.problem in (None, NOT_READ):
            log.warning("configuration service cannot be read", reason=problem)
        elif problem is None and before.problem is not None:
            log.info("configuration service is read", service=before.address.shown)
        self.service = ServiceState(before.address, problem, read_at)
        metrics.CONFIG_SERVICE_UP.labels(before.address.kind).set(problem is None)

    def _values(self) -> list[Value]:
        return [state.value for state in self.states.values()]

    def _tell_if_changed(self, before: list[Value]) -> None:
        if self._values() != before:
            for changed in list(self._listeners):
                changed()


def usable_value(definition: Definition, reading: Reading) -> Value:
    """What a reading says of a parameter. Raises ValueError where that cannot be used."""
    held = reading.get(definition.name)
    if held is None:
        raise ValueError(NOT_REGISTERED)
    if isinstance(held, Unreadable):
        raise ValueError(f"{held.reason}; it must be {definition.allowed_text}")
    return definition.checked(held)
