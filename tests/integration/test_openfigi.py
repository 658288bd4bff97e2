"""OpenFIGI's API as this service answers it: its own examples, and a client that knows nothing of us."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from openfigi_client import (
    Filter,
    IdType,
    MappingJob,
    MappingJobResultError,
    MappingJobResultFigiList,
    MappingJobResultFigiNotFound,
    OpenFigiAsync,
)
from openfigi_client.exceptions import FilterQueryError, HTTPError
from prometheus_client import REGISTRY

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ
from app.domain.openfigi import VALUES
from app.parameters.definitions import Parameters
from app.store.api_keys import add_key
from tests.integration.conftest import Client, Import, WaitLevel, running_api
from tests.integration.test_api import equity
from tests.integration.test_lookup import NOWHERE, is_answered_by

MAPPING = "/v3/mapping"
KEY = {"X-OPENFIGI-APIKEY": "figi"}
ROWS = [
    equity(
        "IBM",
        "INTL BUSINESS MACHINES CORP",
        "XNYS",
        currency="USD",
        country="US",
        isin="US4592001014",
        cusip="459200101",
        sedol="2005973",
        figi="BBG000BLNQ16",
        composite_figi="BBG000BLNNH6",
        share_class_figi="BBG001S5S399",
    ),
    equity(
        "IBM",
        "INTL BUSINESS MACHINES CORP",
        "ARCX",
        currency="USD",
        country="US",
        isin="US4592001014",
        composite_figi="BBG000BLNNH6",
        share_class_figi="BBG001S5S399",
    ),
    equity("IBM.DE", "INTL BUSINESS MACHINES CORP", "XETR", currency="EUR", isin="US4592001014"),
    equity("IBM.F", "INTL BUSINESS MACHINES CORP", "XFRA", currency="EUR", isin="US4592001014"),
    equity("MSFT", "MICROSOFT CORP", currency="USD"),
    equity("MSFT.L", "NOT OF LONDON", "XNYS", currency="USD"),
    equity("GONE", "GONE CORP", "XNYS", isin="US6800331075", status="delisted", delisted_on="2001-01-01"),
    {"symbol": "EXS1.DE", "name": "iShares Core DAX", "asset_class": "etf", "mic": "XETR", "currency": "EUR"},
    {"symbol": "BTC-USD", "name": "Bitcoin", "asset_class": "crypto", "currency": "USD"},
]
KEYS = {
    *("figi", "securityType", "marketSector", "ticker", "name", "exchCode", "shareClassFIGI"),
    *("compositeFIGI", "securityType2", "securityDescription"),
}


@pytest.fixture
async def shop(
    database_url: str, redis_url: str, indexer: WaitLevel, import_instruments: Import
) -> AsyncIterator[Client]:
    """The API over ROWS, for anonymous callers and for those with a key."""
    assert (await import_instruments(ROWS)).rejected == 0
    await indexer()
    await add_key(
        database_url,
        owner="figi",
        scopes=(INSTRUMENTS_READ,),
        secret_sha256=key_hash("figi"),
    )
    async with running_api(database_url, redis_url) as client:
        await is_answered_by(client, "redis")
        yield client


async def mapped(client: Client, *jobs: dict[str, Any]) -> list[Any]:
    async with client.post(MAPPING, json=jobs, headers=KEY) as response:
        assert response.status == 200, await response.text()
        results = await response.json()
    assert len(results) == len(jobs)
    for result in results:
        assert all(record.keys() == KEYS for record in result.get("data", []))
    return list(results)


async def listings(client: Client, id_type: str, id_value: object, **more: object) -> list[tuple[str, str]]:
    """Exchange code and ticker of each record that one job is answered by."""
    (result,) = await mapped(client, {"idType": id_type, "idValue": id_value, **more})
    if "data" not in result:
        assert result == {"warning": "No identifier found."}, result
    return [(record["exchCode"], record["ticker"]) for record in result.get("data", [])]


async def refusal(response: ClientResponse, status: int) -> str:
    """The text of a refusal, which is not a problem object."""
    text = await response.text()
    assert (response.status, response.content_type) == (status, "text/plain"), text
    assert "{" not in text and response.headers["X-Request-ID"]
    return text


async def test_the_example_of_the_documentation_is_answered_as_there(shop: Client) -> None:
    (result,) = await mapped(shop, {"idType": "ID_BB_GLOBAL", "idValue": "BBG000BLNNH6"})
    ibm = {
        "figi": "BBG000BLNNH6",
        "securityType": "Common Stock",
        "marketSector": "Equity",
        "ticker": "IBM",
        "name": "INTL BUSINESS MACHINES CORP",
        "exchCode": "US",
        "shareClassFIGI": "BBG001S5S399",
        "compositeFIGI": "BBG000BLNNH6",
        "securityType2": "Common Stock",
        "securityDescription": "IBM",
    }
    assert result == {"data": [ibm]}
    (result,) = await mapped(shop, {"idType": "TICKER", "idValue": "IBM", "exchCode": "US"})
    assert result == {"data": [ibm]}


async def test_the_jobs_of_its_own_examples(shop: Client) -> None:
    """With the content type that they send, and a key header that they leave empty."""
    body = (
        b'[{"idType":"ID_ISIN","idValue":"US4592001014"},'
        b'{"idType":"ID_WERTPAPIER","idValue":"851399","exchCode":"US"},'
        b'{"idType":"ID_BB_UNIQUE","idValue":"EQ0010080100001000","currency":"USD"},'
        b'{"idType":"ID_SEDOL","idValue":"2005973","micCode":"EDGX","currency":"USD"}]'
    )
    headers = {"Content-Type": "text/json", "X-OPENFIGI-APIKEY": ""}
    async with shop.post(MAPPING, data=body, headers=headers) as response:
        assert response.status == 200 and response.content_type == "application/json"
        assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= set(response.headers)
        isin, wkn, unique, sedol = await response.json()
    assert [record["exchCode"] for record in isin["data"]] == ["UN", "UP", "GY", "GF"]
    assert isin["data"][0]["figi"] == "BBG000BLNQ16" and isin["data"][2]["figi"] is None
    assert "ID_ISIN" in wkn["error"] and "ID_ISIN" in unique["error"]
    assert sedol == {"warning": "No identifier found."}


async def test_types_of_identifiers_and_what_narrows_them(shop: Client) -> None:
    everywhere = [("UN", "IBM"), ("UP", "IBM"), ("GY", "IBM"), ("GF", "IBM")]
    cases: list[tuple[str, object, dict[str, object], list[tuple[str, str]]]] = [
        ("ID_CUSIP", "459200101", {}, [("UN", "IBM")]),
        ("ID_CUSIP", 459200101, {}, [("UN", "IBM")]),
        ("ID_CUSIP_8_CHR", "45920010", {}, [("UN", "IBM")]),
        ("ID_CUSIP_8_CHR", "4592001", {}, []),
        ("ID_SEDOL", "2005973", {"micCode": "XNYS", "currency": "USD"}, [("UN", "IBM")]),
        ("ID_BB_GLOBAL", "BBG000BLNQ16", {}, [("UN", "IBM")]),
        ("COMPOSITE_ID_BB_GLOBAL", "BBG000BLNNH6", {}, everywhere[:2]),
        ("ID_BB_GLOBAL_SHARE_CLASS_LEVEL", "BBG001S5S399", {}, everywhere[:2]),
        ("TICKER", "ibm", {}, everywhere),
        ("TICKER", "IBM", {"exchCode": "gy"}, [("GY", "IBM")]),
        ("TICKER", "IBM", {"exchCode": "GR"}, [("GR", "IBM")]),
        ("TICKER", "IBM", {"micCode": "XFRA"}, [("GF", "IBM")]),
        ("TICKER", "IBM.F", {"micCode": "XETR"}, []),
        ("TICKER", "IBM", {"currency": "EUR"}, everywhere[2:]),
        ("TICKER", "IBM", {"marketSecDes": "Equity", "securityType": "Common Stock"}, everywhere),
        ("TICKER", "IBM", {"marketSecDes": "Pfd"}, []),
        ("TICKER", "IBM", {"securityType2": "Mutual Fund"}, []),
        ("TICKER", "EXS1", {"securityType2": "Mutual Fund", "exchCode": None}, [("GY", "EXS1")]),
        ("TICKER", "MSFT", {}, [("UW", "MSFT")]),
        ("ID_EXCH_SYMBOL", "MSFT", {"securityType2": "Common Stock"}, [("UW", "MSFT")]),
        ("ID_ISIN", "US6800331075", {}, []),
        ("ID_ISIN", "US6800331075", {"includeUnlistedEquities": True}, [("UN", "GONE")]),
        ("ID_ISIN", "US0378331006", {}, []),
        ("ID_ISIN", "*", {}, []),
    ]
    for id_type, id_value, more, expected in cases:
        assert await listings(shop, id_type, id_value, **more) == expected, (id_type, id_value, more)


async def test_what_is_wrong_with_a_job_is_its_result(shop: Client) -> None:
    good = {"idType": "TICKER", "idValue": "IBM", "exchCode": "US"}
    results = await mapped(
        shop,
        good,
        {"idType": "INVALID", "idValue": "IBM"},
        {"idValue": "IBM"},
        {"idType": "TICKER"},
        {"idType": "TICKER", "idValue": ""},
        {"idType": "TICKER", "idValue": True},
        {"idType": "TICKER", "idValue": "x" * 10_000},
        {**good, "micCode": "XNYS"},
        {**good, "exchCode": "QQ"},
        {"idType": "TICKER", "idValue": "IBM", "micCode": "NYSE1"},
        {"idType": "TICKER", "idValue": "IBM", "micCode": "!!!!"},
        {"idType": "TICKER", "idValue": "IBM", "micCode": "XN\u0000S"},
        {"idType": "TICKER", "idValue": "I\u0000BM"},
        {"idType": "ID_ISIN", "idValue": "US4592001014\u0085"},
        {**good, "currency": "ABC"},
        {**good, "securityType": "House"},
        {**good, "expiration": ["2018-10-01", "2018-12-01"]},
        {**good, "colour": "red"},
        "IBM",  # type: ignore[arg-type]
        good,
    )
    assert results[0] == results[-1] and results[0]["data"]
    expected = (
        *("idType", "idType", "idValue", "idValue", "idValue", "idValue", "micCode", "exchCode", "micCode"),
        *("micCode", "micCode", "idValue", "idValue"),
        *("currency", "securityType", "expiration", "colour", "body"),
    )
    for field, result in zip(expected, results[1:-1], strict=True):
        assert list(result) == ["error"] and result["error"].startswith(f"{field}: "), (field, result)


async def test_jobs_are_counted_and_where_all_are_refused_no_server_is_named(shop: Client) -> None:
    async def counts() -> list[float]:
        return [
            REGISTRY.get_sample_value("registry_lookups_total", {"result": result}) or 0.0
            for result in ("found", "not_found", "refused")
        ]

    before = await counts()
    await mapped(
        shop,
        {"idType": "TICKER", "idValue": "IBM"},
        {"idType": "TICKER", "idValue": "NONE"},
        {"idType": "INVALID", "idValue": "IBM"},
    )
    async with shop.post(MAPPING, json=[{"idType": "INVALID", "idValue": "IBM"}]) as response:
        assert response.status == 200 and "X-Search-Source" not in response.headers
    assert [now - then for now, then in zip(await counts(), before, strict=True)] == [1, 1, 2]


async def test_refusals_are_texts_with_its_statuses(shop: Client) -> None:
    job = {"idType": "TICKER", "idValue": "IBM"}
    async with shop.post(MAPPING, json=[job] * 11) as response:
        assert "11 jobs are too many; 10 are allowed, and 100 with an API key" in await refusal(response, 413)
    async with shop.post(MAPPING, json=[job] * 10) as response:
        assert response.status == 200
    assert len(await mapped(shop, *[job] * 100)) == 100
    async with shop.post(MAPPING, json=[job] * 101, headers=KEY) as response:
        await refusal(response, 413)
    async with shop.post(MAPPING, json=job) as response:
        assert "must be a list" in await refusal(response, 400)
    async with shop.post(MAPPING, data=b"x", headers={"Content-Type": "application/json"}) as response:
        await refusal(response, 400)
    async with shop.post(MAPPING, json=[job], headers={"X-OPENFIGI-APIKEY": "INVALID"}) as response:
        assert "not known" in await refusal(response, 401)
        assert response.headers["WWW-Authenticate"]
    async with shop.post(MAPPING, data=b"a=1", headers={"Content-Type": "text/plain"}) as response:
        await refusal(response, 415)
    async with shop.post("/v3/search", json={}) as response:
        assert await refusal(response, 400) == "query: is required"
    async with shop.get("/v3/mapping/values/colour") as response:
        assert "idType" in await refusal(response, 400)
    async with shop.post(MAPPING, json=[]) as response:
        assert (response.status, await response.json()) == (200, [])


async def test_its_key_header_admits_everywhere_and_a_used_up_limit_is_429(
    shop: Client, database_url: str, redis_url: str
) -> None:
    async with running_api(database_url, redis_url, anonymous_scopes=()) as client:
        for path, status in (("/v1/instruments/ins_1", 200), ("/v3/mapping/values/idType", 200)):
            async with client.get(path, headers=KEY) as response:
                assert response.status == status
        async with client.get("/v3/mapping/values/idType") as response:
            assert "X-API-Key" in await refusal(response, 401)
        async with client.get("/v3/mapping/values/idType", headers={**KEY, "X-API-Key": "other"}) as response:
            await refusal(response, 401)
    async with running_api(database_url, redis_url, anonymous_requests_per_minute=1) as client:
        statuses = []
        for _ in range(4):  # the minute may end in between
            async with client.get("/v3/mapping/values/idType") as response:
                statuses.append(response.status)
                if response.status == 429:
                    await refusal(response, 429)
                    assert response.headers["RateLimit-Remaining"] == "0" and response.headers["Retry-After"]
        assert 429 in statuses


async def test_search_and_filter_lead_through_their_pages(
    database_url: str, redis_url: str, shop: Client
) -> None:
    async with running_api(
        database_url, redis_url, parameters=Parameters(cache_ttl_seconds=0, max_results_per_page=2)
    ) as client:
        await is_answered_by(client, "redis")
        seen, start = [], None
        for _ in range(2):
            body = {"query": "ibm", "exchCode": None, **({"start": start} if start else {})}
            async with client.post("/v3/filter", json=body) as response:
                page = await response.json()
            seen += [record["exchCode"] for record in page["data"]]
            assert page["total"] == 4 and all(record.keys() == KEYS for record in page["data"])
            start = page.get("next")
        assert seen == ["UN", "UP", "GY", "GF"] and "next" not in page
        async with client.post("/v3/search", json={"query": "ibm", "exchCode": "GR"}) as response:
            page = await response.json()
            assert response.headers["X-Search-Source"] == "redis"
        assert [record["exchCode"] for record in page["data"]] == ["GY", "GF"] and "total" not in page
        async with client.post("/v3/filter", json={"query": "ibm", "start": start or "x"}) as response:
            assert (response.status, list(await response.json())) == (200, ["error"])
        async with client.get("/v1/instruments/search?q=microsfot") as response:
            assert (await response.json())["total"] == 1, "a guess"
        async with client.post("/v3/filter", json={"query": "microsfot"}) as response:
            assert await response.json() == {"data": [], "total": 0}
        async with client.post("/v3/search", json={"query": "microsfot"}) as response:
            assert await response.json() == {"data": []}
        async with client.post("/v3/filter", json={"marketSecDes": "Govt"}) as response:
            assert await response.json() == {"data": [], "total": 0}
        async with client.post("/v3/filter", json={"includeUnlistedEquities": True}) as response:
            page = await response.json()  # nothing narrows it
            assert page["total"] > 4 and len(page["data"]) == 2
        async with client.post("/v3/filter", json={"exchCode": "US", "micCode": "XNYS"}) as response:
            assert (await response.json())["error"].startswith("micCode: ")
        async with client.post("/v3/search", json={"query": "x" * 201}) as response:
            assert (await response.json())["error"].startswith("query: ")
        async with client.post(
            "/v3/filter", json={"query": "gone", "includeUnlistedEquities": True}
        ) as response:
            assert (await response.json())["total"] == 1


async def test_values_are_those_that_are_understood(shop: Client) -> None:
    for key, values in VALUES.items():
        async with shop.get(f"/v3/mapping/values/{key}") as response:
            assert (await response.json()) == {"values": list(values)}
    assert {"US", "UN", "UW", "GY", "GR", "LN", "FP", "SW", "JT"} <= set(VALUES["exchCode"])
    jobs = [{"idType": id_type, "idValue": "IBM"} for id_type in VALUES["idType"]]
    for field in ("exchCode", "micCode", "currency", "marketSecDes", "securityType", "securityType2"):
        jobs += [{"idType": "TICKER", "idValue": "IBM", field: value} for value in VALUES[field]]
    for start in range(0, len(jobs), 100):
        assert not [result for result in await mapped(shop, *jobs[start : start + 100]) if "error" in result]


async def test_without_redis_it_is_answered_from_postgres(shop: Client, database_url: str) -> None:
    async with running_api(database_url, NOWHERE) as client:
        job = {"idType": "TICKER", "idValue": "IBM", "exchCode": "GY"}
        async with client.post(MAPPING, json=[job]) as response:
            assert response.headers["X-Search-Source"] == "postgres"
            (result,) = await response.json()
        assert [record["exchCode"] for record in result["data"]] == ["GY"]
        refused, unknown = await mapped(
            client, {**job, "idValue": "I\u0000BM"}, {**job, "idValue": "\u202eMBI"}
        )
        assert refused["error"].startswith("idValue: ") and "warning" in unknown
        async with client.post("/v3/filter", json={"query": "IBM"}) as response:
            page = await response.json()
        assert len(page["data"]) == 4 and "next" not in page


async def test_a_client_of_openfigi_needs_another_url_alone(
    shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openfigi-client as it is published."""
    monkeypatch.setattr(OpenFigiAsync, "BASE_URL", str(shop._base_url))
    client = OpenFigiAsync(api_key="figi")
    jobs = [
        MappingJob(id_type=IdType.TICKER, id_value="IBM", exch_code="US"),
        MappingJob(id_type=IdType.ID_ISIN, id_value="US4592001014", mic_code="XETR"),
        MappingJob(id_type=IdType.ID_ISIN, id_value="US0000000000"),
        MappingJob(id_type=IdType.ID_WERTPAPIER, id_value="851399"),
    ]
    composite, listing, unknown, unsupported = await client.map(jobs)
    assert isinstance(composite, MappingJobResultFigiList) and composite.data[0].figi == "BBG000BLNNH6"
    assert isinstance(listing, MappingJobResultFigiList)
    assert (listing.data[0].figi, listing.data[0].exch_code) == (None, "GY")
    assert isinstance(unknown, MappingJobResultFigiNotFound)
    assert isinstance(unsupported, MappingJobResultError)

    assert "TICKER" in await client.get_id_types() and "GY" in await client.get_exch_codes()
    assert "XNYS" in await client.get_mic_codes() and "USD" in await client.get_currencies()
    assert "Equity" in await client.get_market_sec_des() and await client.get_state_codes() == []
    assert "Common Stock" in set(await client.get_security_types()) & set(await client.get_security_types_2())

    assert await client.get_total_number_of_matches(Filter(query="ibm")) == 4
    found = await client.filter(Filter(query="ibm", exch_code="UN"))
    assert [(record.figi, record.name) for record in found] == [
        ("BBG000BLNQ16", "INTL BUSINESS MACHINES CORP")
    ]
    with pytest.raises(FilterQueryError, match="exchCode"):
        await client.filter(Filter(query="ibm", exch_code="QQ"))
    with pytest.raises(HTTPError, match="not known"):
        await OpenFigiAsync(api_key="wrong").map(jobs)
    anonymous = OpenFigiAsync()
    assert len(await anonymous.map(jobs[:1] * anonymous.max_mapping_jobs)) == 10


async def test_the_client_follows_pages(
    database_url: str, redis_url: str, shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_api(
        database_url, redis_url, parameters=Parameters(cache_ttl_seconds=0, max_results_per_page=3)
    ) as api:
        await is_answered_by(api, "redis")
        monkeypatch.setattr(OpenFigiAsync, "BASE_URL", str(api._base_url))
        monkeypatch.setattr(OpenFigiAsync, "MAX_SEARCH_REQUESTS_KEY", 1_000)  # it waits in between
        found = await OpenFigiAsync(api_key="figi").filter(Filter(query="ibm"))
    assert [record.exch_code for record in found] == ["UN", "UP", "GY", "GF"]
