"""Metrics of several processes as one."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from app import metrics
from app.supervision import reports
from app.supervision.channel import encode
from app.supervision.reports import Report, Reports, make_report

ROOT = Path(__file__).parents[2]


class Process:
    """What one process counts."""

    def __init__(self, *, buckets: tuple[float, ...] = (1, 2)) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("registry_asked", "Asked.", ("kind",), registry=self.registry)
        self.seconds = Histogram("registry_took", "Took.", buckets=buckets, registry=self.registry)
        self.listeners = Gauge("registry_stream_listeners", "Listeners.", registry=self.registry)
        self.age = Gauge("registry_index_age_seconds", "Age.", registry=self.registry)
        self.readable = Gauge("registry_profile_copies_readable", "Readable.", registry=self.registry)
        self.memory = Gauge("process_memory", "Memory.", registry=self.registry)

    def report(self, worker: str, monkeypatch: pytest.MonkeyPatch) -> Report:
        monkeypatch.setattr(reports, "REGISTRY", self.registry)
        return make_report(worker)


@pytest.fixture
def processes() -> list[Process]:
    first, second = Process(), Process()
    first.requests.labels("a").inc(2)
    second.requests.labels("a").inc(3)
    second.requests.labels("b").inc()
    for value in (0.5, 1.5, 9):
        first.seconds.observe(value)
    second.seconds.observe(0.5)
    for process, listeners, age, readable in ((first, 2, 5, 1), (second, 3, 4, 0)):
        process.listeners.set(listeners)
        process.age.set(age)
        process.readable.set(readable)
        process.memory.set(100)
    return [first, second]


def samples(exported: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exported.decode())
        for sample in family.samples
    }


def test_processes_are_added_up(processes: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    told = [process.report(str(number), monkeypatch) for number, process in enumerate(processes)]
    found = samples(Reports().export(told))
    assert found["registry_asked_total", (("kind", "a"),)] == 5
    assert found["registry_asked_total", (("kind", "b"),)] == 1
    assert [found["registry_took_bucket", (("le", le),)] for le in ("1.0", "2.0", "+Inf")] == [2, 3, 4]
    assert (found["registry_took_count", ()], found["registry_took_sum", ()]) == (4, 11.5)
    assert found["registry_stream_listeners", ()] == 5
    assert found["registry_index_age_seconds", ()] == 5
    assert found["registry_profile_copies_readable", ()] == 0
    assert found["process_memory", (("worker", "0"),)] == found["process_memory", (("worker", "1"),)] == 100
    assert not any(name.endswith("_created") for name, _ in found)


def test_what_has_ended_stays_counted_and_is_gauged_no_more(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Reports()
    first, second = (process.report(str(number), monkeypatch) for number, process in enumerate(processes))
    together.end(first)
    together.end(())  # one that never reported
    for _ in range(2):  # asking changes nothing
        found = samples(together.export([second]))
        assert found["registry_asked_total", (("kind", "a"),)] == 5
        assert found["registry_took_count", ()] == 4
        assert found["registry_stream_listeners", ()] == 3
        assert found["registry_profile_copies_readable", ()] == 0
        assert ("process_memory", (("worker", "0"),)) not in found
    together.end(second)
    assert samples(together.export([]))["registry_asked_total", (("kind", "a"),)] == 5


def test_what_has_ended_takes_no_more_room_the_more_there_was(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Reports()
    sizes = set()
    for _ in range(3):
        together.end(processes[1].report("1", monkeypatch))
        sizes.add(sum(len(values) for f in together._ended.values() for values in f.samples.values()))
    assert len(sizes) == 1


def test_versions_with_other_buckets_make_a_histogram_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Process(), Process(buckets=(0.5, 2))
    for process in (old, new):
        for value in (0.4, 0.7, 1.5, 9):
            process.seconds.observe(value)
    together = Reports()
    together.end(old.report("0", monkeypatch))
    found = samples(together.export([new.report("0", monkeypatch)]))
    counts = [found["registry_took_bucket", (("le", le),)] for le in ("0.5", "1.0", "2.0", "+Inf")]
    assert counts == [1, 3, 6, 8]
    assert found["registry_took_count", ()] == 8


def test_a_report_can_be_sent() -> None:
    assert encode("report", make_report("0"))


def test_every_gauge_of_the_api_says_how_it_is_merged() -> None:
    names = {name: gauge for name, gauge in vars(metrics).items() if isinstance(gauge, Gauge)}
    used = {
        name
        for file in (ROOT / "app").rglob("*.py")
        for name in re.findall(r"metrics\.([A-Z_]+)\.", file.read_text(encoding="utf-8"))
    }
    of_api = {family.name for name in names.keys() & used for family in names[name].describe()}
    assert of_api == set(metrics.MERGED)
