"""Batches of identifiers of any length: split as the service takes them, several at a time, kept in order."""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Final

from instrument_registry_client.models import Identifier, LookupResult
from instrument_registry_client.transport import Transport

MAX_IDENTIFIERS: Final = 1_000
"""Of one request."""
AT_ONCE: Final = 4
_PLACE: Final = re.compile(r"\bidentifiers\[(\d+)\]")


async def look_up(
    transport: Transport, identifiers: Iterable[Identifier], progress: Callable[[int], None] | None
) -> list[LookupResult]:
    """One result for each, in order. Raises ClientError; the batches under way are given up then."""
    asked = list(identifiers)
    starts = iter(range(0, len(asked), MAX_IDENTIFIERS))
    found: dict[int, list[LookupResult]] = {}

    async def work() -> None:
        for start in starts:
            found[start] = await _batch(transport, asked[start : start + MAX_IDENTIFIERS])
            for result in found[start]:
                _shift(result, start)
            if progress is not None:
                progress(len(found[start]))

    if len(asked) <= MAX_IDENTIFIERS:
        await work()
        return found.get(0, [])
    workers = [asyncio.create_task(work()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [result for start in sorted(found) for result in found[start]]


async def _batch(transport: Transport, identifiers: list[Identifier]) -> list[LookupResult]:
    answer = await transport.send(
        "POST",
        "/v1/instruments/lookup",
        document={"identifiers": identifiers},
        repeatable=True,
        reading=True,
    )
    results: list[LookupResult] = answer.json()["results"]
    return results


def _shift(result: LookupResult, start: int) -> None:
    """A refusal names the place in the whole, not in its batch."""
    if (refusal := result.get("error")) is not None:
        refusal["detail"] = _shifted(refusal["detail"], start)
        for error in refusal["errors"]:
            error["field"] = _shifted(error["field"], start)


def _shifted(text: str, start: int) -> str:
    return _PLACE.sub(lambda found: f"identifiers[{int(found[1]) + start}]", text)
