"""Metrics of several processes as one: each tells what its registry holds, and the sum is exported.

Every process counts in its own memory, which costs a request a third of what counting in shared files does
(docs/adr/0014). Of the project's metrics counters and histograms are added up, and gauges merged as
`app.metrics` says; those of the process and of Python have the label `worker` instead.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from prometheus_client import REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from app.metrics import MERGED, Merging

_OWN: Final = "registry_"
_BUCKET: Final = "_bucket"
_CREATED: Final = "_created"
_MERGE: Final[dict[Merging, Callable[[list[float]], float]]] = {
    Merging.SUM: sum,
    Merging.MAX: max,
    Merging.MIN: min,
}

Labels: TypeAlias = tuple[tuple[str, str], ...]
Report: TypeAlias = Sequence[Any]
"""Families as they are sent: name, help, type, merging, and samples of name, labels and value."""


@dataclass(slots=True)
class _Family:
    help: str
    type: str
    merging: Merging
    samples: dict[tuple[str, Labels], list[float]] = field(default_factory=dict)


def make_report(worker: str, own: Collection[str] | None = None) -> Report:
    """What this process's registry holds now; of the project's metrics those named by `own`, else all.

    A bucket's value is of itself, without those below it.
    """
    return [
        (
            metric.name,
            metric.documentation,
            metric.type,
            MERGED.get(metric.name, Merging.MAX) if metric.type == "gauge" else Merging.SUM,
            list(_samples(metric, worker)),
        )
        for metric in REGISTRY.collect()
        if own is None or metric.name in own or not metric.name.startswith(_OWN)
    ]


def _samples(metric: Metric, worker: str) -> Iterator[tuple[str, Labels, float]]:
    more = () if metric.name.startswith(_OWN) else (("worker", worker),)
    below = 0.0
    for sample in metric.samples:
        if sample.name.endswith(_CREATED):  # of a process, and so of no use in a sum
            continue
        labels = (*sample.labels.items(), *more)
        if metric.type == "histogram" and sample.name.endswith(_BUCKET):
            yield sample.name, labels, sample.value - below
            below = 0.0 if sample.labels["le"] == "+Inf" else sample.value
        else:
            yield sample.name, labels, sample.value


class Reports:
    """Reports of processes that live, added to what those that have ended had counted."""

    def __init__(self) -> None:
        self._ended: dict[str, _Family] = {}

    def end(self, last: Report) -> None:
        """Keep what a process that has ended counted, but not what it gauged."""
        _add(self._ended, [family for family in last if family[2] != "gauge"])
        for family in self._ended.values():
            for values in family.samples.values():
                values[:] = [sum(values)]

    def export(self, living: Iterable[Report]) -> bytes:
        """Everything, in Prometheus's text format."""
        families: dict[str, _Family] = {}
        for name, ended in self._ended.items():
            samples = {key: list(values) for key, values in ended.samples.items()}
            families[name] = _Family(ended.help, ended.type, ended.merging, samples)
        for report in living:
            _add(families, report)
        registry = CollectorRegistry()
        registry.register(_Families(families))
        return generate_latest(registry)


def _add(families: dict[str, _Family], report: Report) -> None:
    for name, text, kind, merging, samples in report:
        family = families.get(name)
        if family is None or family.type != kind:  # the latter: another version's
            family = families[name] = _Family(text, kind, Merging(merging))
        for sample, labels, value in samples:
            key = sample, tuple((label, said) for label, said in labels)
            family.samples.setdefault(key, []).append(value)


class _Families(Collector):
    def __init__(self, families: dict[str, _Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for name, family in self._families.items():
            metric = Metric(name, family.help, family.type)
            merged = {key: _MERGE[family.merging](values) for key, values in family.samples.items()}
            if family.type == "histogram":
                merged = _accumulated(merged)
            for (sample, labels), value in merged.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric


def _accumulated(values: dict[tuple[str, Labels], float]) -> dict[tuple[str, Labels], float]:
    """Each bucket with those below it, whichever bounds the versions have that reported."""
    buckets: dict[Labels, list[tuple[float, tuple[str, Labels]]]] = {}
    for sample, labels in values:
        if sample.endswith(_BUCKET):
            series = tuple(label for label in labels if label[0] != "le")
            buckets.setdefault(series, []).append((float(dict(labels)["le"]), (sample, labels)))
    accumulated = dict(values)
    for bounds in buckets.values():
        below = 0.0
        for _, key in sorted(bounds):
            below = accumulated[key] = below + values[key]
    return accumulated
