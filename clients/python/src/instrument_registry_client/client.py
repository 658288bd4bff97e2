"""The client: instruments here, profiles and the index as parts of it."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Self, Unpack
from urllib.parse import quote

from instrument_registry_client.errors import CursorExpired, IncompleteAnswer
from instrument_registry_client.feeds import Export, open_export
from instrument_registry_client.index import Index
from instrument_registry_client.lookups import look_up
from instrument_registry_client.models import (
    Changes,
    HistoryEntry,
    Identifier,
    Instrument,
    InstrumentHistory,
    LookupResult,
    SearchOptions,
)
from instrument_registry_client.profiles import Profiles
from instrument_registry_client.results import SearchPage, Versioned
from instrument_registry_client.retries import RetryPolicy
from instrument_registry_client.transport import Transport

PATH: Final = "/v1/instruments"
PAGE: Final = 100


class RegistryClient:
    """An instrument registry at `url`; `key` is an API key or a JSON Web Token.

    Use it as an asynchronous context manager, and one for many requests: connections are kept. Each attempt
    of a request may take `timeout_s`. Every method raises ClientError.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 30.0,
        retries: RetryPolicy | None = None,
        max_connections: int = 100,
    ) -> None:
        """Raises ValueError for what is no URL, or no key."""
        self._transport = Transport(url, key, timeout_s, retries or RetryPolicy(), max_connections)
        self.profiles = Profiles(self._transport)
        self.index = Index(self._transport)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()

    async def search(self, q: str = "", **options: Unpack[SearchOptions]) -> SearchPage:
        """One page; `cursor=page.next_cursor` with the same options leads to the next."""
        answer = await self._transport.get(f"{PATH}/search", dict(options, q=q))
        return SearchPage.of(answer.json(), answer.headers)

    async def search_pages(self, q: str = "", **options: Unpack[SearchOptions]) -> AsyncIterator[SearchPage]:
        """All pages, of `limit` (100) hits.

        Raises CursorExpired where the index was rebuilt meanwhile and the generation is not kept any more;
        IncompleteAnswer where a limit cut the search short, or Postgres answered, which has no cursors.
        """
        asked: SearchOptions = {"limit": PAGE, **options}
        while True:
            page = await self.search(q, **asked)
            if page.answer.get("partial") or (
                page.generation is None and page.total > asked.get("offset", 0) + len(page.hits)
            ):
                reason = page.answer.get("partial_reason", "the index is away, and there are no cursors")
                raise IncompleteAnswer(f"not all that match can be listed: {reason}")
            yield page
            if page.next_cursor is None:
                return
            asked["cursor"] = page.next_cursor
            asked.pop("offset", None)

    async def search_all(
        self, q: str = "", *, restart: bool = False, **options: Unpack[SearchOptions]
    ) -> AsyncIterator[Instrument]:
        """All hits, page by page; errors are those of `search_pages`.

        With `restart` an expired cursor begins the search again, once for each rebuild; what was there before
        is not repeated (so the ids are remembered), and what changed its place may be missed.
        """
        seen: set[str] = set()
        while True:
            try:
                async for page in self.search_pages(q, **options):
                    for hit in page.hits:
                        if restart and hit["id"] in seen:
                            continue
                        if restart:
                            seen.add(hit["id"])
                        yield hit
            except CursorExpired:
                if not restart:
                    raise
            else:
                return

    async def suggest(self, q: str, *, limit: int | None = None) -> list[Instrument]:
        """As you type: prefixes of symbol, name or alias."""
        answer = await self._transport.get(f"{PATH}/suggest", {"q": q, "limit": limit})
        suggestions: list[Instrument] = answer.json()["suggestions"]
        return suggestions

    async def instrument(self, instrument_id: str, *, fresh: bool = False) -> Versioned[Instrument]:
        """One, from the index; `fresh` from Postgres, for those about to write."""
        headers = {"Cache-Control": "no-cache"} if fresh else None
        answer = await self._transport.get(_path(instrument_id), headers=headers)
        return Versioned(answer.json(), answer.headers["ETag"])

    async def history(
        self, instrument_id: str, *, limit: int | None = None, before: int | None = None
    ) -> InstrumentHistory:
        """Its changes, newest first; `before=next_before` leads on."""
        asked = {"limit": limit, "before": before}
        found: InstrumentHistory = (
            await self._transport.get(f"{_path(instrument_id)}/history", asked)
        ).json()
        return found

    async def history_all(self, instrument_id: str) -> AsyncIterator[HistoryEntry]:
        before = None
        while True:
            page = await self.history(instrument_id, before=before)
            for entry in page["history"]:
                yield entry
            if (before := page["next_before"]) is None:
                return

    async def lookup(
        self, identifiers: Iterable[Identifier], *, progress: Callable[[int], None] | None = None
    ) -> list[LookupResult]:
        """One result for each, in order, of any number: asked for a thousand at a time.

        `progress` is called with how many more have been looked up.
        """
        return await look_up(self._transport, identifiers, progress)

    def export(self) -> AbstractAsyncContextManager[Export]:
        """All instruments as they are at one moment: `async with client.export() as export`."""
        return open_export(self._transport)

    async def changes(self, since: str | None = None, *, limit: int | None = None) -> Changes:
        """What changed since a position; without one nothing yet, but where to follow from (`next`)."""
        answer = await self._transport.get(f"{PATH}/changes", {"since": since, "limit": limit})
        found: Changes = answer.json()
        return found

    async def changes_all(self, since: str | None = None) -> AsyncIterator[Changes]:
        """Pages until there is no more; keep the `next` of the last, and come back with it."""
        while True:
            page = await self.changes(since, limit=1000)
            yield page
            if not page["more"]:
                return
            since = page["next"]


def _path(instrument_id: str) -> str:
    return f"{PATH}/{quote(instrument_id, safe='')}"
