"""One import run: rows in, instruments merged, and a report of what became of every row."""

import csv
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from app.ingest.rows import Finding, RowReader, RowRejected, RowSource, Severity
from app.store.imports import StagedListing, merge_listings

REJECTS_HEADER: Final = ("file", "row", "severity", "field", "value", "reason")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Every row read is one of created, changed, unchanged, duplicate or rejected."""

    read: int
    created: int
    changed: int
    unchanged: int
    duplicates: int
    rejected: int
    delisted: int
    delisting_held_back: bool
    """Nothing was delisted, because rows were rejected that might be of what seems to be missing."""
    dropped_values: int
    replaced_values: int


async def import_rows(
    url: str,
    sources: Iterable[RowSource],
    rejects_file: Path,
    *,
    actor: str,
    overwrite: bool = False,
    delist_missing: bool = False,
) -> ImportReport:
    """Import all `sources` as one run: all of it, or nothing.

    `overwrite` also replaces fields that somebody edited by hand; `delist_missing` delists what the
    sources of this run no longer name, unless a row could not be read. Whatever is said about a row
    goes to `rejects_file` (CSV). Raises ImportFailed, Conflict or PostgresUnavailable.
    """
    with rejects_file.open("w", encoding="utf-8", newline="") as output:
        run = _Run(output)
        merged = await merge_listings(
            url,
            _stream(run, sources),
            actor=actor,
            overwrite=overwrite,
            # A rejected row may be of an instrument that would seem to be missing.
            may_delist=lambda: delist_missing and not run.findings[Severity.REJECTED],
        )
        held_back = delist_missing and run.findings[Severity.REJECTED] > 0
        for refusal in merged.refusals:
            severity = Severity.DUPLICATE if refusal.duplicate else Severity.REJECTED
            run.note(refusal.ord, Finding(severity, "symbol", "", refusal.reason))
    return ImportReport(
        read=run.read,
        created=merged.created,
        changed=merged.changed,
        unchanged=merged.unchanged,
        duplicates=run.findings[Severity.DUPLICATE],
        rejected=run.findings[Severity.REJECTED],
        delisted=merged.delisted,
        delisting_held_back=held_back,
        dropped_values=run.findings[Severity.DROPPED],
        replaced_values=run.findings[Severity.REPLACED],
    )


async def _stream(run: "_Run", sources: Iterable[RowSource]) -> AsyncIterator[StagedListing]:
    for source in sources:
        for staged in run.listings(source):
            yield staged


class _Run:
    """Numbers the rows as they stream by, and writes down what is to be said about them."""

    def __init__(self, output: IO[str]) -> None:
        self._writer = csv.writer(output)
        self._writer.writerow(REJECTS_HEADER)
        self._first_rows: list[int] = []
        self._names: list[str] = []
        self.findings: Counter[Severity] = Counter()
        self.read = 0

    def listings(self, source: RowSource) -> Iterator[StagedListing]:
        self._first_rows.append(self.read)
        self._names.append(source.name)
        for raw in source.rows:
            row, number = RowReader(raw), self.read
            self.read += 1
            try:
                listing = source.convert(row)
            except RowRejected as error:
                self.note(number, error.finding)
                continue
            for finding in row.findings:
                self.note(number, finding)
            yield StagedListing(number, source.source, listing)

    def note(self, number: int, finding: Finding) -> None:
        """Write a finding about the run's row `number`, under its file's name and its place there."""
        self.findings[finding.severity] += 1
        file = bisect_right(self._first_rows, number) - 1
        place = number - self._first_rows[file] + 1
        self._writer.writerow(
            (self._names[file], place, finding.severity, finding.field, finding.value, finding.reason)
        )
