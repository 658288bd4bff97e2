"""Mapping jobs: how many are read."""

from collections.abc import Iterator, Mapping

import pytest

from app.domain.errors import TooManyJobs
from app.domain.openfigi_query import parse_jobs


class Counted(Mapping[str, str]):
    """A job that counts how often it is looked into."""

    looks = 0

    def __getitem__(self, name: str) -> str:
        Counted.looks += 1
        return {"idType": "TICKER", "idValue": "IBM"}[name]

    def __iter__(self) -> Iterator[str]:
        Counted.looks += 1
        return iter(("idType", "idValue"))

    def __len__(self) -> int:
        return 2


def test_too_many_jobs_are_refused_before_any_is_read() -> None:
    with pytest.raises(TooManyJobs, match="4 jobs are too many; 3 are allowed"):
        parse_jobs([Counted()] * 4, 3)
    assert Counted.looks == 0
    assert len(parse_jobs([Counted()] * 3, 3)) == 3 and Counted.looks > 0
