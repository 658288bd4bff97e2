"""Whether somebody can use what a page shows: who does not see it, and on whatever screen."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
BEYOND_THE_EDGE = """
[...document.querySelectorAll("header *, main *, dialog *")]
  .filter((node) => !node.parentElement.closest(".scroll, .summary, pre, svg"))
  .filter((node) => node.checkVisibility() && node.getBoundingClientRect().right > innerWidth + 1)
  .map((node) => node.className || node.nodeName)
"""
"""What cannot be reached, but for what scrolls sideways by itself, or is cut short with a mark."""


def assert_usable(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(BEYOND_THE_EDGE) == []
    results = Axe().run(page, options=RULES)
    assert results.violations_count == 0, results.generate_report()
