"""Every page: on a small screen, in the dark, for those who do not see it, and without a complaint."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import ADMIN, Visit
from tests.console.test_profiles import created
from tests.console.usable import assert_usable

BRIGHT: dict[str, Any] = {}
SMALL: dict[str, Any] = {"viewport": {"width": 360, "height": 740}}
DARK: dict[str, Any] = {"color_scheme": "dark"}


def search(page: Page) -> None:
    page.goto(page.url + "#/?q=apple&mic=XNAS&mic=XFRA")
    expect(page.locator(".hit")).to_have_count(2)


def nothing(page: Page) -> None:
    page.goto(page.url + "#/?q=zzzzzz")
    expect(page.locator(".summary b")).to_have_text("0 instruments")


def gone(page: Page) -> None:
    search(page)
    page.context.set_offline(True)
    page.get_by_role("combobox", name="Search instruments").fill("twin")
    expect(page.locator("#gone")).to_be_visible()
    expect(page.locator(".notice")).to_contain_text("does not answer")


def suggestions(page: Page) -> None:
    page.goto(page.url + "#/profiles/new")
    finder = page.get_by_role("combobox", name="Add an instrument")
    finder.fill("apple")
    expect(page.locator(".suggestions li")).to_have_count(3)
    finder.press("ArrowDown")


def dynamic(page: Page) -> None:
    page.goto(page.url + "#/profiles/new")
    page.get_by_label("A search, whatever it finds").check()
    page.get_by_label("Text", exact=True).fill("apple")
    expect(page.locator(".preview li")).to_have_count(3)


def detail(page: Page) -> None:
    search(page)
    page.locator(".hit").first.click()
    expect(page.locator(".listings li")).to_have_count(2)


def paste(page: Page) -> None:
    page.goto(page.url + "#/profiles/new")
    page.get_by_role("button", name="Paste identifiers").click()
    page.get_by_label("Identifiers, one a line").fill("AAPL\nTWIN\nNOSUCH")
    page.get_by_role("button", name="Look up").click()
    expect(page.locator(".found-unknown")).to_be_visible()


def profiles(page: Page) -> None:
    page.goto(page.url + "#/profiles")
    expect(page.get_by_role("link", name="New profile")).to_be_visible()


def sign_in(page: Page) -> None:
    page.get_by_role("button", name="Signed in as").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()


def rebuild(page: Page) -> None:
    operations(page)
    page.get_by_role("button", name="Rebuild", exact=True).click()
    expect(page.get_by_role("dialog", name="Rebuild the index?")).to_be_visible()


def operations(page: Page) -> None:
    page.goto(page.url + "#/operations")
    expect(page.get_by_role("region", name="Generations")).to_be_visible()
    expect(page.get_by_role("region", name="Jobs")).to_be_visible()


def docs(page: Page) -> None:
    page.goto(page.url + "docs")
    expect(page.locator("#search h3")).to_contain_text("/v1/instruments/search")
    page.locator("#create_profile summary").first.click()
    page.get_by_label("Find an operation").fill("profile")  # what is hidden need not be looked at
    expect(page.locator("#search")).to_be_hidden()


def profile(page: Page) -> None:
    page.goto(page.url + "#/profiles")
    page.get_by_role("link", name="Seen by everybody").click()
    expect(page.locator(".members li")).to_have_count(1)


@pytest.mark.parametrize(
    ("show", "look"),
    [
        (detail, BRIGHT),
        (operations, BRIGHT),
        *((show, {**SMALL, **DARK}) for show in (search, detail, profiles, profile, paste, docs)),
        *((show, {**SMALL, **DARK}) for show in (operations, rebuild, sign_in)),
        *((show, {**SMALL, **DARK}) for show in (nothing, gone, suggestions, dynamic)),
    ],
)
def test_everybody_can_use_it(
    show: Callable[[Page], None], look: dict[str, Any], visiting: Callable[..., Visit]
) -> None:
    visit = visiting(**look)
    if show is profile:
        created(visit.service, "Seen by everybody")
    if show is gone:
        visit.expected = ("ERR_INTERNET_DISCONNECTED",)
    page = visit.open(key=ADMIN)
    show(page)
    assert_usable(page)


def test_the_theme_is_the_systems_until_somebody_chooses(visiting: Callable[..., Visit]) -> None:
    def background(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    visit = visiting(**DARK)
    page = visit.open()
    dark = background(page)
    page.get_by_role("button", name="Use the light theme").click()
    assert background(page) != dark
    page.reload()
    expect(page.get_by_role("button", name="Use the dark theme")).to_be_visible()
    page.get_by_role("button", name="Use the dark theme").click()
    assert background(page) == dark


def test_the_reader_tells_of_every_operation(visit: Visit) -> None:
    described = visit.service.ask("GET", "/openapi.json")
    names = {operation["operationId"] for path in described["paths"].values() for operation in path.values()}
    page = visit.open("/docs")
    expect(page.locator(".operation")).to_have_count(len(names))
    assert set(page.locator(".operation").evaluate_all("(all) => all.map(({ id }) => id)")) == names
    commands = page.get_by_label("Command", exact=True).all_text_contents()
    assert len(commands) == len(names)
    assert not [command for command in commands if re.search(r"{\w+}|…|undefined", command)]
    assert f"curl '{visit.service.url}/v1/search-pins/pin_3'" in commands
    page.get_by_label("Find an operation").fill("bulk")
    expect(page.locator(".operation:visible")).to_have_count(1)
