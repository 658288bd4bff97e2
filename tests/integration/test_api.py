"""The API over real servers: what it answers, in which order, and how it refuses."""

import io
import os
from typing import Any

import pytest
from aiohttp import ClientResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.auth.api_keys import key_hash, new_key
from app.domain.access import INDEX_ADMIN, INSTRUMENTS_READ
from app.domain.cursor import MAX_SKIP, Cursor, encode_cursor
from app.domain.instrument import INSTRUMENT_FIELDS
from app.domain.query import Search
from app.domain.text import words
from app.parameters.definitions import Parameters
from app.search.generation import OWN, index_name
from app.store.api_keys import add_key, revoke_key
from app.store.postgres import Connection
from tests.conftest import POSTGRES_VARIABLE, execute_on
from tests.integration.conftest import Client, Import, WaitLevel, eventually, get_json, running_api

SEARCH = "/v1/instruments/search"
SUGGEST = "/v1/instruments/suggest"


def equity(symbol: str, name: str, mic: str = "XNAS", **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "name": name, "asset_class": "equity", "mic": mic, **more}


ROWS = [
    equity(
        "AAPL",
        "Apple Inc.",
        country="US",
        currency="USD",
        isin="US0378331005",
        attributes={"size_class": "mega"},
    ),
    equity(
        "APC.DE",
        "Apple Inc.",
        "XETR",
        country="US",
        currency="EUR",
        isin="US0378331005",
        attributes={"size_class": "mega"},
    ),
    equity("APLE", "Apple Hospitality REIT", "XNYS", country="US", currency="USD"),
    equity("PINE", "Pineapple Growers", country="US"),
    equity("BIGA", "Big Apple Consulting", country="US"),
    equity("APPLEX.V", "Mines of Elsewhere", "XTSX", country="CA"),
    equity(
        "SIE.DE",
        "Siemens Aktiengesellschaft",
        "XETR",
        country="DE",
        isin="DE0007236101",
        attributes={"size_class": "large"},
    ),
    equity("SIE.BE", "SIEMENS AG", "XBER", country="DE", isin="DE0007236101"),
    equity(
        "SIEN.MX",
        "Siemens Aktiengesellschaft",
        "XMEX",
        country="DE",
        isin="DE0007236101",
        attributes={"size_class": "large"},
    ),
    equity("DBK.DE", "Deutsche Bank AG", "XETR", country="DE", aliases=["DEUBA"]),
    equity("OR.PA", "L'Oréal S.A.", "XPAR", country="FR"),
    equity("OLD", "Apple Pencils of Old", status="delisted", delisted_on="2001-01-01"),
    {"symbol": "A|B -C", "name": "Odd | Symbol {Ltd} @status:{x}", "asset_class": "fund", "exchange": "ODD"},
    {"symbol": "^GSPC", "name": "S&P 500", "asset_class": "index", "exchange": "SNP", "currency": "USD"},
]


@pytest.fixture
async def shop(api: Client, indexer: WaitLevel, import_instruments: Import) -> Client:
    """The API over an index that holds ROWS."""
    await import_instruments(ROWS)
    await indexer()

    async def serving() -> bool:
        async with api.get(SEARCH) as response:
            return response.status == 200 and (await response.json())["total"] == len(ROWS) - 1

    await eventually(serving)
    return api


async def symbols(client: Client, **parameters: Any) -> list[str]:
    return [hit["symbol"] for hit in (await get_json(client, SEARCH, **parameters))["hits"]]


async def problem(response: ClientResponse, status: int) -> Any:
    """The problem of an answer that must be one, with the API's members."""
    content = await response.json(content_type="application/problem+json")
    assert (response.status, content["status"]) == (status, status), content
    assert content["instance"] == response.headers["X-Request-ID"]
    assert content["type"] and content["title"] and content["detail"]
    return content


FOUND_EITHER_WAY = [
    ("AAPL", ["AAPL"]),
    ("aapl", ["AAPL"]),
    ("us0378331005", ["AAPL", "APC.DE"]),
    ("US-03 7833 1005", ["AAPL", "APC.DE"]),
    ("siemens", ["SIE.DE", "SIEN.MX", "SIE.BE"]),
    ("deutsche b", ["DBK.DE"]),
    ("bank deutsche", ["DBK.DE"]),
    ("deuba", ["DBK.DE"]),
    ("L’ORÉAL", ["OR.PA"]),
    ("^GSPC", ["^GSPC"]),
    ("s&p 500", ["^GSPC"]),
    ("a|b -c", ["A|B -C"]),
    ("nothing like it", []),
]
"""Texts and the symbols that they find, in the index and without it."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *FOUND_EITHER_WAY,
        ("apple", ["AAPL", "APC.DE", "APLE", "APPLEX.V", "BIGA"]),
        ("-apple", ["AAPL", "APC.DE", "APLE", "BIGA"]),
        ("sie", ["SIE.DE", "SIE.BE", "SIEN.MX"]),
        ("sie gy", ["SIE.DE"]),
        ("xber:sie", ["SIE.BE"]),
        ("siemens aktiengesellschaft", ["SIE.DE", "SIEN.MX", "SIE.BE"]),
        ("loreal", ["OR.PA"]),
        ("l oreal", ["OR.PA"]),
        ("oreal", ["OR.PA"]),
        ("s&p500", ["^GSPC"]),
        ("consulting ltd", ["BIGA"]),
    ],
)
async def test_the_right_instrument_comes_first(shop: Client, text: str, expected: list[str]) -> None:
    assert await symbols(shop, q=text) == expected


async def test_what_was_nearly_typed_is_found_and_told(shop: Client) -> None:
    for typed, meant, expected in (
        ("deutsche bnak", "deutsche bank", "DBK.DE"),
        ("apples", "apple", "AAPL"),
        ("siemnes", "siemens", "SIE.DE"),
        ("pineaple growrs", "pineapple growers", "PINE"),
    ):
        found = await get_json(shop, SEARCH, q=typed)
        assert (found["did_you_mean"], found["hits"][0]["symbol"]) == (meant, expected)
        assert found["total"] == len(found["hits"]) and found["next_cursor"] is None
    wrong = await get_json(shop, SEARCH, q="us0378331006")
    assert wrong["hits"] == [], "identifiers are not guessed"
    assert wrong["warning"].startswith(
        "US0378331006 looks like an identifier (ISIN), but has a wrong check digit"
    )
    assert "warning" not in await get_json(shop, SEARCH, q="us0378331005")
    assert await symbols(shop, q="APLE") == ["APLE"], "a symbol is what it is"
    assert await symbols(shop, q="simens", mic="XBER") == ["SIE.BE"], "filters hold"
    assert await symbols(shop, q="simens", sort="name") == []
    assert "did_you_mean" not in await get_json(shop, SEARCH, q="siemens")


async def test_hits_show_where_they_match(shop: Client) -> None:
    async def shown(text: str, **more: str) -> list[str]:
        """The parts of the first hit that are highlighted."""
        found = await get_json(shop, SEARCH, q=text, highlight="true", **more)
        assert len(found["highlights"]) == len(found["hits"])
        hit, parts = found["hits"][0], []
        for path, spans in found["highlights"][0].items():
            value: Any = hit
            for step in path.split("."):
                value = value[int(step)] if isinstance(value, list) else value[step]
            parts += [value[start:end] for start, end in spans]
        return parts

    assert await shown("apple") == ["Apple"]
    assert await shown("aapl") == ["AAPL"]
    assert await shown("us-03 7833 1005") == ["US0378331005"]
    assert await shown("bank deu") == ["Deu", "Bank"]
    assert await shown("deuba") == ["DEUBA"]
    assert await shown("oreal") == ["Oréal"]
    assert await shown("siemnes") == ["Siemens"], "of what is meant"
    assert await shown("", mic="XPAR") == []
    assert "highlights" not in await get_json(shop, SEARCH, q="apple", highlight="false")


async def test_only_the_fields_that_are_asked_for_are_shown(shop: Client) -> None:
    found = await get_json(shop, SEARCH, q="aapl", fields="symbol, name,identifiers", highlight="true")
    (hit,) = found["hits"]
    assert list(hit) == ["symbol", "name", "identifiers"]
    assert hit["identifiers"]["isin"] == "US0378331005"
    assert found["highlights"] == [{"symbol": [[0, 4]]}]
    whole = (await get_json(shop, SEARCH, q="aapl"))["hits"][0]
    assert list(whole) == list(INSTRUMENT_FIELDS)
    assert (await get_json(shop, SEARCH, q="aapl", fields=",".join(INSTRUMENT_FIELDS)))["hits"] == [whole]


@pytest.mark.parametrize(
    "parameters",
    [{"fields": "id,price"}, {"fields": ""}, {"fields": "id,id"}, {"highlight": "yes"}, {"explain": "1"}],
)
async def test_what_is_asked_of_hits_is_checked(shop: Client, parameters: dict[str, str]) -> None:
    async with shop.get(SEARCH, params=parameters) as response:
        (error,) = (await problem(response, 400))["errors"]
    assert error["field"] in parameters


async def test_operators_are_told_why_a_hit_stands_where_it_does(
    shop: Client, database_url: str, redis_url: str
) -> None:
    async with shop.get(SEARCH, params={"q": "apple", "explain": "true"}) as response:
        await problem(response, 401)
    scopes = (INSTRUMENTS_READ, INDEX_ADMIN)
    async with running_api(database_url, redis_url, anonymous_scopes=scopes) as operator:
        found = await get_json(operator, SEARCH, q="apple", explain="true")
        catalog = await get_json(operator, SEARCH, explain="true")
        exact = await get_json(operator, SEARCH, q="AAPL US", explain="true")
    ways = {hit["symbol"]: why["way"] for hit, why in zip(found["hits"], found["explanations"], strict=True)}
    assert ways == {
        "AAPL": "named",
        "APC.DE": "named",
        "APLE": "beginning",
        "APPLEX.V": "beginning",
        "BIGA": "words",
    }
    worth = [why["lead"] + why["begins_lead"] + why["prominence"] for why in found["explanations"]]
    assert worth == sorted(worth, reverse=True)
    assert found["explanations"][0]["points"]["home"] > 0
    assert sum(found["explanations"][0]["points"].values()) == found["explanations"][0]["prominence"]
    assert {why["way"] for why in catalog["explanations"]} == {None}
    assert (found["plan"]["name"], len(found["plan"]["searches"])) == ("ranked", 4)
    assert (catalog["plan"]["name"], len(catalog["plan"]["searches"])) == ("catalog", 1)
    assert (exact["plan"]["name"], len(exact["plan"]["searches"])) == ("exact", 1)
    assert {why["way"] for why in exact["explanations"]} == {"exact"}
    for searched in (search for page in (found, catalog, exact) for search in page["plan"]["searches"]):
        assert searched["command"][0] == "FT.SEARCH" and "Iterators profile" in searched["profile"]


async def test_answers_have_the_contracts_shape(shop: Client) -> None:
    async with shop.get(SEARCH, params={"q": "AAPL"}) as response:
        content = await response.json()
        assert response.headers["X-Search-Source"] == "redis"
        assert int(response.headers["X-Index-Generation"]) >= 1
        assert float(response.headers["X-Index-Age"]) < 60
        assert 'redis;desc="' in response.headers["Server-Timing"]
    assert content.keys() == {"hits", "total", "total_is_exact", "next_cursor"}
    (hit,) = content["hits"]
    assert hit["identifiers"] == {
        "isin": "US0378331005",
        **dict.fromkeys(("cusip", "sedol", "figi", "composite_figi", "share_class_figi", "lei")),
    }
    assert (hit["primary"], hit["status"], hit["version"]) == (True, "active", 1)
    assert hit["id"].startswith("ins_") and hit["updated_at"].endswith("Z")


async def test_finished_json_is_sent_as_it_was_indexed(shop: Client, database: Connection) -> None:
    """The bytes of a hit are the bytes of the single instrument, from the index and from Postgres alike."""
    async with shop.get(SEARCH, params={"q": "AAPL"}) as response:
        body = await response.read()
    number = await database.fetchval("SELECT id FROM instruments WHERE symbol = 'AAPL'")
    for headers in ({}, {"Cache-Control": "no-cache"}):
        async with shop.get(f"/v1/instruments/ins_{number}", headers=headers) as response:
            assert await response.read() in body


async def test_filters_narrow_within_or_across_and(shop: Client) -> None:
    assert await symbols(shop, currency="EUR") == ["APC.DE"]
    assert set(await symbols(shop, mic="XETR", q="")) == {"APC.DE", "SIE.DE", "DBK.DE"}
    async with shop.get(f"{SEARCH}?country=DE&country=FR&mic=XETR&mic=XPAR") as response:
        assert {hit["symbol"] for hit in (await response.json())["hits"]} == {"SIE.DE", "DBK.DE", "OR.PA"}
    assert await symbols(shop, status="delisted") == ["OLD"]
    assert await symbols(shop, sector="no such | sector") == []


@pytest.mark.parametrize("sort", ["symbol", "name", "-updated_at", "relevance"])
@pytest.mark.parametrize("text", ["", "apple"])
async def test_pages_hold_everything_once_in_order(shop: Client, sort: str, text: str) -> None:
    whole = await get_json(shop, SEARCH, q=text, sort=sort, limit=100)
    by_offset, by_cursor = [], []
    for offset in range(0, whole["total"], 2):
        by_offset += (await get_json(shop, SEARCH, q=text, sort=sort, limit=2, offset=offset))["hits"]
    parameters: dict[str, Any] = {"q": text, "sort": sort, "limit": 2}
    while True:
        page = await get_json(shop, SEARCH, **parameters)
        assert page["total"] == whole["total"]
        by_cursor += page["hits"]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert by_offset == by_cursor == whole["hits"]
    if sort == "symbol":
        keys = [hit["symbol"].replace("|", " ") for hit in whole["hits"]]
        assert keys == sorted(keys)
    if sort == "name":
        names = [words(hit["name"]) for hit in whole["hits"]]
        assert names == sorted(names)


async def test_pages_of_many_hits_hold_everything_once(
    api: Client, indexer: WaitLevel, import_instruments: Import
) -> None:
    """More than are put in order together, matching in every way, wherever a page ends."""
    names = ("Apple {} Inc", "Apples of {}", "Green Apple {}", "{} Apple Trust Notes", "Applied {}")
    rows = [
        equity(f"T{number}", names[number % 5].format(f"W{number}"), attributes={"size_class": size})
        for number, size in enumerate(["mega", "large", "small", "nano"] * 20)
    ]
    await import_instruments([*rows, *(equity(f"APPLE{n}", f"Word {n}") for n in range(9))])
    await indexer()
    whole = await symbols(api, q="apple", limit=100)
    assert len(set(whole)) == len(whole) > 60
    for limit in (1, 6, 9, 13, 19, 20, 21, 25, 40):
        by_cursor: list[str] = []
        parameters: dict[str, Any] = {"q": "apple", "limit": limit}
        while True:
            page = await get_json(api, SEARCH, **parameters)
            by_cursor += [hit["symbol"] for hit in page["hits"]]
            if page["next_cursor"] is None:
                break
            parameters["cursor"] = page["next_cursor"]
        assert by_cursor == whole, limit
        by_offset = [
            symbol
            for offset in range(0, len(whole), limit)
            for symbol in await symbols(api, q="apple", limit=limit, offset=offset)
        ]
        assert by_offset == whole, limit


async def test_an_offset_beyond_the_end_is_an_empty_page(shop: Client) -> None:
    page = await get_json(shop, SEARCH, q="apple", offset=10_000)
    assert (page["hits"], page["total"], page["next_cursor"]) == ([], 5, None)


async def test_a_cursor_neither_repeats_nor_misses_while_others_come(
    shop: Client, indexer: WaitLevel, import_instruments: Import
) -> None:
    whole = await symbols(shop, limit=100)
    first = await get_json(shop, SEARCH, limit=4)
    newcomer = equity("AAAA", "Comes First", country="US", attributes={"size_class": "mega"})
    await import_instruments([newcomer], source="other")
    await indexer()
    rest = await get_json(shop, SEARCH, limit=100, cursor=first["next_cursor"])
    seen = [hit["symbol"] for hit in first["hits"] + rest["hits"]]
    assert [symbol for symbol in seen if symbol != "AAAA"] == whole


@pytest.mark.parametrize("sort", ["relevance", "-updated_at", "name", "symbol"])
async def test_a_cursor_misses_nothing_when_what_was_seen_goes_away(
    shop: Client, indexer: WaitLevel, database: Connection, sort: str
) -> None:
    whole = await symbols(shop, sort=sort, limit=100)
    first = await get_json(shop, SEARCH, sort=sort, limit=4)
    await database.execute("DELETE FROM instruments WHERE symbol = ANY ($1)", whole[2:4])
    await indexer()
    rest = await get_json(shop, SEARCH, sort=sort, limit=100, cursor=first["next_cursor"])
    assert [hit["symbol"] for hit in rest["hits"]] == whole[4:]


async def test_a_cursor_made_up_to_go_too_far_is_refused(shop: Client) -> None:
    search = Search("", {"status": ("active",)})
    for skip in (MAX_SKIP + 1, 2**53):
        cursor = encode_cursor(Cursor(1, None, skip, 0), search)
        async with shop.get(SEARCH, params={"cursor": cursor}) as response:
            await problem(response, 400)


async def test_a_cursor_into_a_generation_that_is_gone_says_restart(shop: Client, redis_client: Any) -> None:
    first = await get_json(shop, SEARCH, limit=2)
    generation = int(await redis_client.get(OWN.live_key))
    await redis_client.execute_command("FT.DROPINDEX", index_name(generation))
    async with shop.get(SEARCH, params={"limit": 2, "cursor": first["next_cursor"]}) as response:
        assert "restart" in (await problem(response, 410))["detail"]


async def test_suggestions_are_prefixes(shop: Client) -> None:
    async def suggested(text: str) -> list[str]:
        return [hit["symbol"] for hit in (await get_json(shop, SUGGEST, q=text))["suggestions"]]

    assert await suggested("ap") == ["AAPL", "APC.DE", "APLE", "APPLEX.V"]
    assert await suggested("a") == ["AAPL", "APC.DE", "APLE", "APPLEX.V", "A|B -C"]
    assert await suggested("app") == ["AAPL", "APC.DE", "APLE", "APPLEX.V"]
    assert await suggested("consulting") == [], "words within a name are for the search"
    assert await suggested("deub") == ["DBK.DE"]


async def test_one_instrument_and_its_etag(shop: Client, database: Connection) -> None:
    number = await database.fetchval("SELECT id FROM instruments WHERE symbol = 'AAPL'")
    path = f"/v1/instruments/ins_{number}"
    async with shop.get(path) as response:
        assert (response.status, response.headers["X-Search-Source"]) == (200, "redis")
        assert response.headers["ETag"] == '"1"'
    async with shop.get(path, headers={"If-None-Match": 'W/"0", "1"'}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with shop.get(path, headers={"Cache-Control": "no-cache"}) as response:
        assert response.headers["X-Search-Source"] == "postgres"
    async with shop.head(path) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "id_", ["ins_999999999", "ins_0", "AAPL", "ins_1%00", "%F0%9F%92%A5", "ins_" + "9" * 400]
)
async def test_an_unknown_id_is_not_found(shop: Client, id_: str) -> None:
    for path in (f"/v1/instruments/{id_}", f"/v1/instruments/{id_}/history"):
        async with shop.get(path) as response:
            assert "no instrument" in (await problem(response, 404))["detail"]


async def test_history_tells_each_change_newest_first(shop: Client, database: Connection) -> None:
    number = await database.fetchval("SELECT id FROM instruments WHERE symbol = 'AAPL'")
    for version in range(2, 6):
        await database.execute("UPDATE instruments SET name = $2 WHERE id = $1", number, f"Apple {version}")
    path = f"/v1/instruments/ins_{number}/history"
    newest = await get_json(shop, path, limit=2)
    assert [entry["version"] for entry in newest["history"]] == [5, 4]
    assert newest["history"][0]["changes"] == {"name": {"from": "Apple 4", "to": "Apple 5"}}
    rest = await get_json(shop, path, before=newest["next_before"])
    assert [entry["version"] for entry in rest["history"]] == [3, 2, 1]
    assert rest["next_before"] is None
    created = rest["history"][-1]
    assert (created["operation"], created["actor"]) == ("created", "tests")
    assert created["changes"]["symbol"] == {"from": None, "to": "AAPL"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e9", "limit"),
        ("limit=101", "limit"),
        ("q=" + "x" * 10_000, "q"),
        ("q=%00", "q"),
        ("q=%FF%FE", "q"),
        ("q=%C3%28", "q"),
        ("q=a&q=b", "q"),
        ("colour=red", "colour"),
        ("sort=price", "sort"),
        ("asset_class=stock", "asset_class"),
        ("mic=%2A", "mic"),
        ("offset=10001", "offset"),
        ("cursor=nonsense", "cursor"),
        ("&".join(["mic=XNAS"] * 500), "query string"),
    ],
)
async def test_bad_input_names_the_field(shop: Client, query: str, field: str) -> None:
    async with shop.get(f"{SEARCH}?{query}") as response:
        errors = (await problem(response, 400))["errors"]
        assert [error["field"] for error in errors] == [field]
        assert all(error["message"] for error in errors)


ROUTED = st.text(max_size=220) | st.text(alphabet="@{}()|-~*%$\"'\\:[]<>=!&;, aple^", max_size=60)


async def test_any_text_is_searched_for_or_refused_and_never_somebody_elses_query(shop: Client) -> None:
    """Thousands of strings: no 5xx, and the delisted instrument never shows."""
    texts: list[str] = []

    @settings(max_examples=1500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(ROUTED)
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    assert len(texts) >= 1500
    for path in (SEARCH, SUGGEST):
        for text in texts:
            encoded = text.encode("utf-8", "surrogatepass")
            async with shop.get(path, params={"q": encoded.decode("utf-8", "replace")}) as response:
                content = await response.json(content_type=None)
                assert response.status in (200, 400), (text, content)
                hits = content.get("hits", content.get("suggestions", []))
                assert all(hit["status"] == "active" for hit in hits), text


@pytest.mark.parametrize(
    "text",
    [
        "@symbol:{*}",
        "*",
        "%%%",
        "(",
        "a|b -c ~d",
        "$p0",
        "=>{$weight:9}",
        "@status:{delisted}",
        "~*",
    ],
)
async def test_query_syntax_is_only_text(shop: Client, text: str) -> None:
    found = await symbols(shop, q=text)
    assert len(found) <= 2 and "OLD" not in found, found


async def test_statuses_that_routing_decides_are_problems_too(shop: Client) -> None:
    async with shop.get("/v1/nowhere") as response:
        await problem(response, 404)
    async with shop.post(SEARCH) as response:
        await problem(response, 405)
        assert response.headers["Allow"] == "GET,HEAD"
    async with shop.get(SEARCH, data=b"<q/>", headers={"Content-Type": "text/xml"}) as response:
        await problem(response, 415)
    async with shop.get(SEARCH, data=b"{not json", headers={"Content-Type": "application/json"}) as response:
        assert (await problem(response, 400))["errors"][0]["field"] == "body"
    async with shop.get(
        SEARCH, data=io.BytesIO(b"x" * (1 << 20 | 1)), headers={"Content-Type": "application/json"}
    ) as response:
        await problem(response, 413)


async def test_request_ids_are_kept_or_made(shop: Client) -> None:
    async with shop.get(SEARCH, headers={"X-Request-ID": "trace-1.a_B"}) as response:
        assert response.headers["X-Request-ID"] == "trace-1.a_B"
    async with shop.get(SEARCH, headers={"X-Request-ID": "bad id\twith spaces"}) as response:
        assert response.headers["X-Request-ID"] not in ("", "bad id\twith spaces")


async def test_keys_and_scopes(database_url: str, redis_url: str, indexer: WaitLevel) -> None:
    await indexer()
    reader, admin = new_key(), new_key()
    reader_id = await add_key(
        database_url, owner="desk", scopes=[INSTRUMENTS_READ], secret_sha256=key_hash(reader)
    )
    await add_key(database_url, owner="ops", scopes=[INDEX_ADMIN], secret_sha256=key_hash(admin))
    async with running_api(database_url, redis_url, anonymous_scopes=()) as client:

        async def status(**headers: str) -> int:
            names = {"key": "X-API-Key", "authorization": "Authorization"}
            sent = {names[name]: value for name, value in headers.items()}
            async with client.get(SEARCH, headers=sent) as response:
                if response.status != 200:
                    await problem(response, response.status)
                if response.status == 401:
                    challenge = 'Bearer error="invalid_token"' if sent else "Bearer"
                    assert response.headers["WWW-Authenticate"] == challenge
                return response.status

        assert await status() == 401
        assert await status(key=reader) == 200
        assert await status(authorization=f"Bearer {reader}") == 200
        assert await status(authorization=f"bearer  {reader}") == 200
        assert await status(key=admin) == 403
        for malformed in (
            "",
            "x",
            "ir_" + "A" * 43,
            reader[:-1],
            reader + "x",
            "ключ".encode().decode("latin-1"),
        ):
            assert await status(key=malformed) == 401
        for malformed in ("Basic eDp5", "Bearer", "Bearer ", reader):
            assert await status(authorization=malformed) == 401
        for path in ("/health/live", "/health/ready", "/metrics", "/"):
            async with client.get(path) as response:
                assert response.status == 200, path

        await revoke_key(database_url, reader_id)

        async def refused() -> bool:
            return await status(key=reader) == 401

        await eventually(refused, timeout_s=5)


async def test_a_key_made_after_the_start_is_known_at_once(api: Client, database_url: str) -> None:
    key = new_key()
    await add_key(database_url, owner="desk", scopes=[INDEX_ADMIN], secret_sha256=key_hash(key))

    async with api.get(SEARCH, headers={"X-API-Key": key}) as response:
        assert response.status == 403


async def test_an_expired_key_is_refused(api: Client, database_url: str, database: Connection) -> None:
    key = new_key()
    soon = await database.fetchval("SELECT now() + interval '1.5 seconds'")
    await add_key(
        database_url, owner="desk", scopes=[INSTRUMENTS_READ], secret_sha256=key_hash(key), expires_at=soon
    )

    async def status_is(status: int) -> bool:
        async with api.get(SEARCH, headers={"X-API-Key": key}) as response:
            return response.status == status

    await eventually(lambda: status_is(200), timeout_s=1.4)
    await eventually(lambda: status_is(401), timeout_s=3)


async def test_searches_do_not_touch_postgres(shop: Client, database: Connection) -> None:
    """Once its connections are gone and refused, searches go on and readiness says so."""
    name = await database.fetchval("SELECT current_database()")
    server = os.environ[POSTGRES_VARIABLE]
    await execute_on(server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = $1 AND pid <> pg_backend_pid()",
        name,
    )
    try:
        for text in ("apple", "AAPL", ""):
            assert await symbols(shop, q=text)
        content = await get_json(shop, "/health/ready")
        assert (content["status"], content["postgres"], content["redis"]) == ("degraded", "down", "up")
        async with shop.get("/v1/instruments/ins_1/history") as response:
            await problem(response, 503)
            assert int(response.headers["Retry-After"]) >= 1
    finally:
        await execute_on(server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


async def test_without_an_index_postgres_answers(
    database_url: str, redis_url: str, import_instruments: Import, database: Connection
) -> None:
    await import_instruments(ROWS)
    number = await database.fetchval("SELECT id FROM instruments WHERE symbol = 'AAPL'")
    async with running_api(database_url, redis_url) as client:
        async with client.get(SEARCH, params={"q": "AAPL"}) as response:
            assert (response.status, response.headers["X-Search-Source"]) == (200, "postgres")
        async with client.get("/health/ready") as response:
            assert (response.status, (await response.json())["index"]) == (200, "filling")
        async with client.get(f"/v1/instruments/ins_{number}") as response:
            assert (response.status, response.headers["X-Search-Source"]) == (200, "postgres")


async def test_without_redis_the_api_starts_and_says_so(database_url: str) -> None:
    async with running_api(database_url, "redis://127.0.0.1:1") as client:
        async with client.get(SEARCH) as response:
            assert (response.status, response.headers["X-Search-Source"]) == (200, "postgres")
        async with client.get("/health/ready") as response:
            assert (response.status, (await response.json())["redis"]) == (200, "down")


async def test_parameters_bound_pages(database_url: str, redis_url: str, shop: Client) -> None:
    async with running_api(
        database_url, redis_url, parameters=Parameters(cache_ttl_seconds=0, max_results_per_page=3)
    ) as client:
        assert len(await symbols(client)) == 3
        async with client.get(SEARCH, params={"limit": 4}) as response:
            assert "from 1 to 3" in (await problem(response, 400))["detail"]


async def test_a_log_line_per_request_without_secrets(
    shop: Client, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = new_key()
    await add_key(database_url, owner="desk", scopes=[INDEX_ADMIN], secret_sha256=key_hash(key))
    async with shop.get(SEARCH, headers={"Authorization": f"Bearer {key}", "X-Request-ID": "seen-in-logs"}):
        pass
    printed = capsys.readouterr()
    lines = [line for line in (printed.out + printed.err).splitlines() if "seen-in-logs" in line]
    assert len(lines) == 1 and SEARCH in lines[0]
    assert key not in printed.out + printed.err


async def test_metrics_count_by_route_template(shop: Client) -> None:
    await get_json(shop, SEARCH, q="apple")
    async with shop.get("/metrics") as response:
        text = await response.text()
    assert f'route="{SEARCH}",status="200"' in text
    assert 'registry_search_seconds_count{plan="ranked"}' in text
    assert "registry_index_age_seconds" in text and "?q=" not in text
