"""Profiles in a browser: made, pasted into, edited by two at once, and followed as they change."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from playwright.sync_api import Page, Route, expect

from app.auth.api_keys import key_hash
from app.domain.access import SCOPES
from app.store.api_keys import add_key, revoke_key
from app.store.postgres import open_connection
from app.store.profile_changes import append
from app.store.profile_rows import parse_profile_id
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


def sign_in(page: Page) -> None:
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("API key").fill(ADMIN)
    page.keyboard.press("Enter")


def saved_by_another(service: Service, profile: dict[str, Any], version: int, **changes: Any) -> None:
    """While its version is this."""
    path = f"{PROFILES}/{profile['id']}"
    service.ask("PATCH", path, json=changes, headers={"If-Match": f'"{version}"'})


def reset(service: Service, profile: dict[str, Any]) -> None:
    """Has its stream say that something may have been missed."""
    profile_id = parse_profile_id(profile["id"])
    assert isinstance(profile_id, UUID)

    async def appended() -> None:
        async with open_connection(service.database_url) as connection:
            await append(connection, profile_id, "reset", reason="many_changes")

    service.run(appended())


class Held:
    """Requests of a page that go nowhere until they are let go."""

    def __init__(self, page: Page, pattern: str, method: str) -> None:
        self.page = page
        self.method = method
        self.routes: list[Route] = []
        self.is_over = False
        page.route(pattern, self._hold)

    def wait(self) -> None:
        while not self.routes:
            self.page.wait_for_timeout(20)

    def let_go(self) -> None:
        self.is_over = True
        for route in self.routes:
            route.continue_()

    def _hold(self, route: Route) -> None:
        if self.is_over or route.request.method != self.method:
            route.continue_()
        else:
            self.routes.append(route)


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


def test_nothing_can_be_written_while_it_is_saved(visit: Visit) -> None:
    profile = created(visit.service, "Saved slowly")
    page = opened(visit, profile)
    held = Held(page, f"**{PROFILES}/{profile['id']}", "PUT")
    page.get_by_label("Name", exact=True).fill("Saved at last")
    page.get_by_label("Name", exact=True).press("Enter")
    held.wait()
    expect(page.get_by_label("Description")).to_be_disabled()
    page.keyboard.type(" and lost")
    held.let_go()
    expect(page.locator(".heading")).to_contain_text("version 2")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Saved at last")
    page.get_by_label("Description").fill("goes on")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_enabled()


def test_what_is_written_while_a_newer_version_is_read_stays(visit: Visit) -> None:
    profile = created(visit.service, "Read slowly")
    page = opened(visit, profile)
    held = Held(page, f"**{PROFILES}/{profile['id']}", "GET")
    saved_by_another(visit.service, profile, 1, description="theirs")
    expect(page.locator(".log li")).to_contain_text(["updated: description"])
    held.wait()
    page.get_by_label("Description").fill("mine")
    held.let_go()
    expect(page.get_by_role("alert")).to_contain_text("Somebody saved version 2 while you are editing")
    expect(page.get_by_label("Description")).to_have_value("mine")


def test_pasting_goes_on_while_somebody_else_saves(visit: Visit) -> None:
    profile = created(visit.service, "Pasted into")
    page = opened(visit, profile)
    page.get_by_role("button", name="Paste identifiers").click()
    page.get_by_label("Identifiers, one a line").fill("XSS XNAS")
    page.get_by_role("button", name="Look up").click()
    saved_by_another(visit.service, profile, 1, description="theirs")
    expect(page.locator(".news")).to_contain_text("Somebody saved version 2")
    page.get_by_role("button", name="Add 1").click()
    expect(page.locator(".members li")).to_have_count(2)


def test_a_new_profiles_draft_outlives_leaving_the_page_until_it_is_undone(visit: Visit) -> None:
    page = visit.open("/#/profiles/new", key=ADMIN)
    name = page.get_by_label("Name", exact=True)
    name.fill("Begun")
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("heading", name="Operations")).to_be_visible()
    page.go_back()
    expect(name).to_have_value("Begun")
    expect(page.get_by_text("These are your changes of before")).to_be_visible()
    page.get_by_role("button", name="Undo changes").click()
    expect(name).to_have_value("")
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("heading", name="Operations")).to_be_visible()
    page.go_back()
    expect(name).to_have_value("")


def test_what_is_saved_before_a_page_can_follow_is_shown(visit: Visit) -> None:
    profile = created(visit.service, "Between")
    page = visit.open(key=ADMIN)
    held = Held(page, "**/stream", "GET")
    page.goto(f"{visit.service.url}/#/profiles/{profile['id']}")
    held.wait()
    expect(page.get_by_label("Description")).to_have_value("")
    saved_by_another(visit.service, profile, 1, description="meanwhile")
    held.let_go()
    expect(page.get_by_label("Description")).to_have_value("meanwhile")
    expect(page.locator(".log li")).to_have_count(0)


def test_a_reset_is_news_only_if_another_version_was_saved(visit: Visit) -> None:
    profile = created(visit.service, "Reset")
    page = opened(visit, profile)
    page.get_by_label("Description").fill("mine")
    with page.expect_response(f"**{PROFILES}/{profile['id']}") as read:
        reset(visit.service, profile)
    assert read.value.status == 304
    expect(page.locator(".log li")).to_contain_text(["reset: many_changes"])
    expect(page.get_by_role("alert")).to_have_count(0)
    saved_by_another(visit.service, profile, 1, status="paused")
    expect(page.get_by_role("alert")).to_contain_text("Somebody saved version 2")
    with page.expect_response(f"**{PROFILES}/{profile['id']}"):
        reset(visit.service, profile)
    expect(page.get_by_role("alert")).to_contain_text("Somebody saved version 2")


def test_another_draft_is_created_after_an_answer_was_lost(visit: Visit) -> None:
    visit.expected = ("ERR_FAILED",)

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page = visit.open("/#/profiles/new", key=ADMIN)
    finder = page.get_by_role("combobox", name="Add an instrument")
    finder.press_sequentially("hospitality")
    page.locator(".suggestions li").click()
    page.get_by_label("Name", exact=True).fill("Lost")
    page.route(f"**{PROFILES}", lose)
    page.get_by_role("button", name="Create").click()
    expect(page.locator(".problem")).to_have_text("The service does not answer.")
    page.unroute(f"**{PROFILES}")
    page.get_by_label("Name", exact=True).fill("Found")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="Found")).to_be_visible()


def test_who_signs_out_leaves_nothing_behind(visit: Visit) -> None:
    profile = created(visit.service, "Left")
    page = visit.open("/#/profiles/new", key=ADMIN)
    page.get_by_label("Name", exact=True).fill("Never saved")
    page.goto(f"{visit.service.url}/#/profiles/{profile['id']}")
    expect(page.locator(".heading .badge.good")).to_have_text("live")
    page.get_by_label("Description").fill("never saved")
    page.get_by_role("button", name="Signed in as").click()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/stream")):
        page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Sign in with a key that has the scope profiles:read")).to_be_visible()
    sign_in(page)
    expect(page.get_by_label("Description")).to_have_value("")
    page.goto(f"{visit.service.url}/#/profiles/new")
    expect(page.get_by_role("heading", name="New profile")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("")


def test_what_one_wrote_is_not_left_to_another_when_a_key_is_refused(visit: Visit) -> None:
    visit.expected = ("status of 401",)
    service = visit.service
    profile = created(service, "Refused")
    adding = add_key(
        service.database_url, owner="other_admin", scopes=SCOPES, secret_sha256=key_hash("ir_other")
    )
    key_id = service.run(adding)
    page = visit.open(f"/#/profiles/{profile['id']}", key="ir_other")
    expect(page.locator(".heading .badge.good")).to_have_text("live")
    page.get_by_label("Description").fill("theirs")
    service.run(revoke_key(service.database_url, key_id))
    expect(page.locator(".heading .badge.warn")).to_have_text("not live")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#said")).to_contain_text("You were signed out")
    expect(page.get_by_label("Description")).to_have_value("theirs")
    expect(page.get_by_label("Description")).to_be_enabled()
    sign_in(page)
    expect(page.locator(".heading .badge.good")).to_have_text("live")
    expect(page.get_by_label("Description")).to_have_value("")


def test_members_that_others_add_are_counted(visit: Visit) -> None:
    profile = created(visit.service, "Counted")
    page = opened(visit, profile)
    hits = visit.service.ask("GET", "/v1/instruments/search?q=company&limit=2")["hits"]
    edit = {"add": [hit["id"] for hit in hits], "remove": profile["selection"]["instruments"]}
    visit.service.ask("POST", f"{PROFILES}/{profile['id']}/instruments", json=edit)
    expect(page.locator(".log li")).to_contain_text(["updated: instruments (2 added, 1 removed)"])
    expect(page.locator(".members li")).to_have_count(2)
    page.get_by_text("Audit trail").click()
    expect(page.locator(".history li").first).to_contain_text("instruments: 2 added, 1 removed")


def test_a_choice_that_is_taken_back_is_no_change(visit: Visit) -> None:
    delivery = {"mode": "streaming", "bar_interval": "1m"}
    profile = created(visit.service, "There and back", channels=["trades", "bars"], delivery=delivery)
    page = opened(visit, profile)
    save = page.get_by_role("button", name="Save", exact=True)
    page.get_by_label("Delivery").select_option("conflated")
    expect(save).to_be_enabled()
    page.get_by_label("Delivery").select_option("streaming")
    expect(save).to_be_disabled()


def test_enter_adds_what_was_typed_last(visit: Visit) -> None:
    page = visit.open("/#/profiles/new", key=ADMIN)
    finder = page.get_by_role("combobox", name="Add an instrument")
    finder.fill("apple")
    expect(page.locator(".suggestions li")).to_have_count(3)
    held: list[Route] = []
    page.route("**/search?q=hospitality", lambda route: held.append(route))
    finder.fill("hospitality")
    finder.press("Enter")
    expect(page.locator(".members li")).to_have_count(0)
    while not held:
        page.wait_for_timeout(20)
    held[0].continue_()
    expect(page.locator(".members li .name")).to_have_text(["Apple Hospitality REIT"])
    expect(page.locator(".suggestions")).to_be_hidden()


def test_names_that_come_late_do_not_bring_back_an_older_list(visit: Visit) -> None:
    profile = created(visit.service, "Slow names")
    held: list[Route] = []
    visit.context.route("**/lookup", lambda route: held.append(route))
    page = visit.open(f"/#/profiles/{profile['id']}", key=ADMIN)
    finder = page.get_by_role("combobox", name="Add an instrument")
    finder.fill("hospitality")
    page.locator(".suggestions li").click()
    while len(held) < 2:
        page.wait_for_timeout(20)
    names = page.locator(".members li .name")
    held[1].continue_()
    expect(names).to_have_text(["Apple Hospitality REIT", "Apple Inc."])
    held[0].continue_()
    page.wait_for_timeout(200)
    expect(names).to_have_text(["Apple Hospitality REIT", "Apple Inc."])
