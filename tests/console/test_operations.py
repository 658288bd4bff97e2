"""Operations and sign-in in a browser."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import pytest
from playwright.sync_api import APIResponse, Locator, Page, Request, Route, expect

from app.auth.api_keys import key_hash
from app.domain.access import SCOPES
from app.embedded.redis import start_redis
from app.parameters.definitions import Parameters
from app.search.schema import FINGERPRINT
from app.store.api_keys import add_key
from app.store.postgres import open_connection
from tests.conftest import TEMPLATE, own_database
from tests.console.conftest import ADMIN, READER, Service, Visit
from tests.integration.config_services import WebService
from tests.integration.conftest import Client, eventually, running_api

T = TypeVar("T")

SEARCH: Final = "/v1/instruments/search"
GONE: Final = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_SOCKET")
JOB_THAT_RUNS: Final = """
INSERT INTO index_jobs (kind, state, requested_by, fingerprint, phase, phase_started_at, done, total)
VALUES ('rebuild', 'running', 'nightly', $1, 'loading', now(), 30, 60)
"""


@contextmanager
def entered(service: Service, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """What a context manager gives, entered and left in the service's loop."""

    async def enter() -> T:
        return await manager.__aenter__()

    async def leave() -> None:
        await manager.__aexit__(None, None, None)

    given = service.run(enter())
    try:
        yield given
    finally:
        service.run(leave())


def url_of(api: Client) -> str:
    return str(api._base_url).rstrip("/")


@pytest.fixture
def idle(service: Service, tmp_path: Path) -> Iterator[Service]:
    """Servers that no indexer works for: jobs stay as a test puts them there."""
    redis = start_redis(tmp_path, "tests", persist=False)
    try:
        with entered(service, own_database(f"TEMPLATE {TEMPLATE}")) as url:
            service.run(add_key(url, owner="admin", scopes=SCOPES, secret_sha256=key_hash(ADMIN)))
            yield replace(service, database_url=url, redis_url=redis.url())
    finally:
        redis.child.stop()


def execute(service: Service, statement: str, *values: str) -> None:
    async def executed() -> None:
        async with open_connection(service.database_url) as connection:
            await connection.execute(statement, *values)

    service.run(executed())


def is_of(path: str, request: Request) -> bool:
    return request.url.endswith(path)


def rows(page: Page, table: str) -> Locator:
    return page.get_by_role("region", name=table).locator("tbody tr")


def test_an_index_is_rebuilt_and_rolled_back(visit: Visit) -> None:
    page = visit.open("/#/operations", key=ADMIN)
    expect(rows(page, "Generations")).not_to_have_count(0)
    before = visit.service.ask("GET", "/v1/admin/index")["live_generation"]
    page.get_by_role("button", name="Rebuild", exact=True).click()
    dialog = page.get_by_role("dialog", name="Rebuild the index?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Rebuild").click()
    expect(page.get_by_role("progressbar", name="Progress of the job")).to_be_visible()
    expect(page.locator(".job")).to_contain_text(f"rebuild done: generation {before + 1} is live")
    assert page.locator(".job progress").evaluate("(bar) => bar.value") == 1
    expect(rows(page, "Jobs").first).to_contain_text("rebuild")
    page.get_by_role("button", name="Roll back", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator(".job")).to_contain_text(f"rollback done: generation {before} is live")


def test_a_job_that_somebody_else_began_is_followed_through_an_outage(
    visiting: Callable[..., Visit], idle: Service
) -> None:
    visit = visiting()
    visit.expected = GONE
    with idle.another() as other:
        page = visit.open("/#/operations", key=ADMIN, root=other.url)
        expect(page.get_by_role("region", name="Jobs")).to_be_visible()
        execute(idle, JOB_THAT_RUNS, FINGERPRINT)
        job, bar = page.locator(".job"), page.get_by_role("progressbar", name="Progress of the job")
        expect(bar).to_have_js_property("value", 0.5)
        expect(job).to_contain_text("30 of 60")
        other.stop()
        expect(job).to_contain_text("does not answer")
        execute(idle, "UPDATE index_jobs SET done = 45")
        other.start()
        expect(bar).to_have_js_property("value", 0.75)
        expect(job.get_by_role("alert")).to_have_count(0)
        execute(idle, "UPDATE index_jobs SET phase = 'verifying', total = NULL")
        expect(bar).to_have_js_property("position", -1)  # how far is not known
        execute(idle, "UPDATE index_jobs SET state = 'failed', error = 'too few', finished_at = now()")
        expect(job).to_contain_text("rebuild failed: too few")
        expect(bar).to_have_js_property("value", 0)
        expect(rows(page, "Jobs")).to_contain_text(["failednightly"])


def test_what_somebody_reads_stays_while_it_is_read_again(visiting: Callable[..., Visit]) -> None:
    page = visiting(viewport={"width": 360, "height": 740}).open("/#/operations", key=ADMIN)
    page.get_by_text("Last refreshes that found changes").click()
    regions = [page.get_by_role("region", name=name) for name in ("Generations", "Jobs")]
    asked_by = rows(page, "Jobs").last.locator("td").nth(3)
    asked_by.select_text()
    regions[0].focus()
    for region in regions:
        region.evaluate("(node) => (node.scrollLeft = 40)")
    for path in ("/index/jobs", "/index", "/index"):
        with page.expect_event("requestfinished", partial(is_of, path)):
            pass
    expect(page.get_by_role("region", name="Refreshes")).to_be_visible()
    expect(regions[0]).to_be_focused()
    assert [region.evaluate("(node) => node.scrollLeft") for region in regions] == [40, 40]
    assert page.evaluate("getSelection().toString()") == asked_by.text_content()


def test_what_could_not_be_read_is_read_when_the_service_is_back(visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    visit.expected = GONE
    with visit.service.another() as other:
        page = visit.open("/#/operations", key=ADMIN, root=other.url)
        expect(rows(page, "Parameters")).to_have_count(5)
        page.get_by_role("link", name="Search").click()
        expect(page.locator(".hit")).not_to_have_count(0)
        other.stop()
        page.get_by_role("link", name="Operations").click()
        for section in ("Health", "Requests", "Index", "Jobs", "Parameters"):
            panel = page.locator(".panel", has=page.get_by_role("heading", name=section, exact=True))
            expect(panel.get_by_role("alert")).to_contain_text("does not answer")
        other.start()
        expect(rows(page, "Jobs")).not_to_have_count(0)
        expect(rows(page, "Parameters")).to_have_count(5)
        expect(page.get_by_role("alert")).to_have_count(0)


def test_a_key_that_could_not_be_looked_up_counts_when_it_can_be(visit: Visit) -> None:
    visit.expected = ("ERR_FAILED",)
    visit.page.route("**/v1/caller", lambda route: route.abort(), times=1)
    page = visit.open("/#/operations", key=ADMIN)
    expect(rows(page, "Jobs")).not_to_have_count(0)


def test_what_a_proxy_keeps_to_itself_is_said_not_to_be_had(visit: Visit) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=404, content_type="text/html", body="<h1>Not found</h1>")

    visit.expected = ("status of 404",)
    for path in ("metrics", "health/ready"):
        visit.page.route(f"**/{path}", refuse)
    page = visit.open("/#/operations")
    told = "Not to be had here: a proxy answers {} itself (404)."
    expect(page.get_by_role("alert")).to_have_text([told.format("/health/ready"), told.format("/metrics")])


def test_parameters_are_shown_with_where_each_is_from(visit: Visit) -> None:
    page = visit.open("/#/operations", key=ADMIN)
    parameters = rows(page, "Parameters")
    expect(parameters.filter(has_text="SEARCH_TIMEOUT")).to_contain_text(["default"])
    expect(parameters).to_have_count(5)


def test_parameters_that_change_are_shown_a_little_later(visit: Visit) -> None:
    service, configuration = visit.service, WebService()
    service.run(configuration.start())
    api = running_api(
        service.database_url, service.redis_url, config_url=configuration.url, config_poll_s=0.2
    )
    try:
        with entered(service, api) as client:
            visit.page.clock.install()
            page = visit.open("/#/operations", key=ADMIN, root=url_of(client))
            parameter = rows(page, "Parameters").filter(has_text="SEARCH_TIMEOUT")
            expect(parameter).to_contain_text("5000 ms")
            service.run(configuration.put("SEARCH_TIMEOUT", "4000"))

            async def is_known() -> bool:
                async with client.get("/v1/admin/config", headers={"X-API-Key": ADMIN}) as response:
                    return '"value":4000' in await response.text()

            service.run(eventually(is_known))
            page.clock.fast_forward(30_000)
            expect(parameter).to_contain_text("4000 ms")
    finally:
        service.run(configuration.stop())


def test_rates_are_drawn_of_the_services_metrics(visit: Visit) -> None:
    def told(title: str, values: str) -> None:
        label = re.compile(f"^{title}: {values}$")
        expect(page.get_by_role("img", name=title)).to_have_attribute("aria-label", label)

    service = visit.service
    api = running_api(service.database_url, service.redis_url, parameters=Parameters())  # which keeps answers
    with entered(service, api) as client:
        page = visit.open("/#/operations", root=url_of(client))
        expect(page.get_by_text("A key with the scope index:admin sees this.")).to_be_visible()
        told("Requests a second", r"requests [\d.]+")  # the console's own
        page.get_by_label("Requests to show").select_option("Searches alone")
        told("Requests a second", "nothing yet")
        told("Requests a second", "requests 0")
        for _ in range(20):
            page.request.get(f"{url_of(client)}{SEARCH}?q=apple")
            page.request.get(f"{url_of(client)}{SEARCH}?limit=0")
        told("Requests a second", r"requests [1-9][\d.]*")
        told("Errors a second", r"5xx 0, 4xx [1-9][\d.]*")
        told("Latency", r"p50 [\d.]+ ms, p95 [\d.]+ ms, p99 [\d.]+ ms")
        told("Searches from the cache", r"hits [1-9][\d.]* %")
        expect(page.locator(".chart path").first).to_have_attribute("d", re.compile("^M"))


def test_a_worker_that_begins_anew_leaves_a_gap_in_the_charts(visit: Visit) -> None:
    answers: list[APIResponse] = []

    def go_back_once(route: Route) -> None:
        answers.append(route.fetch())
        route.fulfill(response=answers[0 if len(answers) == 4 else -1])

    visit.page.route("**/metrics", go_back_once)
    page = visit.open("/#/operations")
    line = page.get_by_role("img", name="Requests a second").locator("path")
    expect(line).to_have_attribute("d", re.compile("^M[^M]+L[^M]+M[^M]+L"))
    page.unroute_all(behavior="ignoreErrors")


def test_a_refused_key_is_said_to_be_and_a_good_one_lasts_until_sign_out(visit: Visit) -> None:
    visit.expected = ("status of 401",)
    page = visit.open()
    page.get_by_role("button", name="Sign in").click()
    dialog = page.get_by_role("dialog", name="Sign in")
    dialog.get_by_label("API key").fill("ir_wrong")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_label("API key").fill(READER)
    dialog.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Signed in as key:reader")).to_be_visible()
    assert page.evaluate("[sessionStorage.length, document.cookie, localStorage.length]") == [0, "", 0]
    page.get_by_role("link", name="Profiles").click()
    expect(page.get_by_text("scope profiles:read")).to_be_visible()
    page.get_by_role("button", name="Signed in as").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_service_for_known_callers_alone_asks_for_a_key_and_nothing_in_vain(visit: Visit) -> None:
    with visit.service.another() as other:
        page = visit.open(root=other.url)
        expect(page.locator(".summary")).to_contain_text("Sign in with a key")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("API key").fill(READER)
        page.get_by_label("Keep it until this tab closes").check()
        page.keyboard.press("Enter")
        expect(page.locator(".hit")).not_to_have_count(0)
        page.reload()
        expect(page.locator(".hit")).not_to_have_count(0)
