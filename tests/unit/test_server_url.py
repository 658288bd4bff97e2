"""URLs of servers: what is taken, and that no password of one is ever shown."""

import pytest

from app.server_url import ServerUrl


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9090", ServerUrl("http://127.0.0.1:9090", None, None)),
        ("https://prom.example/base/", ServerUrl("https://prom.example/base", None, None)),
        ("http://[::1]:9090/", ServerUrl("http://[::1]:9090", None, None)),
        ("http://ada:p%40ss%2F@prom:9090", ServerUrl("http://prom:9090", "ada", "p@ss/")),
        ("http://ada@prom", ServerUrl("http://prom", "ada", None)),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, expected: ServerUrl) -> None:
    assert ServerUrl.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "prom:9090",
        "ftp://ada:secret@prom",
        "http://ada:secret@",
        "http://ada:secret@prom:0",
        "http://ada:secret@prom:99999",
        "http://ada:secret@[prom",
        "http://ada:12/secret@prom",
        "http://ada:secret@prom/a b",
        "http://ada:secret@prom/?token=secret",
        "http://:secret@prom",
        "http://a%3Ab:secret@prom",
    ],
)
def test_what_is_refused_is_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|holds|must)") as refused:
        ServerUrl.parse(url)
    assert "secret" not in str(refused.value) and refused.value.__cause__ is None
