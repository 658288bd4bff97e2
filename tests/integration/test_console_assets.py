"""What the console is sent as: small, checked by its tag or kept for ever, and allowed nothing but itself."""

import re
from http import HTTPStatus

import pytest

from app.web.console.assets import ASSETS, PAGES, VERSION, page
from app.web.console.handlers import POLICY
from tests.integration.conftest import running_api

MAX_BYTES = 150 * 1024
SHOWN = {name: page(name, frozenset({"instruments:read"})) for name in PAGES}
NOWHERE = ("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1")


def test_all_of_it_is_small() -> None:
    assert sum(len(asset.compressed) for asset in (*ASSETS.values(), *SHOWN.values())) <= MAX_BYTES


def test_pages_and_modules_name_only_what_there_is() -> None:
    for shown in SHOWN.values():
        named = re.findall(r'(?:src|href)="/assets/([^"]*)"', shown.body.decode())
        assert named and all(path.partition("/")[0] == VERSION for path in named)
        assert {path.partition("/")[2] for path in named} <= set(ASSETS)
    for name, asset in ASSETS.items():
        if name.endswith(".js"):
            assert set(re.findall(r'(?:from|import\()\s*"\./([^"]*)"', asset.body.decode())) <= set(ASSETS)


def test_nothing_is_written_as_markup_or_inline() -> None:
    for name, asset in (*ASSETS.items(), *SHOWN.items()):
        text = asset.body.decode()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), name
        assert not re.search(r"\sstyle=|\son\w+=\"|https?://(?!www\.w3\.org/2000/svg)", text), name
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), name


@pytest.mark.parametrize(
    ("path", "content_type", "cache_control"),
    [
        ("/", "text/html", "no-cache"),
        ("/docs", "text/html", "no-cache"),
        (f"/assets/{VERSION}/main.js", "text/javascript", "public, max-age=31536000, immutable"),
        (f"/assets/{'0' * 16}/main.js", "text/javascript", "no-cache"),
        (f"/assets/{VERSION}/console.css", "text/css", "public, max-age=31536000, immutable"),
    ],
)
async def test_it_is_sent_without_servers_behind_it(path: str, content_type: str, cache_control: str) -> None:
    async with running_api(*NOWHERE) as api, api.get(path) as response:
        assert (response.status, response.content_type) == (HTTPStatus.OK, content_type)
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Cache-Control"] == cache_control
        assert response.headers["Content-Security-Policy"] == POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        whole = await response.read()
        async with api.get(path, headers={"Accept-Encoding": "identity"}) as plain:
            assert "Content-Encoding" not in plain.headers and await plain.read() == whole
        async with api.get(path, headers={"If-None-Match": response.headers["ETag"]}) as again:
            assert (again.status, await again.read()) == (HTTPStatus.NOT_MODIFIED, b"")


@pytest.mark.parametrize(
    "path", [f"/assets/{VERSION}/index.html", "/assets/x/main.js", f"/assets/{VERSION}/x"]
)
async def test_what_there_is_not_is_not_found(path: str) -> None:
    async with running_api(*NOWHERE) as api, api.get(path) as response:
        assert response.status == HTTPStatus.NOT_FOUND
