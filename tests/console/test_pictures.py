"""The pictures of the documentation can be taken."""

import struct
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.console.conftest import ADMIN, LOCAL_TIMEOUT_MS, Service
from tests.console.pictures import HEIGHT, PICTURES, Picture

IMAGES = Path(__file__).parents[2] / "docs" / "images"
BLANK_BYTES = 10_000
"""A picture of an empty page is smaller."""


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_taken(picture: Picture, browser: Browser, service: Service, tmp_path: Path) -> None:
    expect.set_options(timeout=LOCAL_TIMEOUT_MS)
    for path in (picture.take(browser, service.url, ADMIN, tmp_path), IMAGES / f"{picture.name}.png"):
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", content[16:24]) == (picture.width, HEIGHT)
        assert len(content) > BLANK_BYTES
