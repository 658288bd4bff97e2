"""Keeps a process's parameters as its configuration service has them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from pydantic import SecretStr

from app.domain.errors import ConfigServiceUnavailable
from app.parameters.definitions import Parameters
from app.parameters.live import LiveParameters
from app.parameters.service import ConfigService, config_service


@asynccontextmanager
async def opened(
    given: Parameters, url: SecretStr | None, poll_s: float
) -> AsyncIterator[tuple[LiveParameters, ConfigService | None]]:
    """The parameters as they are now, and the service to follow, if its URL is set."""
    if url is None:
        yield LiveParameters(given), None
        return
    service = config_service(url.get_secret_value(), poll_s)
    parameters = LiveParameters(given, service.address)
    await service.open()
    try:
        await read_once(parameters, service)
        yield parameters, service
    finally:
        await service.close()


async def read_once(parameters: LiveParameters, service: ConfigService) -> None:
    """As the service has them now; where it cannot be read, that is what they say."""
    try:
        parameters.take(await service.read_all())
    except ConfigServiceUnavailable as error:
        parameters.miss(str(error))


async def follow(parameters: LiveParameters, service: ConfigService, retry_s: float) -> None:
    """As the service has them, for ever; one that cannot be read is asked again. To be run as a task."""
    while True:
        try:
            async with aclosing(service.readings()) as readings:
                async for reading in readings:
                    parameters.take(reading)
        except ConfigServiceUnavailable as error:
            parameters.miss(str(error))
        await asyncio.sleep(retry_s)
