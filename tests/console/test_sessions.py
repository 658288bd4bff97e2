"""Who is signed in, where the browser or the service keeps that from being found out."""

from playwright.sync_api import expect

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ
from app.store.api_keys import add_key
from tests.console.conftest import READER, Visit

NOTHING_IS_KEPT = """
for (const name of ["sessionStorage", "localStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
"""
"""As in Chromium where somebody forbids sites to keep data."""


def test_a_browser_that_keeps_nothing_shows_everything(visit: Visit) -> None:
    visit.context.add_init_script(NOTHING_IS_KEPT)
    page = visit.open()
    expect(page.locator(".hit")).not_to_have_count(0)
    page.get_by_role("button", name="Use the dark theme").click()
    expect(page.get_by_role("button", name="Use the light theme")).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    dialog = page.get_by_role("dialog", name="Sign in")
    expect(dialog.get_by_label("Keep it until this tab closes")).to_be_disabled()
    dialog.get_by_label("API key").fill(READER)
    dialog.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Signed in as key:reader").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_kept_key_that_cannot_be_checked_is_said_to_be_unchecked(visit: Visit) -> None:
    visit.expected = ("status of 429",)
    hashed = key_hash("ir_seldom")
    scopes = [INSTRUMENTS_READ]
    url = visit.service.database_url
    adding = add_key(url, owner="seldom", scopes=scopes, secret_sha256=hashed, requests_per_minute=1)
    visit.service.run(adding)
    page = visit.open(key="ir_seldom")
    expect(page.get_by_role("button", name="Signed in as key:seldom")).to_be_visible()
    page.reload()
    expect(page.locator("#said")).to_contain_text("Your key could not be checked (")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('registry-key')") == "ir_seldom"
