"""Profiles in a browser: made, pasted into, edited by two at once, and followed as they change."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.console.conftest import ADMIN, APPLE, Service, Visit
from tests.console.usable import assert_usable

PROFILES = "/v1/subscription-profiles"


def created(service: Service, name: str, **changes: Any) -> dict[str, Any]:
    (first,) = service.ask("GET", "/v1/instruments/search?q=aapl&limit=1")["hits"]
    content = {"name": name, "channels": ["trades"], "selection": {"instruments": [first["id"]]}, **changes}
    profile: dict[str, Any] = service.ask("POST", PROFILES, json=content)
    return profile


def saved(service: Service, profile: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = service.ask("GET", f"{PROFILES}/{profile['id']}")
    return read


def opened(visit: Visit, profile: dict[str, Any]) -> Page:
    page = visit.open(f"/#/profiles/{profile['id']}", key=ADMIN)
    expect(page.locator(".heading .badge.good")).to_have_text("live")
    expect(page.locator(".members li .name")).to_have_text(["Apple Inc."])
    return page


def test_a_profile_is_made_of_what_is_found_and_what_is_pasted(visit: Visit) -> None:
    page = visit.open("/#/profiles", key=ADMIN)
    page.get_by_role("link", name="New profile").click()
    page.get_by_label("Name", exact=True).fill("Desk")
    page.get_by_label("quotes").check()
    finder = page.get_by_role("combobox", name="Add an instrument")
    finder.press_sequentially("hospitality")
    expect(page.locator(".suggestions li")).to_have_count(1)
    finder.press("Enter")
    expect(page.locator(".members li")).to_have_count(1)
    page.get_by_role("button", name="Paste identifiers").click()
    lines = [APPLE.lower(), "XSS XNAS", "XNYS:C7", "TWIN", "US0000000000", "NOSUCH"]
    page.get_by_label("Identifiers, one a line").fill("\n".join(lines))
    page.get_by_role("button", name="Look up").click()
    expect(page.locator(".found [role=status]")).to_have_text("3 resolved, 1 ambiguous, 2 unknown.")
    expect(page.locator(".found-unknown code")).to_have_text(["US0000000000", "NOSUCH"])
    expect(page.locator(".found-resolved select option")).to_have_count(2)
    page.get_by_label("Which instrument is TWIN").select_option(label="TWIN · Twin of the South · XLON GBP")
    page.get_by_role("button", name="Add 4").click()
    expect(page.locator(".members li")).to_have_count(5)
    page.get_by_role("button", name="Remove XSS").click()
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="Desk")).to_be_visible()
    profile = saved(visit.service, {"id": page.url.rpartition("/")[2]})
    assert (profile["channels"], profile["instrument_count"]) == (["trades", "quotes"], 4)


def test_what_is_refused_is_told_by_field(visit: Visit) -> None:
    visit.expected = ("status of 400",)
    page = visit.open("/#/profiles/new", key=ADMIN)
    page.get_by_label("Name", exact=True).fill("Empty")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("selection.instruments is empty")


def test_two_who_edit_at_once_see_both_versions_and_lose_nothing(visiting: Callable[..., Visit]) -> None:
    visit = visiting()
    visit.expected = ("status of 412",)
    profile = created(visit.service, "Shared")
    page = opened(visit, profile)
    # The other one saves while nobody can tell this page.
    page.route("**/stream", lambda route: route.abort())
    finder = page.get_by_role("combobox", name="Add an instrument")
    finder.press_sequentially("hospitality")
    page.locator(".suggestions li").click()
    page.get_by_label("Description").fill("mine")
    other = visit.service.ask("GET", "/v1/instruments/search?q=xss&limit=1")["hits"][0]["id"]
    theirs = {"description": "theirs", "channels": ["trades", "book"]}
    patch = {**theirs, "selection": {"instruments": [*profile["selection"]["instruments"], other]}}
    visit.service.ask("PATCH", f"{PROFILES}/{profile['id']}", json=patch, headers={"If-Match": '"1"'})
    page.get_by_role("button", name="Save", exact=True).click()
    dialog = page.get_by_role("dialog", name="Somebody saved first")
    expect(dialog.get_by_role("group")).to_have_count(3)
    expect(dialog.get_by_role("group", name="Description")).to_contain_text("changed by both of you")
    expect(dialog.get_by_role("group", name="Channels").get_by_label("Theirs")).to_be_checked()
    expect(dialog.get_by_role("group", name="Selection").get_by_label("Both merged")).to_be_checked()
    assert_usable(page)
    dialog.get_by_role("button", name="Save what is chosen").click()
    expect(page.locator(".heading")).to_contain_text("version 3")
    after = saved(visit.service, profile)
    assert (after["description"], after["channels"]) == ("mine", ["trades", "book"])
    assert after["instrument_count"] == 3 and other in after["selection"]["instruments"]


def test_a_page_follows_what_others_save(visit: Visit) -> None:
    profile = created(visit.service, "Watched")
    page = opened(visit, profile)
    path = f"{PROFILES}/{profile['id']}"
    visit.service.ask("PATCH", path, json={"description": "first"}, headers={"If-Match": '"1"'})
    expect(page.get_by_label("Description")).to_have_value("first")
    expect(page.locator(".log li")).to_contain_text(["updated: description"])
    page.get_by_label("Description").fill("draft")
    visit.service.ask("PATCH", path, json={"status": "paused"}, headers={"If-Match": '"2"'})
    expect(page.get_by_role("alert")).to_contain_text("Somebody saved version 3")
    expect(page.get_by_label("Description")).to_have_value("draft")
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Take theirs").click()
    expect(page.get_by_label("Status")).to_have_value("paused")


def test_a_dynamic_selection_shows_what_it_finds(visit: Visit) -> None:
    page = visit.open("/#/profiles/new", key=ADMIN)
    page.get_by_label("A search, whatever it finds").check()
    page.get_by_label("Text", exact=True).fill("apple")
    expect(page.locator(".preview b")).to_have_text("3")
    page.get_by_label("Currencies").fill("EUR")
    expect(page.locator(".preview .symbol")).to_have_text(["APC.F"])
    page.get_by_label("Name", exact=True).fill("Apples in euro")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="Apples in euro")).to_be_visible()
    profile = saved(visit.service, {"id": page.url.rpartition("/")[2]})
    assert profile["selection"] == {"query": {"q": "apple", "currency": ["EUR"], "status": ["active"]}}


def test_a_draft_outlives_leaving_the_page_and_a_stream_a_service_that_was_away(
    visiting: Callable[..., Visit],
) -> None:
    visit = visiting()
    visit.expected = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "ERR_INCOMPLETE", "ERR_SOCKET")
    profile = created(visit.service, "Kept")
    path = f"{PROFILES}/{profile['id']}"
    with visit.service.another() as other:
        page = visit.open(f"/#/profiles/{profile['id']}", key=ADMIN, root=other.url)
        expect(page.locator(".heading .badge.good")).to_have_text("live")
        other.stop()
        expect(page.locator(".heading .badge.warn")).to_have_text("reconnecting")
        visit.service.ask("PATCH", path, json={"description": "meanwhile"}, headers={"If-Match": '"1"'})
        other.start()
        expect(page.get_by_label("Description")).to_have_value("meanwhile")
        page.get_by_label("Description").fill("unfinished")
        page.get_by_role("link", name="Operations").click()
        expect(page.get_by_role("heading", name="Operations")).to_be_visible()
        page.go_back()
        expect(page.get_by_label("Description")).to_have_value("unfinished")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator(".heading")).to_contain_text("version 3")
