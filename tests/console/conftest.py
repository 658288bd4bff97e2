"""A service with some instruments in a thread of its own, and a browser that looks at it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import unused_port
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, expect, sync_playwright
from pydantic import SecretStr

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ, SCOPES
from app.embedded.redis import start_redis
from app.ingest.generic import convert
from app.ingest.importer import import_rows
from app.ingest.rows import RowSource
from app.main import make_app
from app.settings import Settings
from app.store.api_keys import add_key
from app.store.redis import open_redis
from app.web.server import ProblemRunner
from indexer.verify import verify
from tests.conftest import TEMPLATE, own_database
from tests.integration.conftest import UNCACHED, WAIT_S, eventually, running_api, running_indexer
from tests.packages import needed

T = TypeVar("T")

ADMIN: Final = "ir_admin"
READER: Final = "ir_reader"
XSS: Final = "<script>alert(1)</script>"
XSS_ALIAS: Final = "<img src=x onerror=alert(2)>"
APPLE: Final = "US0378331005"
ROWS: Final = [
    {"symbol": "AAPL", "name": "Apple Inc.", "mic": "XNAS", "currency": "USD", "isin": APPLE, "sector": "IT"},
    {"symbol": "APC.F", "name": "Apple Inc.", "mic": "XFRA", "currency": "EUR", "isin": APPLE},
    {"symbol": "APLE", "name": "Apple Hospitality REIT", "mic": "XNYS", "currency": "USD"},
    {"symbol": "XSS", "name": XSS, "mic": "XNAS", "currency": "USD", "aliases": XSS_ALIAS},
    {"symbol": "TWIN", "name": "Twin of the North", "mic": "XNAS", "currency": "USD"},
    {"symbol": "TWIN", "name": "Twin of the South", "mic": "XLON", "currency": "GBP"},
    *(
        {"symbol": f"C{n}", "name": f"Company {n:02}", "mic": "XNYS", "currency": "USD", "country": "US"}
        for n in range(60)
    ),
]
LOCAL_TIMEOUT_MS: Final = 20_000
"""For which something on the page is waited for; this machine may pause."""


@dataclass(slots=True)
class Service:
    """A service that runs in another thread, and what it takes to ask it."""

    url: str
    database_url: str
    redis_url: str
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S * 2)

    @contextmanager
    def another(self, *anonymous_scopes: str) -> Iterator["Another"]:
        """A second API over the same servers, that can be stopped and started."""
        other = Another(self, unused_port(), anonymous_scopes)
        other.start()
        try:
            yield other
        finally:
            other.stop()

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of a successful answer to somebody with every scope."""

        async def asked() -> Any:
            headers = {"X-API-Key": ADMIN, **options.pop("headers", {})}
            async with (
                ClientSession() as client,
                client.request(method, self.url + path, headers=headers, **options) as response,
            ):
                assert response.status < 300, await response.text()
                return await response.json(content_type=None)

        return self.run(asked())


@dataclass(slots=True)
class Another:
    service: Service
    port: int
    anonymous_scopes: tuple[str, ...]
    _runner: ProblemRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._runner = self.service.run(self._started())

    def stop(self) -> None:
        if self._runner is not None:
            self.service.run(self._runner.cleanup())
            self._runner = None

    async def _started(self) -> ProblemRunner:
        settings = Settings(
            database_url=SecretStr(self.service.database_url),
            redis_url=SecretStr(self.service.redis_url),
            anonymous_scopes=self.anonymous_scopes,
        )
        app = make_app(settings, UNCACHED, asyncio.get_running_loop().create_future())
        runner = ProblemRunner(app, shutdown_timeout_s=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True).start()
        return runner


@contextmanager
def thread_with_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="console service")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@asynccontextmanager
async def filled_service(folder: Path, redis_url: str) -> AsyncIterator[tuple[str, str]]:
    """The URLs of an API and its database, when all instruments can be searched."""
    async with AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(own_database(f"TEMPLATE {TEMPLATE}"))
        rows: list[dict[str, Any]] = [{"asset_class": "equity", **row} for row in ROWS]
        sources = [RowSource("rows", "tests", iter(rows), convert)]
        await import_rows(database_url, sources, folder / "rejects.csv", actor="tests")
        for secret, scopes in ((ADMIN, SCOPES), (READER, (INSTRUMENTS_READ,))):
            await add_key(database_url, owner=secret[3:], scopes=scopes, secret_sha256=key_hash(secret))
        client = open_redis(redis_url, pool_size=16, timeout_s=10)
        stack.push_async_callback(client.aclose)
        await stack.enter_async_context(running_indexer(database_url, client))
        api = await stack.enter_async_context(running_api(database_url, redis_url))

        async def is_filled() -> bool:
            async with api.get("/health/ready") as response:
                return bool((await response.json())["index"] == "fresh")

        await eventually(is_filled)
        assert (await verify(database_url, client, WAIT_S)).clean
        yield str(api._base_url).rstrip("/"), database_url


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With a Redis of its own: other tests of this process empty theirs."""
    redis = start_redis(tmp_path_factory.mktemp("console-redis"), "tests", persist=False)
    try:
        with thread_with_loop() as loop:

            def run(work: Awaitable[T]) -> T:
                async def waited() -> T:
                    return await work

                return asyncio.run_coroutine_threadsafe(waited(), loop).result(WAIT_S * 4)

            running = filled_service(tmp_path_factory.mktemp("console"), redis.url())
            url, database_url = run(running.__aenter__())
            try:
                yield Service(url, database_url, redis.url(), loop)
            finally:
                run(running.__aexit__(None, None, None))
    finally:
        redis.child.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Until this folder's tests are done: while it is there, no test of this process has an event loop."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=needed("chromium"))
        yield launched
        launched.close()


@dataclass(slots=True)
class Visit:
    """A window on the service. What its console complains of fails the test, unless it is expected."""

    service: Service
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Parts of complaints that belong to the test: Chromium itself reports refusals and lost connections."""

    def open(self, path: str = "/", *, key: str | None = None, root: str | None = None) -> Page:
        url = root or self.service.url
        if key is not None:
            self.context.add_init_script(f"sessionStorage.setItem('registry-key', '{key}')")
        self.page.goto(url + path)
        return self.page

    def unexpected(self) -> list[str]:
        return [told for told in self.complaints if not any(part in told for part in self.expected)]


def watched(visit: Visit, page: Page) -> None:
    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.complaints.append(message.text)

    def dismiss(dialog: Dialog) -> None:
        visit.complaints.append(dialog.message)
        dialog.dismiss()

    page.on("console", note)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("dialog", dismiss)


@pytest.fixture
def visiting(browser: Browser, service: Service) -> Iterator[Callable[..., Visit]]:
    """Opens windows, each for somebody else; options as Playwright's `new_context`."""
    visits: list[Visit] = []
    expect.set_options(timeout=LOCAL_TIMEOUT_MS)

    def visit(**options: Any) -> Visit:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(LOCAL_TIMEOUT_MS)
        made = Visit(service, context, context.new_page())
        watched(made, made.page)
        visits.append(made)
        return made

    yield visit
    for made in visits:
        made.context.close()
    assert [told for made in visits for told in made.unexpected()] == []


@pytest.fixture
def visit(visiting: Callable[..., Visit]) -> Visit:
    return visiting()
