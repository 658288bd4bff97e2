"""Searching in a browser: hits, facets, one of them in detail, by mouse and by keyboard alone."""

import re
import time
from collections.abc import Callable, Iterator

import orjson
import pytest
from playwright.sync_api import Page, Route, expect

from app.domain.access import INSTRUMENTS_READ
from tests.console.conftest import APPLE, LOCAL_TIMEOUT_MS, ROWS, XSS, XSS_ALIAS, Service, Visit
from tests.integration.conftest import WAIT_S

MANIFOLD = "US5949181045"
VENUES = {"XNAS": 8, "XNYS": 6, "XLON": 5, "XFRA": 4, "XPAR": 3, "XAMS": 2, "XMIL": 2}
"""How many listings of it each has."""
LEGION = "US88160R1014"
LEGION_LISTINGS = 1005
BLOCKED_STORAGE = """
Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("blocked", "SecurityError"); }
});
"""
TO_THE_END = "(scroller) => scroller.scrollTo(0, scroller.scrollHeight)"
PLACE = "(scroller) => scroller.scrollTop"
IS_AT_SEARCH = "document.activeElement.matches('[data-search]')"
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const shift of list.getEntries())
    window.shifts.push([shift.value, shift.sources.map(({ node }) => node?.className || node?.nodeName)]);
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def many_listings(service: Service) -> Iterator[None]:
    """Two ISINs with many listings, which are suspended, so that other searches do not find them."""
    mics = [mic for mic, count in VENUES.items() for _ in range(count)]
    listings = [("Manifold", MANIFOLD, mic) for mic in mics]
    listings += [("Legion", LEGION, "XNAS")] * LEGION_LISTINGS
    facts = {"asset_class": "equity", "currency": "USD", "status": "suspended"}
    lines = [
        orjson.dumps({"symbol": f"M{n}", "name": name, "mic": mic, "identifiers": {"isin": isin}, **facts})
        for n, (name, isin, mic) in enumerate(listings)
    ]
    headers = {"Content-Type": "application/x-ndjson"}
    service.ask("POST", "/v1/instruments/bulk", data=b"\n".join(lines), headers=headers)
    end = time.monotonic() + WAIT_S
    while service.ask("GET", "/v1/instruments/search?status=suspended")["total"] < len(listings):
        assert time.monotonic() < end
        time.sleep(0.1)
    yield


def wait_for(page: Page, held: list[Route]) -> Route:
    while not held:
        page.wait_for_timeout(20)
    return held[0]


def hits(page: Page) -> list[str]:
    return page.locator(".hit .symbol").all_text_contents()


def test_hits_come_as_somebody_types_and_show_what_matches(visit: Visit) -> None:
    page = visit.open()
    expect(page.locator(".summary")).to_contain_text(f"{len(ROWS)} instruments")
    page.get_by_role("button", name="Use the dark theme").focus()
    page.keyboard.press("/")
    page.keyboard.type("apple")
    expect(page.locator(".summary")).to_contain_text("3 instruments")
    first = page.locator(".hit").first
    expect(first.locator(".name mark")).to_have_text("Apple")
    assert sorted(hits(page)) == ["AAPL", "APC.F", "APLE"]
    expect(first.locator(".badge.venue")).to_have_text("XNAS")
    expect(first.locator(".badge.currency")).to_have_text("USD")
    expect(page).to_have_url(f"{visit.service.url}/#/?q=apple")
    page.get_by_role("combobox", name="Search instruments").fill(APPLE.lower())
    expect(page.locator(".hit .second mark")).to_have_text([APPLE, APPLE])


def test_nothing_moves_while_somebody_types(visit: Visit) -> None:
    visit.context.add_init_script(SHIFTS)
    page = visit.open()
    expect(page.locator(".summary")).to_contain_text("instruments")
    box = page.get_by_role("combobox", name="Search instruments")
    for text in ("a", "app", "apple", "appel", "compan", "zzzz", ""):
        box.fill(text)
        expect(page).to_have_url(f"{visit.service.url}/#/" + (f"?q={text}" if text else ""))
        expect(page.locator(".results")).not_to_have_attribute("aria-busy", "true")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("window.shifts") == []


def test_an_answer_that_comes_too_late_is_dropped(visit: Visit) -> None:
    held = []
    page = visit.open()
    expect(page.locator(".hit")).not_to_have_count(0)
    page.route("**/search?q=company*", lambda route: held.append(route))
    box = page.get_by_role("combobox", name="Search instruments")
    box.fill("company")
    while not held:
        page.wait_for_timeout(20)
    box.fill("twin")
    expect(page.locator(".hit .symbol")).to_have_text(["TWIN", "TWIN"])
    held[0].continue_()
    page.wait_for_timeout(200)
    assert hits(page) == ["TWIN", "TWIN"]
    page.unroute_all(behavior="ignoreErrors")


def test_facets_count_narrow_and_widen_again(visit: Visit) -> None:
    page = visit.open("/#/?q=apple")
    venues = page.get_by_role("region", name="Venue")
    expect(venues.get_by_role("button")).to_have_text(["XFRA1", "XNAS1", "XNYS1"])
    venues.get_by_role("button", name="XFRA").click()
    expect(page.locator(".hit .symbol")).to_have_text(["APC.F"])
    expect(venues.get_by_role("button", name="XFRA")).to_have_attribute("aria-pressed", "true")
    expect(venues.get_by_role("button", name="XFRA")).to_be_focused()
    venues.get_by_role("button", name="XNYS").click()
    expect(page.locator(".hit")).to_have_count(2)
    page.reload()
    expect(page.locator(".hit")).to_have_count(2)
    expect(page.get_by_role("region", name="Currency").get_by_role("button")).to_have_text(["EUR1", "USD1"])


def test_more_hits_come_as_somebody_scrolls(visit: Visit) -> None:
    page = visit.open("/#/?q=company&sort=name")
    expect(page.locator(".hit")).not_to_have_count(0)
    page.get_by_role("combobox", name="Search instruments").focus()
    while page.locator(".hit").count() < 60:
        page.keyboard.press("PageDown")
        page.wait_for_timeout(20)
    expect(page.locator(".hit[aria-selected=true]")).to_have_count(1)
    assert len(set(hits(page))) == 60


def test_a_hit_is_opened_read_and_closed_by_keyboard(visit: Visit) -> None:
    page = visit.open("/#/?q=aapl")
    expect(page.locator(".hit")).to_have_count(1)
    page.get_by_role("button", name="Use the dark theme").focus()
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="AAPL")
    expect(panel.get_by_role("heading", name="AAPL")).to_be_focused()
    expect(panel.locator(".listings li")).to_have_count(2)
    expect(panel.locator(".history")).to_contain_text("Version 1")
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.get_by_role("button", name="Copy ISIN").click()
    expect(page.get_by_text("ISIN copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == APPLE
    panel.get_by_role("button", name="Show APC.F at XFRA").click()
    other = page.get_by_role("complementary", name="APC.F")
    expect(other.locator(".listings b")).to_have_text("APC.F")
    page.keyboard.press("Escape")
    expect(page.locator(".detail")).to_have_count(0)
    expect(page).to_have_url(f"{visit.service.url}/#/?q=aapl")


def test_a_name_of_markup_is_shown_as_it_is(visit: Visit) -> None:
    page = visit.open("/#/?q=xss")
    expect(page.locator(".hit .name")).to_have_text([XSS])
    page.locator(".hit").click()
    expect(page.locator(".detail-name")).to_have_text(XSS)
    expect(page.locator(".detail")).to_contain_text(XSS_ALIAS)
    expect(page.locator(".history")).to_contain_text("Version 1")
    assert page.locator("main script, main img").count() == 0


def test_a_service_that_is_gone_is_said_to_be_and_searched_again_when_it_is_back(
    visiting: Callable[..., Visit],
) -> None:
    visit = visiting()
    visit.expected = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_SOCKET")
    with visit.service.another(INSTRUMENTS_READ) as other:
        page = visit.open("/#/?q=twin", root=other.url)
        expect(page.locator(".hit")).to_have_count(2)
        other.stop()
        page.get_by_role("combobox", name="Search instruments").fill("apple")
        expect(page.get_by_role("alert").first).to_contain_text("does not answer")
        expect(page.locator(".notice")).to_contain_text("does not answer")
        other.start()
        expect(page.locator(".hit")).to_have_count(3, timeout=LOCAL_TIMEOUT_MS)
        expect(page.locator("#gone")).to_be_hidden()
        expect(page.locator(".notice")).to_be_empty()


def test_enter_waits_for_what_was_typed_last(visit: Visit) -> None:
    page = visit.open("/#/?q=apple")
    expect(page.locator(".hit")).to_have_count(3)
    held: list[Route] = []
    page.route("**/search?q=hospitality*", lambda route: held.append(route))
    box = page.get_by_role("combobox", name="Search instruments")
    box.fill("hospitality")
    box.press("Enter")
    answer = wait_for(page, held)
    expect(page.locator(".detail")).to_have_count(0)
    answer.continue_()
    expect(page.get_by_role("complementary", name="APLE")).to_be_visible()
    expect(page.locator(".detail")).to_have_count(1)


def test_scrolling_while_another_text_is_asked_for_asks_for_no_page_of_it(visit: Visit) -> None:
    page = visit.open("/#/?q=company&sort=name")
    expect(page.locator(".hit")).not_to_have_count(0)
    held: list[Route] = []
    further: list[str] = []
    page.on("request", lambda request: further.append(request.url) if "cursor=" in request.url else None)
    page.route(re.compile(r"q=twin(?!.*cursor=)"), lambda route: held.append(route))
    page.get_by_role("combobox", name="Search instruments").fill("twin")
    answer = wait_for(page, held)
    further.clear()
    page.locator(".results").evaluate(TO_THE_END)
    page.wait_for_timeout(300)
    assert further == []
    answer.continue_()
    expect(page.locator(".hit .symbol")).to_have_text(["TWIN", "TWIN"])


def test_a_page_that_failed_can_be_asked_for_again(visit: Visit) -> None:
    visit.expected = ("status of 503",)
    failing = re.compile("cursor=")
    # As a proxy answers while it reaches no service.
    visit.context.route(failing, lambda route: route.fulfill(status=503))
    page = visit.open("/#/?q=company&sort=name")
    expect(page.locator(".hit")).to_have_count(20)
    page.locator(".results").evaluate(TO_THE_END)
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    assert len(hits(page)) == 20
    visit.context.unroute(failing)
    again.click()
    expect(page.locator(".hit")).not_to_have_count(20)
    expect(page.locator(".notice")).to_be_empty()
    while page.locator(".hit").count() < 60:
        page.keyboard.press("PageDown")
        page.wait_for_timeout(20)
    assert len(set(hits(page))) == 60


def test_the_shortcut_can_be_turned_off(visit: Visit) -> None:
    page = visit.open()
    toggle = page.get_by_role("button", name="Key / goes to the search field")
    toggle.click()
    for path, drawn in (("/", "#q:focus"), ("/docs", ".operation")):
        page.goto(visit.service.url + path)
        expect(page.locator(drawn).first).to_be_visible()
        expect(toggle).to_have_attribute("aria-pressed", "false")
        toggle.focus()
        page.keyboard.press("/")
        assert not page.evaluate(IS_AT_SEARCH)
    toggle.click()
    page.keyboard.press("/")
    assert page.evaluate(IS_AT_SEARCH)


def test_the_shortcut_needs_no_storage(visit: Visit) -> None:
    visit.expected = ("blocked", "SecurityError")
    visit.context.add_init_script(BLOCKED_STORAGE)
    page = visit.open()
    expect(page.locator("#q")).to_be_focused()
    toggle = page.get_by_role("button", name="Key / goes to the search field")
    toggle.focus()
    page.keyboard.press("/")
    assert page.evaluate(IS_AT_SEARCH)
    toggle.click()
    expect(page.get_by_text("the choice lasts until it is closed")).to_be_visible()
    page.keyboard.press("/")
    assert not page.evaluate(IS_AT_SEARCH)


def test_nothing_under_a_detail_can_be_reached(visiting: Callable[..., Visit]) -> None:
    page = visiting(viewport={"width": 360, "height": 740}).open("/#/?q=apple")
    page.locator(".hit").first.click()
    panel = page.get_by_role("complementary", name="AAPL")
    expect(panel.locator(".listings li")).to_have_count(2)
    for _ in range(30):
        page.keyboard.press("Tab")
        assert not page.evaluate("Boolean(document.activeElement.closest('.searchbar, .columns'))")
    page.keyboard.press("Escape")
    box = page.get_by_role("combobox", name="Search instruments")
    box.focus()
    expect(box).to_be_focused()
    page.set_viewport_size({"width": 1000, "height": 740})
    page.locator(".hit").first.click()
    expect(panel).to_be_visible()
    status, beside = page.get_by_label("Status").bounding_box(), panel.bounding_box()
    assert status is not None and beside is not None
    assert status["x"] + status["width"] <= beside["x"]


@pytest.mark.usefixtures("many_listings")
def test_listings_that_a_detail_does_not_show_are_found_by_a_search(visit: Visit) -> None:
    page = visit.open(f"/#/?q={LEGION}&status=suspended")
    page.locator(".hit").first.click()
    panel = page.get_by_role("complementary")
    expect(panel.get_by_role("heading", name="Listings of this ISIN (at least 500)")).to_be_visible()
    expect(panel.get_by_text("at least 475 more")).to_be_visible()
    page.goto(f"{visit.service.url}/#/?q={MANIFOLD}&status=suspended")
    expect(page.locator(".summary")).to_contain_text("30 instruments")
    page.locator(".hit").first.click()
    expect(panel.get_by_role("heading", name="Listings of this ISIN (30)")).to_be_visible()
    expect(panel.locator(".listings li")).to_have_count(25)
    expect(panel.get_by_text("5 more")).to_be_visible()
    panel.get_by_role("link", name="search for all").click()
    expect(page.locator(".detail")).to_have_count(0)
    expect(page.get_by_label("Status")).to_have_value("active,suspended,delisted")
    expect(page.locator(".summary")).to_contain_text("30 instruments")


@pytest.mark.usefixtures("many_listings")
def test_every_value_of_a_facet_can_be_seen_chosen_and_unset(visit: Visit) -> None:
    page = visit.open("/#/?q=manifold&status=suspended")
    venues = page.get_by_role("region", name="Venue")
    shown = venues.get_by_role("button")
    frequent = ["XNAS8", "XNYS6", "XLON5", "XFRA4", "XPAR3"]
    expect(shown).to_have_text([*frequent, "More (4 in others)"])
    shown.last.click()
    expect(shown).to_have_text([*frequent, "XAMS2", "XMIL2", "Fewer"])
    expect(venues.get_by_role("button", name="Fewer")).to_be_focused()
    venues.get_by_role("button", name="XMIL").click()
    expect(page.locator(".hit")).to_have_count(2)
    venues.get_by_role("button", name="Fewer").click()
    expect(shown).to_have_text(["XMIL2", *frequent[:-1], "More (5 in others)"])
    chosen = [*list(VENUES)[:5], "XMIL"]
    page.goto(f"{visit.service.url}/#/?q=manifold&status=suspended&mic={'&mic='.join(chosen)}")
    expect(page.locator(".summary")).to_contain_text("28 instruments")
    expect(shown).to_have_text(["XMIL2", *frequent, "More (2 in others)"])
    expect(venues.locator("[aria-pressed=true]")).to_have_count(6)
    venues.get_by_role("button", name="XPAR").click()
    expect(page.locator(".summary")).to_contain_text("25 instruments")


def test_back_from_a_detail_is_at_the_same_place(visit: Visit) -> None:
    page = visit.open("/#/?q=company&sort=name")
    expect(page.locator(".hit")).not_to_have_count(0)
    while page.locator(".hit").count() < 60:
        page.keyboard.press("PageDown")
        page.wait_for_timeout(20)
    page.locator(".hit").nth(50).click()
    expect(page.get_by_role("complementary", name="C50")).to_be_visible()
    place = page.locator(".results").evaluate(PLACE)
    page.go_back()
    expect(page.locator(".detail")).to_have_count(0)
    assert page.locator(".hit").count() == 60
    assert page.locator(".results").evaluate(PLACE) == place > 0
    page.go_forward()
    expect(page.get_by_role("complementary", name="C50")).to_be_visible()
