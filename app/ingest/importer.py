"""One import run: rows in, instruments or aliases merged, and a report of what became of every row."""

import csv
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from app.domain.instrument import Listing
from app.ingest.aliases import AliasRow
from app.ingest.rows import Finding, Record, RowReader, RowRejected, RowSource, Severity
from app.store.aliases import ToldAlias, merge_aliases
from app.store.imports import MergeResult, StagedListing, merge_listings

REJECTS_HEADER: Final = ("file", "row", "severity", "field", "value", "reason")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Every row read is one of created, changed, unchanged, duplicate or rejected.

    Aliases change instruments: those that were not there before are `changed`.
    """

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
    sources: Iterable[RowSource[Listing]],
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
        return run.report(merged, delisting_held_back=held_back)


async def import_aliases(
    url: str,
    sources: Iterable[RowSource[AliasRow]],
    rejects_file: Path,
    *,
    actor: str,
    overwrite: bool = False,
) -> ImportReport:
    """Import aliases of instruments that there are, as one run: all of it, or nothing.

    `overwrite` also replaces dated aliases that are in the way, and adds to those that somebody removed by
    hand. Raises as `import_rows` does.
    """
    with rejects_file.open("w", encoding="utf-8", newline="") as output:
        run = _Run(output)
        told = [
            ToldAlias(number, row.symbol, row.mic, row.isin, row.alias)
            for source in sources
            for number, row in run.records(source)
        ]
        return run.report(await merge_aliases(url, told, actor=actor, overwrite=overwrite))


async def _stream(run: "_Run", sources: Iterable[RowSource[Listing]]) -> AsyncIterator[StagedListing]:
    for source in sources:
        for number, listing in run.records(source):
            yield StagedListing(number, source.source, listing)


class _Run:
    """Numbers the rows as they stream by, and writes down what is to be said about them."""

    def __init__(self, output: IO[str]) -> None:
        self._writer = csv.writer(output)
        self._writer.writerow(REJECTS_HEADER)
        self._first_rows: list[int] = []
        self._names: list[str] = []
        self.findings: Counter[Severity] = Counter()
        self.read = 0

    def records(self, source: RowSource[Record]) -> Iterator[tuple[int, Record]]:
        """What the rows of a source become, each with its number in the run."""
        self._first_rows.append(self.read)
        self._names.append(source.name)
        for raw in source.rows:
            row, number = RowReader(raw), self.read
            self.read += 1
            try:
                record = source.convert(row)
            except RowRejected as error:
                self.note(number, error.finding)
                continue
            for finding in row.findings:
                self.note(number, finding)
            yield number, record

    def note(self, number: int, finding: Finding) -> None:
        """Write a finding about the run's row `number`, under its file's name and its place there."""
        self.findings[finding.severity] += 1
        file = bisect_right(self._first_rows, number) - 1
        place = number - self._first_rows[file] + 1
        self._writer.writerow(
            (self._names[file], place, finding.severity, finding.field, finding.value, finding.reason)
        )

    def report(self, merged: MergeResult, *, delisting_held_back: bool = False) -> ImportReport:
        """What became of the rows, once those that the merge refused are written down too."""
        for refusal in merged.refusals:
            severity = Severity.DUPLICATE if refusal.duplicate else Severity.REJECTED
            self.note(refusal.ord, Finding(severity, "symbol", "", refusal.reason))
        return ImportReport(
            read=self.read,
            created=merged.created,
            changed=merged.changed,
            unchanged=merged.unchanged,
            duplicates=self.findings[Severity.DUPLICATE],
            rejected=self.findings[Severity.REJECTED],
            delisted=merged.delisted,
            delisting_held_back=delisting_held_back,
            dropped_values=self.findings[Severity.DROPPED],
            replaced_values=self.findings[Severity.REPLACED],
        )
