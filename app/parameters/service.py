"""The port to a configuration service, and the choice of what stands behind it."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from app.parameters.address import Address, parse_address
from app.parameters.definitions import Value


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands under a parameter's name, but is no value."""

    reason: str
    """Goes on after the name: `is no JSON`."""


Reading: TypeAlias = Mapping[str, object]
"""By name: a JSON value, or Unreadable. What is not registered is not there."""


class ConfigService(Protocol):
    """Methods raise ConfigServiceUnavailable."""

    @property
    def address(self) -> Address: ...

    async def open(self) -> None:
        """To be called first; connects to nothing yet."""

    async def close(self) -> None: ...

    async def read(self, name: str) -> object | None:
        """What is registered under a name; None: nothing is."""

    async def read_all(self) -> Reading:
        """All parameters, as they are now."""

    async def create(self, name: str, value: Value) -> bool:
        """Register a parameter; False: it is registered already, and stays as it is."""

    def readings(self) -> AsyncGenerator[Reading, None]:
        """All parameters, at once, whenever one has changed, and now and then: that the service answers."""


def config_service(url: str, poll_s: float) -> ConfigService:
    """Raises ValueError for what is no URL of a service. `poll_s`: the longest time between two readings."""
    from app.parameters.etcd import EtcdConfigService
    from app.parameters.http import HttpConfigService

    address = parse_address(url)
    if address.kind == "etcd":
        return EtcdConfigService(address, poll_s)
    return HttpConfigService(address, poll_s)
