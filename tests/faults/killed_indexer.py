"""An indexer that kills itself where a test says: `python -m tests.faults.killed_indexer POINT`."""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from types import MappingProxyType
from typing import Any, Final

from app.store.index_jobs import IndexJobs
from app.store.index_writer import IndexWriter
from app.store.instruments import Snapshot
from indexer import cli, rebuild

_built: set[int] = set()
"""The generations that this process has begun."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _in_rebuild(_: Any, generation: int, *__: Any) -> bool:
    return generation in _built


def _always(*_: Any) -> bool:
    return True


def _at(
    owner: Any,
    name: str,
    *,
    before: bool = False,
    call: int = 1,
    counts: Callable[..., bool] = _always,
) -> Callable[[], None]:
    """Kills the process before or after the n-th call that counts."""

    def install() -> None:
        original = getattr(owner, name)
        calls = 0

        @wraps(original)
        async def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += counts(*arguments)
            is_meant = counts(*arguments) and calls == call
            if is_meant and before:
                _kill()
            result = await original(*arguments, **options)
            if is_meant:
                _kill()
            return result

        setattr(owner, name, wrapped)

    return install


REBUILD_POINTS: Final = MappingProxyType(
    {
        "numbered": _at(IndexJobs, "add_generation"),
        "index_made": _at(IndexWriter, "create_generation"),
        "loading": _at(IndexWriter, "write", call=7, counts=_in_rebuild),
        "loaded": _at(IndexWriter, "advance", before=True, counts=_in_rebuild),
        "caught_up": _at(IndexWriter, "advance", call=2, counts=_in_rebuild),
        "verifying": _at(rebuild, "check", before=True),
        "verified": _at(rebuild, "check"),
        "swapped": _at(IndexWriter, "promote"),
        "recorded": _at(IndexJobs, "record_live"),
        "pruned": _at(IndexWriter, "drop_generation"),
        "finishing": _at(IndexJobs, "finish", before=True),
    }
)
REFRESH_POINTS: Final = MappingProxyType(
    {
        "looked": _at(Snapshot, "position"),
        "writing": _at(IndexWriter, "write"),
        "written": _at(IndexWriter, "remove", before=True),
        "removed": _at(IndexWriter, "remove"),
        "advancing": _at(IndexWriter, "advance", before=True),
        "advanced": _at(IndexWriter, "advance"),
    }
)


def main() -> None:
    create = IndexWriter.create_generation

    async def remember(self: IndexWriter, generation: int) -> None:
        _built.add(generation)
        await create(self, generation)

    IndexWriter.create_generation = remember  # type: ignore[method-assign]
    (REBUILD_POINTS | REFRESH_POINTS)[sys.argv[1]]()
    sys.argv[1:] = ["run"]
    cli.main()


if __name__ == "__main__":
    main()
