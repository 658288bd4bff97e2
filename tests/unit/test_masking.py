"""What looks like a secret does not reach the log, whoever put it into a line."""

import pytest

from app.auth.api_keys import new_key
from app.masking import masked

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJlLW9mLWl0"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ('{"reason":"no key KEY"}', "KEY"),
        ('{"path":"/v1/instruments/KEY","reason":"\'KEY\'"}', "KEY"),
        (f'{{"reason":"Bearer {TOKEN}"}}', TOKEN),
        ('{"url":"https://user:hunter2@login.example/keys"}', "hunter2"),
        ('{"url":"redis://:hunter2@host:6379/0"}', "hunter2"),
        ('{"url":"postgresql://u:hunter%402@one:5432,two:5432/d?x=1"}', "hunter"),
        ('{"url":"postgresql://u:hunter@2@one/d"}', "hunter"),
        ('{"url":"postgresql://host/d?user=u&password=hunter2&sslmode=require"}', "hunter2"),
    ],
)
def test_secrets_are_masked(line: str, secret: str) -> None:
    key = new_key()
    line, secret = line.replace("KEY", key), secret.replace("KEY", key)
    assert secret in line
    shown = masked(line.encode()).decode()
    assert secret not in shown and "***" in shown
    assert shown.startswith("{") and shown.endswith(("}", '"}'))


@pytest.mark.parametrize(
    "line",
    [
        '{"event":"request","request_id":"4f0a11","principal":"key:12","route":"/v1/instruments/{id}"}',
        '{"url":"https://login.example:8443/keys","reason":"see https://a.example/b:c, mail x@example.org"}',
        '{"statement":"SELECT pir_total FROM t","reason":"the bird_of_prey_is_no_key_at_all"}',
    ],
)
def test_nothing_else_is(line: str) -> None:
    assert masked(line.encode()) == line.encode()
