"""The pictures of the console that the documentation shows, and how each is come by."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, ViewportSize, expect

HEIGHT: Final = 720


@dataclass(frozen=True, slots=True)
class Picture:
    name: str
    address: str
    show: Callable[[Page], None]
    """Does what a visitor does to see it."""
    width: int = 1200
    theme: Literal["light", "dark"] = "light"

    def take(self, browser: Browser, url: str, key: str, folder: Path) -> Path:
        """The file of the picture, of a console at `url` that a caller with this key looks at."""
        size: ViewportSize = {"width": self.width, "height": HEIGHT}
        path = folder / f"{self.name}.png"
        with browser.new_context(viewport=size, color_scheme=self.theme) as context:
            context.add_init_script(f"sessionStorage.setItem('registry-key', '{key}')")
            page = context.new_page()
            page.goto(url + self.address)
            self.show(page)
            page.locator("main").evaluate("(main) => main.scrollTo(0, 0)")
            page.screenshot(path=path, animations="disabled")
        return path


def _hit(page: Page) -> None:
    page.locator(".hit").first.click()
    expect(page.locator(".history")).to_contain_text("Version 1")


def _profile(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("Everything in euros")
    page.get_by_label("A search, whatever it finds").check()
    page.get_by_label("Currencies").fill("EUR")
    expect(page.locator(".preview .symbol")).not_to_have_count(0)


def _rebuild(page: Page) -> None:
    page.get_by_role("button", name="Rebuild", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Rebuild").click()
    expect(page.locator(".job")).to_contain_text("is live")
    for text in ("siemens", "bank", "oil", "water", "apple"):  # so that there are rates to draw
        page.evaluate("async (text) => { await fetch(`/v1/instruments/search?q=${text}`) }", text)
        page.wait_for_timeout(2000)


def _hits(page: Page) -> None:
    expect(page.locator(".hit")).not_to_have_count(0)


PICTURES: Final = (
    Picture("search", "/#/?q=apple", _hit),
    Picture("profile", "/#/profiles/new", _profile, theme="dark"),
    Picture("operations", "/#/operations", _rebuild),
    Picture("small", "/#/?q=company", _hits, width=360, theme="dark"),
)
