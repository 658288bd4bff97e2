"""The client for programs without an event loop: the same methods, with plain iterators.

Requests run in a loop on a thread of its own, with the asynchronous client; so several threads may share one
client.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from instrument_registry_client import client, feeds
from instrument_registry_client.index import Index as AsyncIndex
from instrument_registry_client.models import (
    Changes,
    HistoryEntry,
    Identifier,
    IndexJob,
    IndexState,
    Instrument,
    InstrumentHistory,
    LookupResult,
    MemberEditReport,
    Profile,
    ProfileDocument,
    ProfileEvent,
    ProfileEvents,
    ProfileList,
    ProfilePatch,
    ProfileStatus,
    ProfileSummary,
    ResolvedInstruments,
    SearchOptions,
)
from instrument_registry_client.profiles import Profiles as AsyncProfiles
from instrument_registry_client.results import Event, SearchPage, Versioned
from instrument_registry_client.retries import RetryPolicy

T = TypeVar("T")


class LoopThread:
    """An event loop that runs on a thread between `open` and `close`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        """Nothing is given to the loop once its end has begun."""

    def open(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="instrument-registry-client", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What it returns or raises. An interrupt of the waiting thread cancels it, and so does `close`."""
        future = self._begin(work)
        if future is None:
            raise RuntimeError("the client is not open; use it inside `with`")
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the client was closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Generator[T]:
        """Each item when it is asked for; closed on the loop's thread, by `close` if not before."""
        try:
            while True:
                try:
                    yield self.run(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            closing = self._begin(_close(items))
            # Where this generator is collected on the loop's own thread, waiting would never end.
            if closing is not None and threading.current_thread() is not self._thread:
                with suppress(CancelledError):
                    closing.result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what runs, do `last`, and end the thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            last.close()
            return
        try:
            asyncio.run_coroutine_threadsafe(_end(last), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T] | None:
        """None where the loop is closed."""
        with self._lock:
            if self._loop is None:
                work.close()
                return None
            return asyncio.run_coroutine_threadsafe(work, self._loop)


async def _end(last: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await last


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _close(items: AsyncIterator[Any]) -> None:
    if (close := getattr(items, "aclose", None)) is not None:
        await close()


class Export:
    """Iterate over it once. `since` is where `changes` follow from."""

    def __init__(self, loop: LoopThread, export: feeds.Export) -> None:
        self._loop = loop
        self._export = export
        self.since = export.since

    def __iter__(self) -> Iterator[Instrument]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[Instrument]]:
        return self._loop.iterate(self._export.batches())


class Profiles:
    """As `instrument_registry_client.profiles.Profiles`."""

    def __init__(self, loop: LoopThread, profiles: AsyncProfiles) -> None:
        self._loop = loop
        self._profiles = profiles

    def create(self, document: ProfileDocument, *, idempotency_key: str | None = None) -> Versioned[Profile]:
        return self._loop.run(self._profiles.create(document, idempotency_key=idempotency_key))

    def read(self, profile_id: str) -> Versioned[Profile]:
        return self._loop.run(self._profiles.read(profile_id))

    def list_page(
        self,
        *,
        status: ProfileStatus | None = None,
        owner: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ProfileList:
        return self._loop.run(
            self._profiles.list_page(status=status, owner=owner, limit=limit, cursor=cursor)
        )

    def list_all(
        self, *, status: ProfileStatus | None = None, owner: str | None = None
    ) -> Iterator[ProfileSummary]:
        return self._loop.iterate(self._profiles.list_all(status=status, owner=owner))

    def replace(self, profile_id: str, document: ProfileDocument, *, etag: str) -> Versioned[Profile]:
        return self._loop.run(self._profiles.replace(profile_id, document, etag=etag))

    def patch(self, profile_id: str, changes: ProfilePatch, *, etag: str) -> Versioned[Profile]:
        return self._loop.run(self._profiles.patch(profile_id, changes, etag=etag))

    def edit(
        self, profile_id: str, change: Callable[[Profile], ProfilePatch | None], *, attempts: int = 10
    ) -> Versioned[Profile]:
        """`change` is called on the loop's thread: it must not use this client."""
        return self._loop.run(self._profiles.edit(profile_id, change, attempts=attempts))

    def delete(self, profile_id: str, *, etag: str) -> None:
        self._loop.run(self._profiles.delete(profile_id, etag=etag))

    def edit_members(
        self,
        profile_id: str,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        atomic: bool = True,
        etag: str | None = None,
        idempotency_key: str | None = None,
    ) -> MemberEditReport:
        return self._loop.run(
            self._profiles.edit_members(
                profile_id,
                add=add,
                remove=remove,
                atomic=atomic,
                etag=etag,
                idempotency_key=idempotency_key,
            )
        )

    def instruments_page(
        self, profile_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> ResolvedInstruments:
        return self._loop.run(self._profiles.instruments_page(profile_id, limit=limit, cursor=cursor))

    def instruments_all(self, profile_id: str) -> Iterator[Instrument]:
        return self._loop.iterate(self._profiles.instruments_all(profile_id))

    def events_page(
        self, profile_id: str, *, limit: int | None = None, before: int | None = None
    ) -> ProfileEvents:
        return self._loop.run(self._profiles.events_page(profile_id, limit=limit, before=before))

    def events_all(self, profile_id: str) -> Iterator[ProfileEvent]:
        return self._loop.iterate(self._profiles.events_all(profile_id))

    def stream(
        self, profile_id: str, *, after: int | None = None, give_up_after_s: float | None = 300.0
    ) -> Generator[Event]:
        return self._loop.iterate(
            self._profiles.stream(profile_id, after=after, give_up_after_s=give_up_after_s)
        )


class Index:
    """As `instrument_registry_client.index.Index`."""

    def __init__(self, loop: LoopThread, index: AsyncIndex) -> None:
        self._loop = loop
        self._index = index

    def state(self) -> IndexState:
        return self._loop.run(self._index.state())

    def rebuild(self) -> IndexJob:
        return self._loop.run(self._index.rebuild())

    def rollback(self) -> IndexJob:
        return self._loop.run(self._index.rollback())

    def job(self, job_id: int) -> IndexJob:
        return self._loop.run(self._index.job(job_id))

    def wait(self, job_id: int, *, poll_s: float = 0.5) -> IndexJob:
        return self._loop.run(self._index.wait(job_id, poll_s=poll_s))

    def cancel(self, job_id: int) -> IndexJob:
        return self._loop.run(self._index.cancel(job_id))


class RegistryClient:
    """As `instrument_registry_client.RegistryClient`; use it as a context manager."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 30.0,
        retries: RetryPolicy | None = None,
        max_connections: int = 100,
    ) -> None:
        self._client = client.RegistryClient(
            url, key, timeout_s=timeout_s, retries=retries, max_connections=max_connections
        )
        self._loop = LoopThread()
        self.profiles = Profiles(self._loop, self._client.profiles)
        self.index = Index(self._loop, self._client.index)

    def __enter__(self) -> Self:
        self._loop.open()
        self._loop.run(self._client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.close(self._client.__aexit__(kind, error, trace))

    def search(self, q: str = "", **options: Unpack[SearchOptions]) -> SearchPage:
        return self._loop.run(self._client.search(q, **options))

    def search_pages(self, q: str = "", **options: Unpack[SearchOptions]) -> Iterator[SearchPage]:
        return self._loop.iterate(self._client.search_pages(q, **options))

    def search_all(
        self, q: str = "", *, restart: bool = False, **options: Unpack[SearchOptions]
    ) -> Iterator[Instrument]:
        return self._loop.iterate(self._client.search_all(q, restart=restart, **options))

    def suggest(self, q: str, *, limit: int | None = None) -> list[Instrument]:
        return self._loop.run(self._client.suggest(q, limit=limit))

    def instrument(self, instrument_id: str, *, fresh: bool = False) -> Versioned[Instrument]:
        return self._loop.run(self._client.instrument(instrument_id, fresh=fresh))

    def history(
        self, instrument_id: str, *, limit: int | None = None, before: int | None = None
    ) -> InstrumentHistory:
        return self._loop.run(self._client.history(instrument_id, limit=limit, before=before))

    def history_all(self, instrument_id: str) -> Iterator[HistoryEntry]:
        return self._loop.iterate(self._client.history_all(instrument_id))

    def lookup(
        self, identifiers: Iterable[Identifier], *, progress: Callable[[int], None] | None = None
    ) -> list[LookupResult]:
        """`progress` is called on the loop's thread: it must not use this client."""
        return self._loop.run(self._client.lookup(identifiers, progress=progress))

    @contextmanager
    def export(self) -> Iterator[Export]:
        """All instruments as they are at one moment: `with client.export() as export`."""
        opened = self._client.export()
        export = self._loop.run(opened.__aenter__())
        try:
            yield Export(self._loop, export)
        finally:
            self._loop.run(opened.__aexit__(None, None, None))

    def changes(self, since: str | None = None, *, limit: int | None = None) -> Changes:
        return self._loop.run(self._client.changes(since, limit=limit))

    def changes_all(self, since: str | None = None) -> Iterator[Changes]:
        return self._loop.iterate(self._client.changes_all(since))
