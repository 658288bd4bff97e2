"""Operations on the search index, which need the scope `index:admin`."""

import asyncio
from typing import Final

from instrument_registry_client.models import IndexJob, IndexState
from instrument_registry_client.transport import Transport

PATH: Final = "/v1/admin/index"
_POLL_S: Final = 0.5


class Index:
    """Raises ClientError from every method."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def state(self) -> IndexState:
        found: IndexState = (await self._transport.get(PATH)).json()
        return found

    async def rebuild(self) -> IndexJob:
        """Asks for the next generation. Raises Conflict, with `location`, where a job is under way.

        It is not tried again where it may have been carried out: look at the state then.
        """
        return await self._ask("POST", f"{PATH}/rebuild", repeatable=False)

    async def rollback(self) -> IndexJob:
        """Asks to go back to the generation before; as `rebuild`."""
        return await self._ask("POST", f"{PATH}/rollback", repeatable=False)

    async def job(self, job_id: int) -> IndexJob:
        return await self._ask("GET", f"{PATH}/jobs/{job_id}", repeatable=True)

    async def wait(self, job_id: int, *, poll_s: float = _POLL_S) -> IndexJob:
        """The job when it has ended, whatever became of it."""
        while (job := await self.job(job_id))["state"] in ("queued", "running"):  # noqa: ASYNC110
            await asyncio.sleep(poll_s)
        return job

    async def cancel(self, job_id: int) -> IndexJob:
        """Raises Conflict where it has ended."""
        return await self._ask("DELETE", f"{PATH}/jobs/{job_id}", repeatable=True)

    async def _ask(self, method: str, path: str, *, repeatable: bool) -> IndexJob:
        job: IndexJob = (await self._transport.send(method, path, repeatable=repeatable)).json()
        return job
