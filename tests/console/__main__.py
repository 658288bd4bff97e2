"""Takes the pictures of the README, of a demo that it starts, and measures how soon the first hit is seen."""

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.web.console import assets
from tests.acceptance.test_demo import running_demo
from tests.packages import needed

VISITS: Final = 15
FIRST_HIT: Final = """
window.firstHit = new Promise((seen, failed) => {
  setTimeout(() => failed(new Error("no hit was painted within 20 s")), 20000);
  const look = new MutationObserver(() => {
    if (!document.querySelector(".hit")) return;
    look.disconnect();
    requestAnimationFrame(() => {
      const painted = new MessageChannel();
      painted.port1.onmessage = () => {
        const [navigation] = performance.getEntriesByType("navigation");
        seen(performance.now() - navigation.responseStart);
      };
      painted.port2.postMessage(null);
    });
  });
  look.observe(document, { childList: true, subtree: true });
});
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        running_demo(Path(data)) as demo,
        sync_playwright() as playwright,
    ):
        connection = demo.connection()
        with playwright.chromium.launch(executable_path=needed("chromium")) as browser:
            _measure(browser, connection["api_url"])
            _take(browser, connection["api_url"], connection["api_key"], folder)


def _all_assets() -> Iterator[assets.Asset]:
    yield from assets.ASSETS.values()
    for name in assets.PAGES:
        yield assets.page(name, frozenset())


def _measure(browser: Browser, url: str) -> None:
    seen = []
    for _ in range(VISITS):
        context = browser.new_context()
        context.add_init_script(FIRST_HIT)
        page = context.new_page()
        page.goto(url)
        seen.append(float(page.evaluate("window.firstHit")))
        context.close()
    compressed = sum(len(asset.compressed) for asset in _all_assets())
    print(
        f"first hit painted, from the first byte of the page: median {statistics.median(seen):.0f} ms, "
        f"worst {max(seen):.0f} ms of {VISITS} visits with an empty cache; {compressed / 1000:.1f} kB in all"
    )


def _take(browser: Browser, url: str, key: str, folder: Path) -> None:
    def opened(address: str, **look: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 720}, **look})
        context.add_init_script(f"sessionStorage.setItem('registry-key', '{key}')")
        page = context.new_page()
        page.goto(url + address)
        return page

    def take(page: Page, name: str) -> None:
        page.locator("main").evaluate("(main) => main.scrollTo(0, 0)")
        page.screenshot(path=folder / f"{name}.png", animations="disabled")
        page.context.close()

    page = opened("/#/?q=apple")
    page.locator(".hit").first.click()
    expect(page.locator(".history")).to_contain_text("Version 1")
    take(page, "search")

    page = opened("/#/profiles/new", color_scheme="dark")
    page.get_by_label("Name", exact=True).fill("European technology")
    page.get_by_label("A search, whatever it finds").check()
    page.get_by_label("Currencies").fill("EUR")
    page.get_by_label("Text", exact=True).fill("technologies")
    expect(page.locator(".preview .symbol")).not_to_have_count(0)
    take(page, "profile")

    page = opened("/#/operations")
    page.get_by_role("button", name="Rebuild", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Rebuild").click()
    expect(page.locator(".job")).to_contain_text("is live")
    for text in ("siemens", "bank", "oil", "water", "apple"):
        page.request.get(f"{url}/v1/instruments/search?q={text}")
        page.wait_for_timeout(2000)
    take(page, "operations")

    page = opened("/#/?q=bank", viewport={"width": 360, "height": 720}, color_scheme="dark")
    expect(page.locator(".hit")).not_to_have_count(0)
    take(page, "small")


if __name__ == "__main__":
    main()
