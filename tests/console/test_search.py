"""Searching in a browser: hits, facets, one of them in detail, by mouse and by keyboard alone."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from app.domain.access import INSTRUMENTS_READ
from tests.console.conftest import APPLE, LOCAL_TIMEOUT_MS, ROWS, XSS, XSS_ALIAS, Visit

SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const shift of list.getEntries())
    window.shifts.push([shift.value, shift.sources.map(({ node }) => node?.className || node?.nodeName)]);
}).observe({ type: "layout-shift", buffered: true });
"""


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
