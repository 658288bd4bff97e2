"""Parameters: what they may be, where they come from, and what holds when the service does not help."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from app.parameters.address import DEFAULT_PREFIX, parse_address
from app.parameters.definitions import DEFINITIONS, NAMES, Definition, Parameters
from app.parameters.live import NOT_ANSWERING, NOT_READ, NOT_REGISTERED, LiveParameters, Source
from app.parameters.service import Unreadable

ROOT = Path(__file__).parents[2]
ADDRESS = parse_address("etcd://host")
GOOD: dict[str, object] = {
    "SEARCH_TIMEOUT": 1000,
    "MAX_RESULTS_PER_PAGE": 7,
    "QUERY_OPTIMIZATION": False,
    "CACHE_TTL_SECONDS": 0,
    "SEARCH_INDEX_REFRESH": 5,
}
BY_NAME = {definition.name: definition for definition in DEFINITIONS}


def of(parameters: LiveParameters, name: str) -> tuple[Any, Source, str | None]:
    state = parameters.states[name]
    assert getattr(parameters, name.lower()) == state.value
    return state.value, state.source, state.problem


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_the_definitions_are_those_of_production() -> None:
    assert [(d.name, d.minimum, d.maximum, d.default, d.tuning.unit) for d in DEFINITIONS] == [
        ("SEARCH_TIMEOUT", 1, 60_000, 5000, "ms"),
        ("MAX_RESULTS_PER_PAGE", 1, 1000, 100, None),
        ("QUERY_OPTIMIZATION", None, None, True, None),
        ("CACHE_TTL_SECONDS", 0, 86_400, 300, "s"),
        ("SEARCH_INDEX_REFRESH", 0.1, 3600, 30, "s"),
    ]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one.name)
def test_bounds_are_those_of_the_environment(definition: Definition, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert definition.checked(definition.default) == definition.default
    if definition.minimum is None or definition.maximum is None:
        return
    for value in (definition.minimum, definition.maximum):
        exact = definition.kind(value)
        monkeypatch.setenv(definition.name, str(exact))
        assert getattr(Parameters.from_environment(), definition.field) == definition.checked(exact)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SEARCH_TIMEOUT", 0, "must be a whole number from 1 to 60000 ms, and is 0"),
        ("SEARCH_TIMEOUT", 60_001, "from 1 to 60000 ms"),
        ("SEARCH_TIMEOUT", "5000", "and is '5000'"),
        ("SEARCH_TIMEOUT", 5000.0, "a whole number"),
        ("SEARCH_TIMEOUT", True, "and is True"),
        ("SEARCH_TIMEOUT", {"value": 1}, "a whole number"),
        ("MAX_RESULTS_PER_PAGE", 10**30, "from 1 to 1000, and is 1"),
        ("QUERY_OPTIMIZATION", 1, "must be true or false, and is 1"),
        ("QUERY_OPTIMIZATION", "yes", "must be true or false"),
        ("CACHE_TTL_SECONDS", -1, "from 0 to 86400 s"),
        ("SEARCH_INDEX_REFRESH", 0.05, "must be a number from 0.1 to 3600 s"),
        ("SEARCH_INDEX_REFRESH", float("nan"), "from 0.1"),
        ("SEARCH_INDEX_REFRESH", [], "a number"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_way_out(name: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        BY_NAME[name].checked(value)


def test_environment_before_service_before_default() -> None:
    parameters = LiveParameters(Parameters(search_timeout=2000), ADDRESS)
    assert of(parameters, "SEARCH_TIMEOUT") == (2000, Source.ENVIRONMENT, None)
    assert of(parameters, "MAX_RESULTS_PER_PAGE") == (100, Source.DEFAULT, NOT_READ)
    parameters.take(GOOD)
    assert of(parameters, "SEARCH_TIMEOUT") == (2000, Source.ENVIRONMENT, None)
    assert of(parameters, "MAX_RESULTS_PER_PAGE") == (7, Source.SERVICE, None)
    assert of(parameters, "QUERY_OPTIMIZATION") == (False, Source.SERVICE, None)
    assert of(parameters, "SEARCH_INDEX_REFRESH") == (5.0, Source.SERVICE, None)


def test_without_a_service_nothing_is_a_problem() -> None:
    parameters = LiveParameters(Parameters(cache_ttl_seconds=300))
    assert of(parameters, "CACHE_TTL_SECONDS") == (300, Source.ENVIRONMENT, None)
    assert of(parameters, "SEARCH_TIMEOUT") == (5000, Source.DEFAULT, None)
    assert parameters.service is None


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, NOT_REGISTERED),
        ("fast", "must be a whole number from 1 to 1000, and is 'fast'"),
        (0, "must be a whole number from 1 to 1000, and is 0"),
        (Unreadable("is no JSON"), "is no JSON; it must be a whole number from 1 to 1000"),
    ],
)
def test_the_last_good_value_stays(held: object, said: str) -> None:
    """And before there was one, the default."""
    reading = {name: value for name, value in GOOD.items() if name != "MAX_RESULTS_PER_PAGE"}
    if held is not None:
        reading["MAX_RESULTS_PER_PAGE"] = held
    parameters = LiveParameters(Parameters(), ADDRESS)
    parameters.take(reading)
    assert of(parameters, "MAX_RESULTS_PER_PAGE") == (100, Source.DEFAULT, said)
    parameters.take(GOOD)
    parameters.take(reading)
    assert of(parameters, "MAX_RESULTS_PER_PAGE") == (7, Source.LAST_GOOD, said)
    assert of(parameters, "SEARCH_TIMEOUT") == (1000, Source.SERVICE, None), "the others are taken"
    parameters.take(GOOD)
    assert of(parameters, "MAX_RESULTS_PER_PAGE") == (7, Source.SERVICE, None)


def test_a_service_that_is_down_changes_no_value() -> None:
    parameters = LiveParameters(Parameters(), ADDRESS)
    parameters.miss("refused")
    assert of(parameters, "SEARCH_TIMEOUT") == (5000, Source.DEFAULT, NOT_ANSWERING)
    parameters.take(GOOD)
    before = parameters.service
    assert before is not None and before.problem is None
    parameters.miss("refused")
    assert of(parameters, "SEARCH_TIMEOUT") == (1000, Source.LAST_GOOD, NOT_ANSWERING)
    assert parameters.service == replace(before, problem="refused")


def test_since_tells_when_something_last_changed() -> None:
    parameters = LiveParameters(Parameters(), ADDRESS)
    parameters.take(GOOD)
    since = parameters.states["SEARCH_TIMEOUT"].since
    parameters.take(GOOD)
    assert parameters.states["SEARCH_TIMEOUT"].since == since
    parameters.take({**GOOD, "SEARCH_TIMEOUT": 0})
    assert parameters.states["SEARCH_TIMEOUT"].since > since


def test_each_problem_is_logged_once() -> None:
    parameters = LiveParameters(Parameters(), ADDRESS)
    with capture_logs() as lines:
        for _ in range(3):
            parameters.miss("refused")
        for _ in range(3):
            parameters.take({**GOOD, "SEARCH_TIMEOUT": 0})
        for reason in ("gone", "gone again"):
            parameters.miss(reason)
    events = [(line["event"], line.get("parameter"), line.get("reason")) for line in lines]
    assert events.count(("configuration service cannot be read", None, "refused")) == 1
    assert events.count(("configuration service cannot be read", None, "gone")) == 1
    assert ("configuration service cannot be read", None, "gone again") not in events
    assert [event[1] for event in events if event[0] == "parameter not taken"] == ["SEARCH_TIMEOUT"]
    assert len([event for event in events if event[0] == "parameter changed"]) == 4
    assert len([event for event in events if event[0] == "configuration service is read"]) == 1


def test_listeners_are_told_of_changes_alone() -> None:
    parameters = LiveParameters(Parameters(), ADDRESS)
    told = []
    with parameters.listening(lambda: told.append(parameters.search_timeout)):
        parameters.take(GOOD)
        parameters.take(GOOD)
        parameters.miss("down")
        parameters.take({**GOOD, "SEARCH_TIMEOUT": 2000})
    parameters.take(GOOD)
    assert told == [1000, 2000]


def test_metrics_tell_value_source_and_problem() -> None:
    parameters = LiveParameters(Parameters(search_timeout=2000), ADDRESS)
    parameters.take({**GOOD, "MAX_RESULTS_PER_PAGE": "x"})
    assert sample("registry_parameter_value", parameter="SEARCH_TIMEOUT") == 2000
    assert sample("registry_parameter_value", parameter="QUERY_OPTIMIZATION") == 0
    for source in Source:
        labels = {"parameter": "SEARCH_TIMEOUT", "source": source.value}
        assert sample("registry_parameter_info", **labels) == (source is Source.ENVIRONMENT)
    assert sample("registry_parameter_problem", parameter="MAX_RESULTS_PER_PAGE") == 1
    assert sample("registry_parameter_problem", parameter="SEARCH_TIMEOUT") == 0
    assert sample("registry_config_service_up", service="etcd") == 1
    age_s = sample("registry_config_service_age_seconds", service="etcd")
    assert age_s is not None and 0 <= age_s < 60
    parameters.miss("down")
    assert sample("registry_config_service_up", service="etcd") == 0


@pytest.mark.parametrize(
    ("url", "base", "prefix", "shown"),
    [
        ("etcd://host", "http://host:2379", DEFAULT_PREFIX, "etcd://host:2379/instrument-registry"),
        ("etcds://host:1/a/b/", "https://host:1", "/a/b", "etcds://host:1/a/b"),
        ("etcd://u:Hidden%21@[::1]:2379", "http://[::1]:2379", DEFAULT_PREFIX, "etcd://[::1]:2379/instrument-registry"),
        ("https://config.example", "https://config.example", "", "https://config.example"),
        ("http://u:p@host:80/base/", "http://host:80/base", "", "http://host:80/base"),
    ],
)  # fmt: skip
def test_addresses(url: str, base: str, prefix: str, shown: str) -> None:
    address = parse_address(url)
    assert (address.base, address.prefix, address.shown) == (base, prefix, shown)
    if "Hidden" in url:
        assert (address.user, address.password) == ("u", "Hidden!")


def test_the_page_says_what_to_do_for_each_parameter() -> None:
    page = (ROOT / "docs/config.md").read_text()
    for definition in DEFINITIONS:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{definition.name}` |"))
        assert definition.tuning.mitigation in row.replace("`", ""), definition.name
