"""Takes the documentation's pictures of a demo that it starts and measures how soon the first hit is seen."""

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

from app.web.console import assets
from tests.acceptance.test_demo import running_demo
from tests.console.pictures import PICTURES
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
            for picture in PICTURES:
                picture.take(browser, connection["api_url"], connection["api_key"], folder)


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


if __name__ == "__main__":
    main()
