"""What the index commands show: the index as it is, and where it differs from Postgres."""

from itertools import islice
from typing import Final

from app.domain.instrument import public_id
from app.store.index_jobs import Job
from app.store.index_view import IndexView
from app.terminal import output, print_table
from indexer.verify import Drift

_MAX_LISTED: Final = 20


def print_status(view: IndexView) -> None:
    live = next((g for g in view.generations if g.number == view.live_generation), None)
    if view.redis_error is not None:
        output.print(f"{view.redis_error}; of the index nothing else is known than what follows.")
    elif live is None or live.documents is None:
        output.print("No index is live.")
    else:
        output.print(f"Live generation {live.number}: {live.documents:,} documents of {view.rows:,} rows")
        output.print(f"Level with Postgres {view.age_s} s ago")
        if view.oldest_unindexed_s is not None:
            output.print(f"The oldest change that it does not have waits for {view.oldest_unindexed_s} s")
    if view.last_refreshes:
        last = view.last_refreshes[0]
        output.print(
            f"Last refresh: {last.at:%H:%M:%S}Z, {last.seconds * 1000:.1f} ms, {last.written:,} written, "
            f"{last.removed:,} removed"
        )
    output.print(f"Leader: {view.leader or 'none; start one with instrument-registry indexer run'}")
    if view.parked:
        output.print(f"Parked rows, of which no documents can be made: {view.parked:,}")
        for row in view.parked_rows:
            output.print(f"  {row.instrument}: {row.reason}")
    if view.redis_memory_bytes is not None:
        output.print(f"Redis: {view.redis_memory_bytes / 1e6:,.0f} MB")
    print_table(
        ("generation", "state", "documents", "live since"),
        [
            (g.number, g.state, g.documents, f"{g.live_at:%Y-%m-%d %H:%M:%S}Z" if g.live_at else None)
            for g in view.generations
        ],
    )


def print_drift(drift: Drift) -> None:
    output.print(f"Generation {drift.generation}: {drift.rows:,} rows compared")
    for kind, numbers in (("missing", drift.missing), ("stale", drift.stale), ("phantom", drift.phantom)):
        listed = ", ".join(map(str, numbers[:_MAX_LISTED])) + (" ..." if len(numbers) > _MAX_LISTED else "")
        output.print(f"{kind:8} {len(numbers):,}" + (f": {listed}" if numbers else ""))
    output.print(f"{'refused':8} {drift.refused:,}")
    output.print(f"miscounted {drift.miscounted:,}")
    output.print(f"{'parked':8} {len(drift.parked):,}")
    for number, reason in islice(drift.parked.items(), _MAX_LISTED):
        output.print(f"  {public_id(number)}: {reason}")
    if drift.clean:
        output.print("No drift.")
    if drift.is_repairable:
        output.print("The index drifts; instrument-registry indexer verify --repair mends it.")
    if drift.parked:
        output.print("Parked rows hold values that cannot be shown; correct them, and the index follows.")
    if drift.refused:
        output.print(
            "Redis refuses documents; instrument-registry indexer rebuild says which gate they fail."
        )


def print_repair(job: Job) -> None:
    checks = job.checks or {}
    output.print(f"Repaired: {checks.get('written', 0):,} written, {checks.get('removed', 0):,} removed")
