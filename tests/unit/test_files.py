"""Files replaced as a whole, and moments as text."""

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.files import replace_file
from app.times import utc_text, utc_text_of


def test_a_file_is_replaced_as_a_whole_and_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    sync = os.fsync

    def seen(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    file = tmp_path / "state.json"
    file.write_bytes(b"longer than what comes")
    with file.open("rb") as reader:
        replace_file(file, b"new")
        assert reader.read() == b"longer than what comes"
    assert file.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["state.json"]
    assert synced == [".state.json.new", tmp_path.name]


def test_a_moment_is_utc_wherever_it_is_from() -> None:
    noon = datetime(2026, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC)
    assert utc_text(noon) == "2026-01-01T12:00:00Z"
    assert utc_text(noon, "milliseconds") == "2026-01-01T12:00:00.999Z"
    assert utc_text(noon.astimezone(timezone(timedelta(hours=2)))) == "2026-01-01T12:00:00Z"
    assert utc_text_of(0) == "1970-01-01T00:00:00Z"
    assert datetime.fromisoformat(utc_text()).utcoffset() == timedelta(0)
