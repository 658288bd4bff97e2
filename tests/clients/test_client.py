"""The Python client against the real service: what it reads, writes, repeats, and does not repeat."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any

import pytest
from instrument_registry_client import (
    Conflict,
    CursorExpired,
    IncompleteAnswer,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PreconditionFailed,
    RateLimited,
    RegistryClient,
    RetryPolicy,
    Unreachable,
    sync,
)
from instrument_registry_client.models import Identifier, Profile, ProfileDocument, ProfilePatch

from app.auth.api_keys import key_hash
from app.domain.access import PROFILES_READ, PROFILES_WRITE
from app.embedded.children import free_port
from app.store.api_keys import add_key
from app.store.postgres import Connection
from tests.clients.conftest import KEY, SOON, line_to
from tests.integration.conftest import WAIT_S, Import, WaitLevel, running_api

COUNT = 60
ROWS = [
    {
        "symbol": f"S{n:02}",
        "name": f"Apple {n:02}",
        "asset_class": "etf" if n % 2 else "equity",
        "mic": "XNAS",
    }
    for n in range(COUNT)
]
SYMBOLS = [row["symbol"] for row in ROWS]


@pytest.fixture
async def ids(registry: RegistryClient, import_instruments: Import, indexer: WaitLevel) -> list[str]:
    await import_instruments(ROWS)
    await indexer()
    return [hit["id"] async for hit in registry.search_all("apple", sort="symbol")]


async def make_profile(registry: RegistryClient, ids: list[str], name: str = "P") -> str:
    document: ProfileDocument = {"name": name, "channels": ["trades"], "selection": {"instruments": ids[:2]}}
    return (await registry.profiles.create(document)).value["id"]


async def test_searches_pages_suggestions_and_single_instruments(
    registry: RegistryClient, ids: list[str]
) -> None:
    page = await registry.search(
        "apple", sort="symbol", limit=7, facets=["asset_class"], mic=["XNAS", "XNYS"]
    )
    assert [hit["symbol"] for hit in page.hits] == SYMBOLS[:7]
    assert (page.total, page.source) == (COUNT, "redis")
    assert page.generation is not None and page.age_s is not None
    assert page.answer["facets"]["asset_class"]["values"][0]["count"] == COUNT // 2
    second = await registry.search(
        "apple", sort="symbol", limit=7, mic=["XNAS", "XNYS"], cursor=page.next_cursor or ""
    )
    assert [hit["symbol"] for hit in second.hits] == SYMBOLS[7:14]

    options: Any = {"sort": "symbol", "limit": 7, "asset_class": "equity"}
    everything = [hit["symbol"] async for hit in registry.search_all("apple", offset=1, **options)]
    assert everything == SYMBOLS[2::2]

    assert (await registry.suggest("S07", limit=1))[0]["symbol"] == "S07"
    one = await registry.instrument(ids[3], fresh=True)
    assert (one.value["symbol"], one.etag) == ("S03", '"1"')
    assert [entry["version"] async for entry in registry.history_all(ids[3])] == [1]


async def test_an_expired_cursor_is_an_error_or_a_new_beginning(
    registry: RegistryClient, ids: list[str]
) -> None:
    async def all_with_rebuilds(**options: Any) -> list[str]:
        found = []
        async for hit in registry.search_all("apple", sort="symbol", limit=10, **options):
            found.append(hit["id"])
            if len(found) == 15:
                for _ in range(2):  # only the generation before the live one is kept
                    job = await registry.index.wait((await registry.index.rebuild())["id"], poll_s=0.02)
                    assert job["state"] == "done", job
        return found

    with pytest.raises(CursorExpired, match="restart"):
        await all_with_rebuilds()
    assert await all_with_rebuilds(restart=True) == ids


async def test_a_list_that_postgres_cannot_give_to_its_end_is_an_error(
    database_url: str, import_instruments: Import
) -> None:
    await import_instruments(ROWS)
    nowhere = f"redis://127.0.0.1:{free_port()}"
    async with running_api(database_url, nowhere) as api, RegistryClient(str(api._base_url)) as registry:
        with pytest.raises(IncompleteAnswer, match="not all"):
            [hit async for hit in registry.search_all("apple", limit=10)]
        assert len([hit async for hit in registry.search_all("S07", limit=10)]) == 1


async def test_lookups_of_any_length_keep_their_order(registry: RegistryClient, ids: list[str]) -> None:
    asked: list[Identifier] = [
        {"type": "symbol", "value": SYMBOLS[n % COUNT], "mic": "XNAS"} for n in range(2500)
    ]
    asked[1501] = {"type": "id", "value": "ins_999999"}
    asked[2002] = {"type": "isbn", "value": "1"}  # type: ignore[call-overload]
    told: list[int] = []
    results = await registry.lookup(iter(asked), progress=told.append)
    assert len(results) == 2500 and sorted(told) == [500, 1000, 1000]
    for n, result in enumerate(results):
        if n == 1501:
            assert result["matches"] == []
        elif n == 2002:
            assert result["error"]["errors"][0]["field"] == "identifiers[2002].type"
            assert "identifiers[2002].type" in result["error"]["detail"]
        else:
            assert [match["symbol"] for match in result["matches"]] == [SYMBOLS[n % COUNT]]
    assert await registry.lookup([]) == []


async def test_an_export_and_what_follows_it(
    registry: RegistryClient, ids: list[str], database: Connection
) -> None:
    async with registry.export() as export:
        assert {instrument["id"] async for instrument in export} == set(ids)
    await database.execute("UPDATE instruments SET name = 'New' WHERE symbol = 'S05'")
    await database.execute("DELETE FROM instruments WHERE symbol = 'S06'")
    pages = [page async for page in registry.changes_all(export.since)]
    told = {change["id"]: change["instrument"] for page in pages for change in page["changes"]}
    assert set(told) == {ids[5], ids[6]} and told[ids[6]] is None
    changed = told[ids[5]]
    assert changed is not None and changed["name"] == "New"
    assert (await registry.changes(pages[-1]["next"]))["changes"] == []


async def test_a_lost_answer_has_no_second_effect(url: str, registry: RegistryClient, ids: list[str]) -> None:
    """Creations, edits of members, patches, replacements and deletions are carried out once."""
    async with line_to(url) as line, RegistryClient(line.url, KEY, retries=SOON) as far:
        line.answers_to_lose = 1
        profile_id = await make_profile(far, ids)
        assert [one["id"] async for one in registry.profiles.list_all()] == [profile_id]

        line.answers_to_lose = 1
        report = await far.profiles.edit_members(profile_id, add=ids[2:5], remove=ids[:1])
        assert (report["added"], report["removed"], report["version"]) == (3, 1, 2)

        line.answers_to_lose = 1
        edited = await far.profiles.edit(profile_id, append("x"))
        assert (edited.value["description"], edited.value["version"]) == ("x", 3)

        line.answers_to_lose = 1
        document: ProfileDocument = {"name": "Q", "channels": ["bars"], "selection": {"instruments": ids[:1]}}
        replaced = await far.profiles.replace(profile_id, document, etag=edited.etag)
        assert (replaced.value["name"], replaced.value["version"]) == ("Q", 4)

        line.answers_to_lose = 1
        await far.profiles.delete(profile_id, etag=replaced.etag)
        assert line.answers_to_lose == 0
        kinds = [event["kind"] async for event in registry.profiles.events_all(profile_id)]
        assert kinds == ["deleted", "updated", "updated", "updated", "created"]
        with pytest.raises(NotFound):
            await far.profiles.delete(profile_id, etag=replaced.etag)


async def test_what_may_have_been_carried_out_is_not_repeated_without_a_key(
    url: str, registry: RegistryClient, ids: list[str], database: Connection
) -> None:
    asked = "SELECT count(*) FROM index_jobs WHERE kind = 'rebuild' AND requested_by LIKE 'key:%'"
    async with line_to(url) as line, RegistryClient(line.url, KEY, retries=SOON) as far:
        line.answers_to_lose = 1
        with pytest.raises(Unreachable) as caught:
            await far.index.rebuild()
        assert caught.value.outcome_unknown and line.connections == 1
        assert await database.fetchval(asked) == 1
        line.answers_to_lose = 1
        assert (await far.index.state())["rows"] == COUNT  # a reading is
        assert line.connections == 3


async def test_a_lookup_is_a_reading(url: str, registry: RegistryClient, ids: list[str]) -> None:
    asked: list[Identifier] = [{"type": "id", "value": ids[1]}]
    async with line_to(url) as line, RegistryClient(line.url, KEY, retries=SOON) as far:
        line.answers_to_lose = 1
        assert (await far.lookup(asked))[0]["matches"][0]["symbol"] == "S01"
        assert line.connections == 2, "it was tried again"
        line.answers_to_lose = SOON.attempts
        with pytest.raises(Unreachable) as caught:
            await far.lookup(asked)
        assert not caught.value.outcome_unknown and line.answers_to_lose == 0


async def test_a_key_that_may_not_read_is_told_of_the_lost_race(
    url: str, registry: RegistryClient, ids: list[str], database_url: str
) -> None:
    await add_key(database_url, owner="alice", scopes=(PROFILES_WRITE,), secret_sha256=key_hash("writer"))
    profile_id = await make_profile(registry, ids)
    async with RegistryClient(url, "writer", retries=SOON) as writer:
        await writer.profiles.patch(profile_id, {"description": "x"}, etag='"1"')
        with pytest.raises(PreconditionFailed):
            await writer.profiles.patch(profile_id, {"description": "y"}, etag='"1"')
        await writer.profiles.delete(profile_id, etag='"2"')
        with pytest.raises(NotFound):
            await writer.profiles.delete(profile_id, etag='"2"')


def append(text: str) -> Any:
    def change(profile: Profile) -> ProfilePatch:
        return {"description": profile["description"] + text}

    return change


async def test_lost_races_are_run_again_and_no_edit_is_lost(
    url: str, registry: RegistryClient, ids: list[str]
) -> None:
    profile_id = await make_profile(registry, ids)
    async with line_to(url) as line, RegistryClient(line.url, KEY, retries=SOON) as far:
        line.loses, line.answers_to_lose = b"PATCH", 6
        letters = "abcdefgh"
        await asyncio.gather(*(far.profiles.edit(profile_id, append(one), attempts=50) for one in letters))
    current = await registry.profiles.read(profile_id)
    assert Counter(current.value["description"]) == Counter(letters)

    assert await registry.profiles.edit(profile_id, lambda _: None) == current
    with pytest.raises(PreconditionFailed) as caught:
        await registry.profiles.patch(profile_id, {"status": "paused"}, etag='"1"')
    assert caught.value.etag == current.etag
    assert [one["id"] async for one in registry.profiles.instruments_all(profile_id)] == ids[:2]


async def test_a_stream_goes_on_where_it_was_cut(
    url: str, registry: RegistryClient, ids: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "instrument_registry_client")
    profile_id = await make_profile(registry, ids)
    async with (
        line_to(url) as line,
        RegistryClient(line.url, KEY, retries=SOON) as far,
        asyncio.timeout(WAIT_S),
        aclosing(far.profiles.stream(profile_id)) as stream,
    ):
        ready = await anext(stream)
        assert ready.kind == "ready"
        numbers = []
        for n in range(4):
            line.cut()
            await registry.profiles.edit(profile_id, append(str(n)))
            event = await anext(stream)
            assert (event.kind, event.data["changes"]["description"]["to"][-1]) == ("updated", str(n))
            numbers.append(event.number)
        assert numbers == [ready.number + n for n in range(1, 5)]
        assert line.connections >= 5 and "connecting again" in caplog.text
        await registry.profiles.delete(profile_id, etag="*")
        assert [event.kind async for event in stream] == ["deleted"]
        with pytest.raises(NotFound):
            await anext(far.profiles.stream(profile_id))


async def test_a_stream_gives_up_when_told_so(url: str, registry: RegistryClient, ids: list[str]) -> None:
    profile_id = await make_profile(registry, ids)
    async with asyncio.timeout(WAIT_S), RegistryClient(url, KEY, retries=SOON) as far:
        async with line_to(url) as line:
            far._transport.url = line.url
            stream = far.profiles.stream(profile_id, give_up_after_s=0.2)
            await anext(stream)
        with pytest.raises(Unreachable):
            await anext(stream)


async def test_errors_have_types_and_name_fields(
    url: str, registry: RegistryClient, database_url: str
) -> None:
    with pytest.raises(InvalidInput) as invalid:
        await registry.search(limit=1000, mic="NOPE!")
    assert {problem.field for problem in invalid.value.fields} == {"limit", "mic"}
    assert invalid.value.request_id and not invalid.value.outcome_unknown
    with pytest.raises(NotFound):
        await registry.instrument("ins_1/../search")
    async with RegistryClient(url, "wrong") as stranger:
        with pytest.raises(NotAuthenticated):
            await stranger.index.state()
    async with RegistryClient(url) as anonymous:
        with pytest.raises(NotAuthenticated):
            await anonymous.profiles.list_page()
    await add_key(
        database_url,
        owner="bob",
        scopes=(PROFILES_READ,),
        secret_sha256=key_hash("bob"),
        requests_per_minute=2,
    )
    at_once = RetryPolicy(longest_retry_after_s=0)
    async with RegistryClient(url, "bob", retries=at_once) as bob:
        with pytest.raises(NotAllowed, match="index:admin"):
            await bob.index.rebuild()
        with pytest.raises(RateLimited) as limited:
            for _ in range(5):  # the window may end in between, once
                await bob.profiles.list_page()
        assert limited.value.retry_after_s is not None and limited.value.retry_after_s <= 60
    with pytest.raises(Unreachable, match="does not answer") as unreachable:
        async with RegistryClient(f"http://127.0.0.1:{free_port()}", retries=SOON) as nobody:
            await nobody.index.rebuild()
    assert not unreachable.value.outcome_unknown
    with pytest.raises(RuntimeError, match="async with"):
        await RegistryClient(url).search()


async def test_the_facade_needs_no_event_loop(url: str, registry: RegistryClient, ids: list[str]) -> None:
    def blocking() -> None:
        with sync.RegistryClient(url, KEY, retries=SOON) as client:
            assert client.search("apple", limit=1).total == COUNT
            assert [hit["id"] for hit in client.search_all("apple", sort="symbol", limit=25)] == ids
            assert client.lookup([{"type": "id", "value": ids[1]}])[0]["matches"][0]["symbol"] == "S01"
            with client.export() as export:
                assert len(list(export)) == COUNT
            with pytest.raises(NotFound):
                client.instrument("ins_999999")
            profile = client.profiles.create(
                {"name": "S", "channels": ["trades"], "selection": {"instruments": ids[:1]}}
            )
            profile_id = profile.value["id"]
            events = client.profiles.stream(profile_id)
            assert next(events).kind == "ready"
            edited = client.profiles.edit(profile_id, append("x"))
            assert next(events).data["version"] == edited.value["version"] == 2
            client.profiles.delete(profile_id, etag=edited.etag)
            assert list(client.profiles.list_all()) == []
        events.close()  # whoever forgot it is not punished
        with pytest.raises(RuntimeError, match="inside `with`"):
            client.search()

    async with asyncio.timeout(WAIT_S * 2):
        await asyncio.to_thread(blocking)


def on_a_thread(work: Callable[[], Any]) -> asyncio.Future[Any]:
    """What it returns, on a thread that nobody waits for when a test has failed."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return asyncio.wrap_future(outcome)


async def test_closing_ends_what_another_thread_waits_for(
    url: str, registry: RegistryClient, ids: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "instrument_registry_client")
    profile_id = await make_profile(registry, ids)
    for_ever = RetryPolicy(first_wait_s=1e9, longest_wait_s=1e9)
    async with line_to(url) as line, asyncio.timeout(WAIT_S):
        client = sync.RegistryClient(line.url, KEY, retries=for_ever)
        await on_a_thread(client.__enter__)
        events = client.profiles.stream(profile_id)
        assert (await on_a_thread(lambda: next(events))).kind == "ready"
        waiting = on_a_thread(lambda: next(events))
        line.cut()
        while "connecting again" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await on_a_thread(lambda: client.__exit__(None, None, None))
        with pytest.raises(RuntimeError, match="closed meanwhile"):
            await waiting


async def test_an_iterator_may_be_collected_on_the_loops_thread(
    url: str, registry: RegistryClient, ids: list[str]
) -> None:
    profile_id = await make_profile(registry, ids)

    def blocking() -> None:
        with sync.RegistryClient(url, KEY, retries=SOON) as client:
            streams = [client.profiles.stream(profile_id)]
            assert next(streams[0]).kind == "ready"
            client.profiles.edit(profile_id, lambda _: streams.clear())

    async with asyncio.timeout(WAIT_S):
        await on_a_thread(blocking)


async def test_a_job_under_way_is_named(registry: RegistryClient, ids: list[str]) -> None:
    job = await registry.index.rebuild()
    try:
        with pytest.raises(Conflict) as caught:
            while True:  # the first may have ended already
                job = await registry.index.rebuild()
        assert caught.value.location is not None
    finally:
        await registry.index.wait(job["id"], poll_s=0.02)
