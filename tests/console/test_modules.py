"""What modules of the console compute, asked of them in a browser."""

from typing import Any

import pytest
from playwright.sync_api import Page

from app.web.console.assets import VERSION
from tests.console.conftest import Visit


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.open("/docs")


def computed(page: Page, module: str, expression: str, argument: Any = None) -> Any:
    """The value of an expression with a module as `m` and the argument as `a`."""
    return page.evaluate(
        f"async (a) => {{ const m = await import('/assets/{VERSION}/{module}'); return {expression}; }}",
        argument,
    )


METRICS = """# HELP x A metric
x_bucket{route="/a",le="0.1"} 10
x_bucket{route="/a",le="0.2"} 30
x_bucket{route="/a",le="+Inf"} 40
x_bucket{route="/b \\"q\\"",le="0.1"} 5
n_total 3.5e+01
"""


def test_metrics_are_read_and_quantiles_are_prometheus(page: Page) -> None:
    assert computed(page, "metrics.js", "m.total(m.parseMetrics(a), 'n_total')", METRICS) == 35
    labels = "m.parseMetrics(a).get('x_bucket').map(({ labels }) => labels.route)"
    assert computed(page, "metrics.js", labels, METRICS)[-1] == '/b "q"'
    buckets = "m.buckets(m.parseMetrics(a), 'x', ({ route }) => route === '/a')"
    assert computed(page, "metrics.js", f"m.quantile(0.5, {buckets}, [])", METRICS) == pytest.approx(0.15)
    assert computed(page, "metrics.js", f"m.quantile(0.99, {buckets}, [])", METRICS) == 0.2
    assert computed(page, "metrics.js", f"m.quantile(0.5, {buckets}, {buckets})", METRICS) is None


def test_events_are_read_however_they_are_cut(page: Page) -> None:
    frames = """(async () => {
      const bytes = new TextEncoder().encode(a), found = [];
      const body = new ReadableStream({ start(to) {
        for (const byte of bytes) to.enqueue(new Uint8Array([byte]));
        to.close();
      } });
      for await (const frame of m.events(body)) found.push(frame);
      return found;
    })()"""
    sent = ':\n\nid: 4\nevent: updated\ndata: {"name":"é: x"}\n\ndata: a\ndata: b\n\nid: 5\nevent: cut'
    assert computed(page, "stream.js", f"await {frames}", sent) == [
        {"id": None, "event": None, "data": ""},
        {"id": "4", "event": "updated", "data": '{"name":"é: x"}'},
        {"id": None, "event": None, "data": "a\nb"},
    ]


LINES: dict[str, dict[str, str]] = {
    "US0378331005": {"type": "isin"},
    "BBG000B9XRY4": {"type": "figi"},
    "037833100": {"type": "cusip"},
    "2046251": {"type": "sedol"},
    "ins_272": {"type": "id"},
    "AAPL XNAS": {"type": "symbol", "value": "AAPL", "mic": "XNAS"},
    "XETR:SIE.DE": {"type": "symbol", "value": "SIE.DE", "mic": "XETR"},
    "lei: HWUPKR0MPOU8FGXBT394": {"type": "lei", "value": "HWUPKR0MPOU8FGXBT394"},
    "BRK.B": {"type": "symbol"},
}


def test_pasted_lines_are_taken_for_what_they_look_like(page: Page) -> None:
    assert computed(page, "paste.js", "m.linesOf(a)", "A,\n\n A \r\nB;") == ["A", "B"]
    assert computed(page, "paste.js", "a.map(m.identifierOf)", list(LINES)) == [
        {"value": line, **expected} for line, expected in LINES.items()
    ]


def test_members_are_merged_from_both_sides(page: Page) -> None:
    sides = {
        name: {"selection": {"instruments": ids}}
        for name, ids in (("base", ["a", "b", "c"]), ("mine", ["a", "c", "x"]), ("theirs", ["a", "b", "y"]))
    }
    merged = computed(page, "conflict.js", "m.mergedMembers(a.base, a.mine, a.theirs)", sides)
    assert merged == ["a", "y", "x"]


def test_the_order_of_fields_is_no_difference(page: Page) -> None:
    one = {"a": {"mode": "streaming", "bar_interval": "1m"}, "b": ["x", "y"]}
    other = {"b": ["x", "y"], "a": {"bar_interval": "1m", "mode": "streaming"}}
    assert computed(page, "draft.js", "m.same(a[0], a[1])", [one, other])
    assert not computed(page, "draft.js", "m.same(a[0], a[1])", [one, {**other, "b": ["y", "x"]}])
    mine = {"delivery": {"mode": "streaming", "book_depth": 5}, "name": "mine"}
    theirs = {"delivery": {"book_depth": 5, "mode": "streaming"}, "name": "theirs"}
    assert computed(page, "conflict.js", "m.differences(a[0], a[0], a[1])", [mine, theirs]) == [
        {"name": "name", "by": "theirs"}
    ]


def test_a_draft_knows_whether_it_is_changed_and_has_one_key_for_each_content(page: Page) -> None:
    written = """(() => {
      const draft = new m.Draft();
      const seen = [[draft.isChanged, draft.idempotencyKey]];
      for (const description of ["one", "one", "two"]) {
        draft.content.description = description;
        seen.push([draft.isChanged, draft.idempotencyKey]);
      }
      draft.undo();
      return [...seen, [draft.isChanged, draft.base.description]];
    })()"""
    (new, first), (edited, key), again, (_, other), undone = computed(page, "draft.js", written)
    assert (new, edited, undone) == (False, True, [False, ""])
    assert again == [True, key]
    assert len({first, key, other}) == 3


def test_marks_are_counted_in_code_points(page: Page) -> None:
    marked = "m.marked(a, [[1, 3]]).map((part) => part.textContent ?? part)"
    assert computed(page, "dom.js", marked, "\U0001f34eApple") == ["\U0001f34e", "Ap", "ple"]
