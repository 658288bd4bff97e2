"""`instrument-registry config`, and the indexer's commands, with real configuration services."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import orjson
import pytest

from app.embedded.children import free_port
from app.parameters.definitions import NAMES
from app.release.source import describe_commit
from tests.integration.config_services import Etcd, WebService, put_all
from tests.integration.test_cli import Finished, Run, assert_refused, run, run_command

__all__ = ["run"]  # a fixture

ROOT: Final = Path(__file__).parents[2]
Config = Callable[..., Awaitable[Finished]]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    async def run_config(*arguments: str, **variables: str) -> Finished:
        return await run_command("config", *arguments, folder=tmp_path, **variables)

    return run_config


async def test_registered_with_etcd_and_verified(config: Config, etcd: Etcd, tmp_path: Path) -> None:
    where = {"REGISTRY_CONFIG_URL": f"{etcd.url}/of/ours"}
    assert (await config("register", **where)).output.count("registered as") == len(NAMES)
    assert (await config("verify", **where)).status == 0
    await etcd.remove("SEARCH_TIMEOUT")  # of another prefix
    assert (await config("register", **where)).output.count("was registered and stays") == len(NAMES)
    registered = orjson.loads((await config("register", "--json", **where)).output)
    assert [one["name"] for one in registered] == list(NAMES)
    assert registered[0] == {"name": "SEARCH_TIMEOUT", "value": 5000, "new": False, "problem": None}
    told = await config("verify", "--json", **where)
    written = (tmp_path / "search_config_integration_verification.json").read_bytes()
    assert told.status == 0 and orjson.loads(told.output) == orjson.loads(written)


async def test_registered_twice_and_verified(config: Config, web_service: WebService, tmp_path: Path) -> None:
    backend = web_service
    where = {"REGISTRY_CONFIG_URL": backend.url}
    file = tmp_path / "search_config_integration_verification.json"
    await backend.put("MAX_RESULTS_PER_PAGE", "50")
    await backend.put("SEARCH_TIMEOUT", "0")

    gaps = await config("verify", **where, CACHE_TTL_SECONDS="9")
    assert gaps.status == 1 and "docs/config.md" in gaps.messages
    written = orjson.loads(file.read_bytes())
    assert written["verdict"] == "incomplete" and written["service"]["up"]
    by_name = {one["name"]: one for one in written["parameters"]}
    assert list(by_name) == list(NAMES)
    assert {name: (one["registered"], one["value"], one["source"]) for name, one in by_name.items()} == {
        "SEARCH_TIMEOUT": (True, 5000, "default"),
        "MAX_RESULTS_PER_PAGE": (True, 50, "service"),
        "QUERY_OPTIMIZATION": (False, True, "default"),
        "CACHE_TTL_SECONDS": (False, 9, "environment"),
        "SEARCH_INDEX_REFRESH": (False, 30.0, "default"),
    }
    assert [one["mitigation_needed"] for one in by_name.values()] == [True, False, True, True, True]
    assert all(one["mitigation"] for one in by_name.values())

    await backend.remove("SEARCH_TIMEOUT")
    first = await config("register", **where)
    assert first.status == 0, first
    assert first.output.splitlines() == [
        "SEARCH_TIMEOUT: registered as 5000",
        "MAX_RESULTS_PER_PAGE: was registered and stays 50",
        "QUERY_OPTIMIZATION: registered as true",
        "CACHE_TTL_SECONDS: registered as 300",
        "SEARCH_INDEX_REFRESH: registered as 30",
    ]
    await backend.put("SEARCH_TIMEOUT", "900000")
    again = await config("register", **where)
    assert again.status == 0 and "registered as" not in again.output
    assert (
        "SEARCH_TIMEOUT: was registered and stays, but must be a whole number from 1 to 60000" in again.output
    )

    await backend.put("SEARCH_TIMEOUT", "1000")
    assert written["commit"] is None, "it was not run in a clone"
    complete = await config("verify", "--output", "other.json", "--source", str(ROOT), **where)
    assert complete.status == 0 and "Verdict: complete." in complete.output, complete
    written = orjson.loads((tmp_path / "other.json").read_bytes())
    assert (written["verdict"], written["commit"]) == ("complete", describe_commit(ROOT))

    shown = await config("show", "--json", **where, QUERY_OPTIMIZATION="false")
    document = orjson.loads(shown.output)
    found = {one["name"]: (one["value"], one["source"]) for one in document["parameters"]}
    assert found["SEARCH_TIMEOUT"] == (1000, "service")
    assert found["QUERY_OPTIMIZATION"] == (False, "environment")


async def test_without_a_service_the_commands_say_so(config: Config, tmp_path: Path) -> None:
    shown = await config("show")
    assert shown.status == 0 and "REGISTRY_CONFIG_URL" in shown.messages and "60000" in shown.output
    assert_refused(await config("register"), "REGISTRY_CONFIG_URL", "etcd://host:2379")
    verified = await config("verify")
    assert verified.status == 1 and "Verdict: not configured." in verified.output
    written = orjson.loads((tmp_path / "search_config_integration_verification.json").read_bytes())
    assert {one["registered"] for one in written["parameters"]} == {None}
    assert_refused(await config("verify", "--output", "no/such/folder.json"), "--output")

    nobody = {"REGISTRY_CONFIG_URL": f"http://u:Hidden@127.0.0.1:{free_port()}/base"}
    assert_refused(await config("register", **nobody), "does not answer")
    verified = await config("verify", **nobody)
    assert verified.status == 1 and "Verdict: unreachable." in verified.output
    assert "Hidden" not in verified.messages + verified.output
    refused = await config("show", REGISTRY_CONFIG_URL="etcd://u:Hidden@")
    assert_refused(refused, "REGISTRY_CONFIG_URL")
    assert "Hidden" not in refused.messages + refused.output


async def test_the_indexers_commands_take_the_services_parameters(run: Run, web_service: WebService) -> None:
    await put_all(web_service, SEARCH_INDEX_REFRESH="0.1")
    await web_service.stop()
    where = {"REGISTRY_CONFIG_URL": web_service.url}
    assert (await run("indexer", "refresh", **where)).status == 0, "also while it is down"
    await web_service.start()
    verified = await run("indexer", "verify", **where)
    assert verified.status == 0 and "No drift." in verified.output
    assert web_service.answered
