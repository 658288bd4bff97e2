"""What the Python client promises of itself: its models, its errors, its retries, its dependencies."""

import ast
import inspect
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import instrument_registry_client as package
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instrument_registry_client import errors, models, sync
from instrument_registry_client.client import RegistryClient
from instrument_registry_client.errors import STATUSES, ClientError, error_of
from instrument_registry_client.index import Index
from instrument_registry_client.profiles import Profiles
from instrument_registry_client.retries import RetryPolicy, parse_retry_after
from instrument_registry_client.streams import parsed
from pydantic import BaseModel

from app.domain.instrument import AssetClass, Status
from app.domain.lookup import KINDS, IdentifierDocument
from app.domain.profile import Channel, Delivery, ProfileDocument, ProfileStatus, Selection
from app.domain.query import SEARCH_FIELDS
from app.store.index_jobs import JobKind, JobState
from app.web import answers, answers_lookup, answers_operations
from app.web.problems import STATUSES as SERVICE_STATUSES

SOURCES = Path(package.__file__).parent


@pytest.mark.parametrize(
    ("model", "described"),
    [
        (models.Identifiers, answers.Identifiers),
        (models.Instrument, answers.Instrument),
        (models.SearchAnswer, answers.SearchResult),
        (models.ResolvedInstruments, answers.ResolvedInstruments),
        (models.InstrumentHistory, answers.InstrumentHistory),
        (models.Changes, answers.Changes),
        (models.Change, answers.Change),
        (models.Identifier, IdentifierDocument),
        (models.Refusal, answers_lookup.Refusal),
        (models.Delivery, Delivery),
        (models.Selection, Selection),
        (models.ProfileDocument, ProfileDocument),
        (models.ProfilePatch, ProfileDocument),
        (models.ProfileSummary, answers.ProfileSummary),
        (models.Profile, answers.Profile),
        (models.ProfileList, answers.ProfileList),
        (models.MemberEditReport, answers.MemberEditReport),
        (models.MemberEditItem, answers.MemberEditItem),
        (models.ProfileEvents, answers.ProfileEvents),
        (models.IndexJob, answers_operations.IndexJob),
        (models.IndexGeneration, answers_operations.IndexGeneration),
        (models.IndexState, answers_operations.IndexState),
    ],
)
def test_models_have_the_fields_that_the_service_describes(model: Any, described: type[BaseModel]) -> None:
    names = {field.alias or name for name, field in described.model_fields.items()}
    assert set(model.__annotations__) == names


def test_a_lookup_is_either_found_or_refused() -> None:
    found = set(answers_lookup.FoundInstruments.model_fields)
    assert models.LookupResult.__optional_keys__ == found | set(answers_lookup.RefusedIdentifier.model_fields)


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (models.AssetClass, AssetClass),
        (models.Status, Status),
        (models.IdentifierType, KINDS),
        (models.Channel, Channel),
        (models.ProfileStatus, ProfileStatus),
        (models.JobKind, JobKind),
        (models.JobState, JobState),
    ],
)
def test_choices_are_those_of_the_service(names: Any, known: Any) -> None:
    assert set(get_args(names)) == set(known)


def test_a_search_takes_what_the_service_takes() -> None:
    assert {"q", *models.SearchOptions.__annotations__} == set(SEARCH_FIELDS)


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [(sync.RegistryClient, RegistryClient), (sync.Profiles, Profiles), (sync.Index, Index)],
)
def test_the_facade_has_every_method_with_the_same_parameters(blocking: Any, asynchronous: Any) -> None:
    def parameters(kind: Any) -> dict[str, list[str]]:
        return {
            name: list(map(str, inspect.signature(method).parameters.values()))
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert parameters(blocking) == parameters(asynchronous)


def test_it_depends_on_aiohttp_alone() -> None:
    allowed = {*sys.stdlib_module_names, "aiohttp", package.__name__}
    for file in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert {name.name.partition(".")[0] for name in node.names} <= allowed, file
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] in allowed, file


def test_the_error_tree_is_drawn_in_full_and_exported() -> None:
    kinds: list[type[ClientError]] = [ClientError, *ClientError.__subclasses__()]
    for kind in kinds:
        assert f" {kind.__name__}" in (errors.__doc__ or "")
        assert getattr(package, kind.__name__) is kind and kind.__name__ in package.__all__


def test_every_refusal_of_the_service_has_an_error_of_its_own() -> None:
    refusals = {status.value for status in SERVICE_STATUSES.values() if status < 500}
    assert refusals - {413} == set(STATUSES)  # 413 is answered to OpenFIGI's clients alone


def test_what_is_no_problem_is_told_by_its_status() -> None:
    error = error_of(502, b"<html>", {}, None)
    assert isinstance(error, package.ServiceUnavailable) and "502" in str(error) and error.fields == ()
    assert isinstance(error_of(302, b"", {}, None), package.RequestRefused)


@given(st.integers(1, 2000), st.none() | st.floats(0, 30))
def test_waits_are_jittered_in_full_above_what_the_service_asks(
    attempt: int, retry_after_s: float | None
) -> None:
    policy = RetryPolicy(first_wait_s=0.1, longest_wait_s=5)
    asked = retry_after_s or 0
    assert asked <= policy.wait_s(attempt, retry_after_s) <= asked + min(5, 0.1 * 2 ** min(attempt - 1, 9))
    waits = {policy.wait_s(3, 1.0) for _ in range(20)}
    assert len(waits) == 20


def test_a_policy_ends() -> None:
    policy = RetryPolicy(attempts=2, longest_retry_after_s=30)
    assert policy.allows(1, 30) and not policy.allows(1, 31) and not policy.allows(2, None)
    with pytest.raises(ValueError, match="attempts"):
        RetryPolicy(attempts=0)


def test_retry_after_is_seconds_or_a_date() -> None:
    assert parse_retry_after("7") == 7
    assert parse_retry_after(None) is parse_retry_after("soon") is parse_retry_after("-1") is None
    ahead = datetime.now(UTC) + timedelta(seconds=100)
    found = parse_retry_after(format_datetime(ahead, usegmt=True))
    assert found is not None and 60 < found <= 100
    assert parse_retry_after("Fri, 01 Jan 2021 00:00:00 GMT") == 0


STREAM = (
    b':\n\nid: 4\nevent: ready\ndata: {"number":4}\n\n:\n\n'
    b'id:5\r\nevent:updated\r\ndata:{"name":"\xc3\xa9"}\r\n\r\nid: 6\nevent: deleted\nda'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
async def test_a_stream_is_read_however_it_is_cut(places: list[int]) -> None:
    bounds = [0, *sorted(places), len(STREAM)]

    async def chunks() -> AsyncIterator[bytes]:
        for start, end in pairwise(bounds):
            yield STREAM[start:end]

    found = [(event.number, event.kind, event.data) async for event in parsed(chunks())]
    assert found == [(4, "ready", {"number": 4}), (5, "updated", {"name": "é"})]


async def test_what_is_no_event_of_ours_is_an_error() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"data: hello\n\n"

    with pytest.raises(package.UnexpectedAnswer):
        await anext(parsed(chunks()))


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://h", "http://", "http://h/?a=1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no URL like"):
        RegistryClient(url)
    with pytest.raises(ValueError, match="key"):
        RegistryClient("http://h", "a\nb")
