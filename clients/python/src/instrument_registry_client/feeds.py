"""All instruments as they are at one moment, while they come."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from instrument_registry_client.errors import UnexpectedAnswer
from instrument_registry_client.models import Instrument
from instrument_registry_client.transport import Receiving, Transport

SILENCE_S: Final = 60.0


class Export:
    """Iterate over it once. `since` is where `changes` follow from."""

    def __init__(self, receiving: Receiving) -> None:
        self._receiving = receiving
        self.since = receiving.headers["X-Changes-Since"]

    def __aiter__(self) -> AsyncIterator[Instrument]:
        return self._instruments()

    async def batches(self) -> AsyncIterator[list[Instrument]]:
        """As they come, some hundred at a time. Raises IncompleteAnswer where the end is missing."""
        begun = b""
        async for chunk in self._receiving.chunks():
            *lines, begun = (begun + chunk).split(b"\n")
            if lines:
                yield [_instrument(line) for line in lines]
        if begun:
            raise UnexpectedAnswer("the export ends within a line; ask again")

    async def _instruments(self) -> AsyncIterator[Instrument]:
        async for batch in self.batches():
            for instrument in batch:
                yield instrument


@asynccontextmanager
async def open_export(transport: Transport) -> AsyncIterator[Export]:
    path = "/v1/instruments/export"
    async with transport.receive(path, {"Accept-Encoding": "gzip"}, silence_s=SILENCE_S) as receiving:
        yield Export(receiving)


def _instrument(line: bytes) -> Instrument:
    try:
        instrument: Instrument = json.loads(line)
    except ValueError as error:
        raise UnexpectedAnswer("a line of the export is no JSON") from error
    return instrument
