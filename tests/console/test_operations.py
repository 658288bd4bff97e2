"""Operations and sign-in in a browser."""

import re

from playwright.sync_api import expect

from tests.console.conftest import ADMIN, READER, Visit


def test_an_index_is_rebuilt_and_rolled_back(visit: Visit) -> None:
    page = visit.open("/#/operations", key=ADMIN)
    generations = page.get_by_role("region", name="Generations")
    expect(generations.locator("tbody tr")).not_to_have_count(0)
    before = visit.service.ask("GET", "/v1/admin/index")["live_generation"]
    page.get_by_role("button", name="Rebuild", exact=True).click()
    dialog = page.get_by_role("dialog", name="Rebuild the index?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Rebuild").click()
    expect(page.get_by_role("progressbar", name="Progress of the job")).to_be_visible()
    expect(page.locator(".job")).to_contain_text(f"rebuild done: generation {before + 1} is live")
    assert page.locator(".job progress").evaluate("(bar) => bar.value") == 1
    expect(page.get_by_role("region", name="Jobs").locator("tbody tr").first).to_contain_text("rebuild")
    page.get_by_role("button", name="Roll back", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator(".job")).to_contain_text(f"rollback done: generation {before} is live")


def test_parameters_are_shown_with_where_each_is_from(visit: Visit) -> None:
    page = visit.open("/#/operations", key=ADMIN)
    rows = page.get_by_role("region", name="Parameters").locator("tbody tr")
    expect(rows.filter(has_text="SEARCH_TIMEOUT")).to_contain_text(["default"])
    expect(rows).to_have_count(5)


def test_rates_are_drawn_of_the_services_metrics(visit: Visit) -> None:
    page = visit.open("/#/operations")
    for _ in range(20):
        visit.service.ask("GET", "/v1/instruments/search?q=apple")
    for title, shown in (("Requests a second", r": requests [\d.]"), ("Latency", r"p99 [\d.]+ ms")):
        expect(page.get_by_role("img", name=title)).to_have_attribute("aria-label", re.compile(shown))
    expect(page.locator(".chart path").first).to_have_attribute("d", re.compile("^M"))
    expect(page.get_by_text("A key with the scope index:admin sees this.")).to_be_visible()


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
