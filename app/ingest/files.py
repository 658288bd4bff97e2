"""Source files: found in folders, decompressed by their first bytes, told by their content."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import orjson

from app.ingest import aliases, financedatabase, generic, us_listings
from app.ingest.rows import BROKEN, Format, ImportFailed, Row, RowSource

FORMATS: Final = (financedatabase.NAME, us_listings.NAME, generic.CSV, generic.NDJSON, aliases.NAME)

_SUFFIXES: Final = (".csv", ".json", ".ndjson", ".jsonl")
_COMPRESSIONS: Final[tuple[tuple[bytes, str, Callable[[Any], Any]], ...]] = (
    (b"\x1f\x8b", ".gz", lambda raw: gzip.GzipFile(fileobj=raw)),
    (b"BZh", ".bz2", bz2.BZ2File),
    (b"\xfd7zXZ\x00", ".xz", lzma.LZMAFile),
)
_MAX_JSON_ARRAY_BYTES: Final = 64 << 20
_MAX_LINE_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 1 << 16
_SURPLUS: Final = "(values beyond the header)"

csv.field_size_limit(_MAX_LINE_BYTES)


def file_source(
    file: Path, *, format_name: str | None, source: str | None, counted: Callable[[int], None]
) -> RowSource[Any]:
    """The rows of one file, its format found out by content unless `format_name` insists on one.

    `counted` is told how many bytes were read from the disk. Raises ImportFailed, also while rows are read.
    """
    found = _detect_format(file, format_name)

    def rows() -> Iterator[Row]:
        with _open(file, counted) as stream:
            yield from found.read(stream)

    return RowSource(file.name, source or found.source, rows(), found.convert)


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The importable files among and below `paths`, in a stable order. Raises ImportFailed."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file for file in path.rglob("*") if file.is_file() and _plain_suffix(file) in _SUFFIXES
            )
            if not inside:
                raise ImportFailed(
                    f"{path} holds no file ending in {', '.join(_SUFFIXES)} (or those with .gz, .bz2, .xz)"
                )
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ImportFailed(f"{path} does not exist")
    return list(dict.fromkeys(found))


def _plain_suffix(file: Path) -> str:
    compressions = tuple(suffix for _, suffix, _ in _COMPRESSIONS)
    return Path(file.stem).suffix.lower() if file.suffix.lower() in compressions else file.suffix.lower()


@contextmanager
def _open(file: Path, counted: Callable[[int], None]) -> Iterator[IO[bytes]]:
    """The file's decompressed bytes, without a byte order mark.

    Raises ImportFailed, also for what goes wrong while it is open.
    """
    try:
        raw = io.BufferedReader(_CountingFile(file, counted), 1 << 20)
    except OSError as error:
        raise ImportFailed(f"{file} cannot be read: {error.strerror}") from error
    with _reading(file), raw:
        head = raw.peek(8)
        known = (opened for magic, _, opened in _COMPRESSIONS if head.startswith(magic))
        opened = next(known, io.BufferedReader)
        with opened(raw) as stream:
            if stream.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
                stream.read(len(codecs.BOM_UTF8))
            yield stream


class _CountingFile(io.FileIO):
    def __init__(self, file: Path, counted: Callable[[int], None]) -> None:
        super().__init__(file)
        self._counted = counted

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self._counted(count or 0)
        return count


def _detect_format(file: Path, name: str | None = None) -> Format[Any]:
    """The format of a file, by its content; `name` (one of FORMATS) insists on one. Raises ImportFailed."""
    with _open(file, lambda _: None) as stream:
        found = _format_of(file, stream.read(_HEAD_BYTES).lstrip())
    if found is None:
        raise ImportFailed(
            f"{file} is in no known format: it needs a CSV header with asset_class and symbol, "
            "or with symbol, alias and kind, or FinanceDatabase's columns, or one JSON object per line, or a "
            f"JSON array of listings in a file named for its exchange ({', '.join(us_listings.EXCHANGES)})"
        )
    if name not in (None, found.name):
        raise ImportFailed(f"{file} is in the format {found.name}, not {name}")
    return found


def _format_of(file: Path, head: bytes) -> Format[Any] | None:
    if head.startswith(b"["):
        exchange = file.name.partition(".")[0].lower()
        if exchange not in us_listings.EXCHANGES:
            return None
        source = f"{us_listings.NAME}/{exchange}"
        return Format(us_listings.NAME, source, _json_array_rows, us_listings.converter(exchange))
    if head.startswith(b"{"):
        if _ndjson_row(head.partition(b"\n")[0]).keys() >= aliases.REQUIRED_COLUMNS:
            return Format(aliases.NAME, aliases.NAME, _ndjson_rows, aliases.convert)
        return Format(generic.NDJSON, generic.NDJSON, _ndjson_rows, generic.convert)
    header = next(csv.reader([head.partition(b"\n")[0].decode(errors="replace")]), [])
    columns = frozenset(column.strip() for column in header)
    if columns in financedatabase.CONVERTERS:
        kind, convert = financedatabase.CONVERTERS[columns]
        return Format(financedatabase.NAME, f"{financedatabase.NAME}/{kind}", _csv_rows, convert)
    if columns >= generic.REQUIRED_COLUMNS:
        return Format(generic.CSV, generic.CSV, _csv_rows, generic.convert)
    if columns >= aliases.REQUIRED_COLUMNS:
        return Format(aliases.NAME, aliases.NAME, _csv_rows, aliases.convert)
    return None


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """A file that is torn, not UTF-8 or not what it began as becomes ImportFailed, under its name."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ImportFailed(f"{file} is not UTF-8: {error}; convert it first") from error
    except orjson.JSONDecodeError as error:
        raise ImportFailed(f"{file} is no JSON array: {error}") from error
    except _TooLong as error:
        raise ImportFailed(f"{file} {error}") from error
    except (EOFError, OSError, lzma.LZMAError, zlib.error, csv.Error) as error:
        raise ImportFailed(f"{file} cannot be read to its end: {error}") from error


class _TooLong(Exception):
    """Something that would have to be held in memory whole is too long for that."""


def _csv_rows(stream: IO[bytes]) -> Iterator[Row]:
    with io.TextIOWrapper(stream, encoding="utf-8", newline="") as text:
        header = next((fields for fields in csv.reader(text) if fields), [])
        yield from csv.DictReader(text, [name.strip() for name in header], restkey=_SURPLUS)


def _json_array_rows(stream: IO[bytes]) -> Iterator[Row]:
    content = stream.read(_MAX_JSON_ARRAY_BYTES + 1)
    if len(content) > _MAX_JSON_ARRAY_BYTES:
        raise _TooLong("is a JSON array of more than 64 MiB; write one object per line instead")
    yield from (row if isinstance(row, dict) else {} for row in orjson.loads(content))


def _ndjson_rows(stream: IO[bytes]) -> Iterator[Row]:
    for line in iter(lambda: stream.readline(_MAX_LINE_BYTES + 1), b""):
        if len(line) > _MAX_LINE_BYTES:
            raise _TooLong("has a line of more than 1 MiB")
        if line.strip():
            yield _ndjson_row(line)


def _ndjson_row(line: bytes) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return {BROKEN: f"is not a JSON object: {error}"}
    return row if isinstance(row, dict) else {BROKEN: "is not a JSON object"}
