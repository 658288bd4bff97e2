"""Source files and their rows: formats told by content, rows turned into listings, nothing lost silently."""

import bz2
import csv
import gzip
import io
import lzma
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.domain.instrument import MAX_NAME_LENGTH, AssetClass, Listing, SizeClass, Status
from app.ingest import financedatabase, generic, us_listings
from app.ingest.files import FORMATS, file_source, find_files
from app.ingest.rows import Finding, ImportFailed, Row, RowReader, RowRejected, RowSource, Severity
from app.ingest.sample import sample_source

# Formats leave the file below the decompressor, or below the text, to the garbage collector.

FINANCEDATABASE_HEADERS = {
    "equities": "symbol,name,summary,currency,sector,industry_group,industry,exchange,mic,market,country,"
    "state,city,zipcode,website,market_cap,isin,cusip,figi,composite_figi,shareclass_figi,delisted",
    "etfs": "symbol,name,currency,summary,category_group,category,family,exchange,mic,isin",
    "funds": "symbol,name,currency,summary,category_group,category,family,exchange,mic",
    "indices": "symbol,name,currency,summary,category_group,category,exchange,mic",
    "moneymarkets": "symbol,name,currency,summary,family,exchange",
    "currencies": "symbol,name,base_currency,quote_currency,summary,exchange",
    "cryptos": "symbol,name,cryptocurrency,currency,summary,exchange,website",
}
ASSET_CLASSES = {
    "equities": AssetClass.EQUITY,
    "etfs": AssetClass.ETF,
    "funds": AssetClass.FUND,
    "indices": AssetClass.INDEX,
    "moneymarkets": AssetClass.MONEY_MARKET,
    "currencies": AssetClass.CURRENCY,
    "cryptos": AssetClass.CRYPTO,
}
CONVERTERS = dict(financedatabase.CONVERTERS.values())
CSV = b"symbol,asset_class,name\nAAPL,equity,Apple Inc.\n"
NDJSON = b'{"symbol":"AAPL","asset_class":"equity","name":"Apple Inc."}\n'
LISTINGS = b'[{"symbol":"AAPL","name":"Apple Inc.","marketCap":"3000000000000","country":"United States"}]'
UNCOMPRESSED: Callable[[bytes], bytes] = bytes
AWKWARD_NAMES = (
    "Smith, Jones & Co.",
    'The "Quoted" Company',
    "L'Oréal S.A.",
    "Börslich handelbare Krügerrand",
    "トヨタ自動車株式会社",
    "腾讯控股有限公司",
    "삼성전자",
    "ПАО Газпром",
    "أرامكو السعودية",
    "בנק לאומי",
    "🍎 Fund",
)


@dataclass(frozen=True)
class Read:
    """A row as it was understood: the listing, unless the row was rejected, and what was said about it."""

    listing: Listing | None
    findings: tuple[Finding, ...]

    @property
    def kept(self) -> Listing:
        assert self.listing is not None, self.findings
        return self.listing

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(finding.severity.value, finding.field) for finding in self.findings]


def read_row(convert: Callable[[RowReader], Listing], row: Row) -> Read:
    reader = RowReader(row)
    try:
        return Read(convert(reader), tuple(reader.findings))
    except RowRejected as error:
        return Read(None, (error.finding,))


def read_rows(source: RowSource[Any]) -> list[Read]:
    return [read_row(source.convert, row) for row in source.rows]


def open_source(file: Path, format_name: str | None = None, source: str | None = None) -> RowSource[Any]:
    return file_source(file, format_name=format_name, source=source, counted=lambda _: None)


def written(folder: Path, name: str, content: bytes) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def csv_of(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def generic_row(**fields: Any) -> dict[str, Any]:
    return {"symbol": "AAPL", "asset_class": "equity", "name": "Apple Inc."} | fields


def equity_row(**fields: str) -> dict[str, str]:
    """A row of FinanceDatabase's equities, every column there."""
    columns = dict.fromkeys(FINANCEDATABASE_HEADERS["equities"].split(","), "")
    return columns | {"symbol": "AAPL", "name": "Apple Inc.", "delisted": "False"} | fields


# Formats are told by content.


@pytest.mark.parametrize("kind", FINANCEDATABASE_HEADERS)
def test_a_financedatabase_file_is_told_by_its_columns(tmp_path: Path, kind: str) -> None:
    header = FINANCEDATABASE_HEADERS[kind].split(",")
    content = csv_of([{"symbol": "ABC", "name": "Some Name"}], header)
    source = open_source(written(tmp_path, "whatever.csv", content), financedatabase.NAME)
    assert source.source == f"financedatabase/{kind}"
    (read,) = read_rows(source)
    assert (read.kept.symbol, read.kept.name, read.kept.asset_class) == (
        "ABC",
        "Some Name",
        ASSET_CLASSES[kind],
    )


def test_the_order_of_columns_does_not_matter(tmp_path: Path) -> None:
    header = FINANCEDATABASE_HEADERS["etfs"].split(",")[::-1]
    source = open_source(written(tmp_path, "x.csv", csv_of([{"symbol": "ABC"}], header)))
    assert source.source == "financedatabase/etfs"


@pytest.mark.parametrize(
    ("name", "mic"),
    [("nasdaq.json", "XNAS"), ("NYSE.json", "XNYS"), ("amex.json.xz", "XASE"), ("nyse.2026.json", "XNYS")],
)
def test_us_listings_take_the_venue_from_the_file_name(tmp_path: Path, name: str, mic: str) -> None:
    source = open_source(written(tmp_path, name, LISTINGS), us_listings.NAME)
    assert source.source == f"us-listings/{name.partition('.')[0].lower()}"
    (read,) = read_rows(source)
    assert (read.kept.mic, read.kept.currency, read.kept.country) == (mic, "USD", "US")
    assert read.kept.attributes == {"size_class": SizeClass.MEGA}
    assert read.findings == ()


@pytest.mark.parametrize(
    ("name", "content", "format_name"),
    [
        ("rows.csv", CSV, generic.CSV),
        ("rows.json", CSV, generic.CSV),
        ("rows", CSV, generic.CSV),
        ("bom.csv", b"\xef\xbb\xbf" + CSV, generic.CSV),
        ("windows.csv", CSV.replace(b"\n", b"\r\n"), generic.CSV),
        ("spaced.csv", CSV.replace(b"symbol,asset_class", b" symbol , asset_class "), generic.CSV),
        ("rows.ndjson", NDJSON, generic.NDJSON),
        ("rows.csv", NDJSON, generic.NDJSON),
        ("nasdaq.json", NDJSON, generic.NDJSON),
        ("gaps.ndjson", b"\n\n" + NDJSON + b"\n  \n", generic.NDJSON),
    ],
)
def test_generic_files_are_told_by_content(
    tmp_path: Path, name: str, content: bytes, format_name: str
) -> None:
    source = open_source(written(tmp_path, name, content))
    assert (source.name, source.source) == (name, format_name)
    (read,) = read_rows(source)
    assert read.kept == Listing("AAPL", "Apple Inc.", AssetClass.EQUITY)
    assert read.findings == ()


def test_the_source_can_be_named(tmp_path: Path) -> None:
    assert open_source(written(tmp_path, "rows.csv", CSV), source="our desk").source == "our desk"


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.csv.bz2", "rows.csv.xz", "rows.txt"])
@pytest.mark.parametrize(
    "compress",
    [UNCOMPRESSED, gzip.compress, bz2.compress, lzma.compress],
    ids=["plain", "gz", "bz2", "xz"],
)
def test_compression_is_told_by_content_whatever_the_name(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    (read,) = read_rows(open_source(written(tmp_path, name, compress(CSV))))
    assert read.kept.name == "Apple Inc."


def test_bytes_read_from_the_disk_are_counted(tmp_path: Path) -> None:
    content = gzip.compress(CSV * 100)
    counts: list[int] = []
    file = written(tmp_path, "rows.csv.gz", content)
    source = file_source(file, format_name=None, source=None, counted=counts.append)
    assert counts == [], "detection does not count"
    read_rows(source)
    assert sum(counts) == len(content)


# Folders are walked.


def test_folders_are_walked_for_importable_files(tmp_path: Path) -> None:
    importable = ["a.csv", "b/c.JSON", "b/d/e.ndjson.gz", "b/f.jsonl.bz2", "g.csv.xz"]
    for name in [*importable, "LICENSE", "README.md", "b/archive.zip", "h.xz", "b/i.csv.zip"]:
        written(tmp_path, name, CSV)
    (tmp_path / "folder.csv").mkdir()
    found = find_files([tmp_path])
    assert [str(file.relative_to(tmp_path)) for file in found] == importable


def test_a_file_named_twice_is_read_once_and_may_have_any_ending(tmp_path: Path) -> None:
    file, other = written(tmp_path, "rows.csv", CSV), written(tmp_path, "export.txt", CSV)
    assert find_files([other, file, tmp_path]) == [other, file]


# What cannot be imported is said clearly.


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match=r"nowhere\.csv does not exist"):
        find_files([tmp_path / "nowhere.csv"])


def test_a_file_that_is_gone_meanwhile_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match=r"gone\.csv cannot be read: No such file"):
        open_source(tmp_path / "gone.csv")


def test_a_folder_without_importable_files_says_what_was_looked_for(tmp_path: Path) -> None:
    written(tmp_path, "README.md", b"# nothing")
    with pytest.raises(ImportFailed, match=r"holds no file ending in \.csv, .*\.gz, \.bz2, \.xz"):
        find_files([tmp_path])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("prose.csv", b"Once upon a time\n"),
        ("other.csv", b"ticker,isin\nAAPL,US0378331005\n"),
        ("nearly.csv", b"symbol,name,currency,summary,family\nA,B,USD,,\n"),
        ("utf16.csv", CSV.decode().encode("utf-16")),
        ("listings.json", LISTINGS),
        ("nasdaq-old.json", LISTINGS),
        ("archive.csv", b"PK\x03\x04\x14\x00\x08\x00"),
    ],
)
def test_an_unknown_format_is_refused_with_what_is_known(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(ImportFailed) as refused:
        open_source(written(tmp_path, name, content))
    message = str(refused.value)
    assert f"{name} is in no known format" in message
    assert "asset_class and symbol" in message
    assert "nasdaq, nyse, amex" in message


@pytest.mark.parametrize(
    ("name", "content", "is_in"),
    [
        ("rows.csv", CSV, generic.CSV),
        ("rows.ndjson", NDJSON, generic.NDJSON),
        ("nyse.json", LISTINGS, us_listings.NAME),
        ("x.csv", FINANCEDATABASE_HEADERS["etfs"].encode(), financedatabase.NAME),
    ],
)
def test_a_format_that_is_insisted_on_must_be_the_files(
    tmp_path: Path, name: str, content: bytes, is_in: str
) -> None:
    file = written(tmp_path, name, content)
    for format_name in FORMATS:
        if format_name == is_in:
            open_source(file, format_name)
            continue
        with pytest.raises(ImportFailed, match=f"is in the format {is_in}, not {format_name}"):
            open_source(file, format_name)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_a_torn_file_is_refused(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    content = compress(CSV)[:-16]
    with pytest.raises(ImportFailed, match=r"torn\.csv cannot be read to its end"):
        read_rows(open_source(written(tmp_path, "torn.csv", content)))


def test_a_file_torn_far_behind_its_head_is_refused_while_rows_are_read(tmp_path: Path) -> None:
    names = (sha256(b"%d" % number).hexdigest() for number in range(20_000))  # hardly compressible
    lines = "".join(f"{name[:16]},equity,{name}\n" for name in names).encode()
    content = lzma.compress(b"symbol,asset_class,name\n" + lines)
    source = open_source(written(tmp_path, "torn.csv.xz", content[: len(content) // 2]))
    next(source.rows)
    with pytest.raises(ImportFailed, match=r"torn\.csv\.xz cannot be read to its end"):
        list(source.rows)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, encoding: str) -> None:
    content = "symbol,asset_class,name\nZURN,equity,Zürich\n".encode(encoding)
    with pytest.raises(ImportFailed, match=r"rows\.csv is not UTF-8: .*; convert it first"):
        read_rows(open_source(written(tmp_path, "rows.csv", content)))


def test_a_broken_json_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="is no JSON array"):
        read_rows(open_source(written(tmp_path, "nyse.json", LISTINGS[:-1])))


def test_a_field_of_a_megabyte_is_refused(tmp_path: Path) -> None:
    content = CSV + b'B,equity,"' + b"x" * (1 << 20) + b'x"\n'
    with pytest.raises(ImportFailed, match="field larger than field limit"):
        read_rows(open_source(written(tmp_path, "rows.csv", content)))


def test_a_broken_line_of_ndjson_rejects_that_line_only(tmp_path: Path) -> None:
    reads = read_rows(open_source(written(tmp_path, "x.ndjson", NDJSON + b'{oops\n["AAPL"]\n' + NDJSON)))
    assert [read.listing is not None for read in reads] == [True, False, False, True]
    assert "is not a JSON object" in reads[1].findings[0].reason
    assert "is not a JSON object" in reads[2].findings[0].reason


def test_what_is_no_object_in_a_json_array_is_rejected_alone(tmp_path: Path) -> None:
    reads = read_rows(open_source(written(tmp_path, "nyse.json", b'["A", 1, null, ' + LISTINGS[1:])))
    assert [read.listing is not None for read in reads] == [False, False, False, True]
    assert reads[0].said == [("rejected", "symbol")]


# FinanceDatabase's rows.


@pytest.mark.parametrize("size", SizeClass)
def test_size_classes_are_read(size: SizeClass) -> None:
    read = read_row(financedatabase.equity, equity_row(market_cap=f"{size.value.title()} Cap"))
    assert (read.kept.attributes, read.findings) == ({"size_class": size.value}, ())


def test_an_unknown_size_class_is_dropped() -> None:
    read = read_row(financedatabase.equity, equity_row(market_cap="Giant Cap"))
    assert (read.kept.attributes, read.said) == ({}, [("dropped", "market_cap")])


@pytest.mark.parametrize(
    ("code", "currency", "unit"),
    [
        ("USD", "USD", None),
        ("GBX", "GBP", "GBX"),
        ("GBp", "GBP", "GBp"),
        ("ZAC", "ZAR", "ZAC"),
        ("ILA", "ILS", "ILA"),
        ("", None, None),
    ],
)
def test_a_quotation_unit_keeps_its_currency(code: str, currency: str | None, unit: str | None) -> None:
    read = read_row(financedatabase.equity, equity_row(currency=code))
    assert read.kept.currency == currency
    assert read.kept.attributes.get("quotation_unit") == unit
    assert read.findings == ()


def test_an_unknown_currency_is_dropped() -> None:
    read = read_row(financedatabase.equity, equity_row(currency="QQQ"))
    assert (read.kept.currency, read.said) == (None, [("dropped", "currency")])


def test_identifiers_are_verified_and_canonical() -> None:
    row = equity_row(isin="us0378331005", cusip="037833100", shareclass_figi="bbg000b9xry4")
    read = read_row(financedatabase.equity, row)
    assert read.kept.identifiers == {
        "isin": "US0378331005",
        "cusip": "037833100",
        "share_class_figi": "BBG000B9XRY4",
    }
    assert read.findings == ()


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [
        ("isin", "US0378331006", "isin"),
        ("cusip", "037833101", "cusip"),
        ("figi", "BBG000B9XRY5", "figi"),
        ("composite_figi", "BBG000B9XRY5", "composite_figi"),
        ("shareclass_figi", "n/a", "share_class_figi"),
    ],
)
def test_a_wrong_check_digit_drops_the_identifier_alone(column: str, value: str, field: str) -> None:
    read = read_row(financedatabase.equity, equity_row(**{column: value}))
    assert read.kept.identifiers == {}
    assert read.said == [("dropped", field)]
    assert read.findings[0].value == value


@pytest.mark.parametrize("name", ["", " \t ", "x" * (MAX_NAME_LENGTH + 1)])
def test_a_missing_name_is_told(name: str) -> None:
    read = read_row(financedatabase.equity, equity_row(name=name))
    assert read.kept.name is None
    assert ("replaced", "name") in read.said


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("South Korea", "KR", []),
        ("US", "US", []),
        ("", None, []),
        ("Netherlands Antilles", None, [("dropped", "country")]),
        ("Atlantis", None, [("dropped", "country")]),
    ],
)
def test_an_unknown_country_is_dropped(name: str, code: str | None, said: list[tuple[str, str]]) -> None:
    read = read_row(financedatabase.equity, equity_row(country=name))
    assert (read.kept.country, read.said) == (code, said)


@pytest.mark.parametrize(
    ("mic", "exchange", "expected", "said"),
    [
        ("XNAS", "NMS", "XNAS", []),
        ("xnas", "NMS", "XNAS", []),
        ("ZZZZ", "NMS", "ZZZZ", []),
        ("", "NMS", "XNAS", []),
        ("", "NIM", None, []),
        ("Nasdaq", "NMS", "XNAS", [("dropped", "mic")]),
        ("XNÄS", "", None, [("dropped", "mic")]),
    ],
)
def test_a_bad_mic_is_dropped_and_the_exchange_code_stands_in(
    mic: str, exchange: str, expected: str | None, said: list[tuple[str, str]]
) -> None:
    read = read_row(financedatabase.equity, equity_row(mic=mic, exchange=exchange))
    assert (read.kept.mic, read.kept.exchange, read.said) == (expected, exchange or None, said)


@pytest.mark.parametrize(
    ("text", "status"), [("True", Status.DELISTED), ("False", Status.ACTIVE), ("", Status.ACTIVE)]
)
def test_delisted_is_read(text: str, status: Status) -> None:
    assert read_row(financedatabase.equity, equity_row(delisted=text)).kept.status is status


@pytest.mark.parametrize(("quote", "currency"), [("CAD", "CAD"), ("DRX", None), ("XAU", "XAU")])
def test_a_currency_pair_keeps_a_quote_that_is_no_currency(quote: str, currency: str | None) -> None:
    row = {"symbol": "X=X", "name": "X", "base_currency": "USD", "quote_currency": quote, "exchange": "CCY"}
    read = read_row(CONVERTERS["currencies"], row)
    assert (read.kept.currency, read.kept.exchange) == (currency, "CCY")
    assert read.kept.attributes == {"base_currency": "USD", "quote_currency": quote}
    assert read.findings == ()


@pytest.mark.parametrize(("quote", "currency"), [("CAD", "CAD"), ("BTC", None)])
def test_a_crypto_keeps_a_quote_that_is_no_currency(quote: str, currency: str | None) -> None:
    row = {"symbol": f"ETH-{quote}", "name": "Ethereum", "cryptocurrency": "ETH", "currency": quote}
    read = read_row(CONVERTERS["cryptos"], row)
    assert read.kept.currency == currency
    assert read.kept.attributes == {"base_currency": "ETH", "quote_currency": quote}
    assert read.findings == ()


@pytest.mark.parametrize("symbol", ["", "  ", "x" * 33, "A\x07B", "A\0B"])
def test_a_row_without_a_usable_symbol_is_rejected(symbol: str) -> None:
    read = read_row(financedatabase.equity, equity_row(symbol=symbol))
    assert read.listing is None
    assert read.said == [("rejected", "symbol")]


@pytest.mark.parametrize(
    ("market_cap", "size", "said"),
    [
        ("200000000000.00", "mega", []),
        ("199999999999", "large", []),
        (50_000_000, "micro", []),
        ("0.00", None, []),
        ("", None, []),
        ("n/a", None, [("dropped", "marketCap")]),
    ],
)
def test_us_listings_become_size_classes(
    market_cap: str | int, size: str | None, said: list[tuple[str, str]]
) -> None:
    row = {"symbol": "ABC", "name": "Abc Corp", "marketCap": market_cap}
    read = read_row(us_listings.converter("amex"), row)
    assert (read.kept.attributes.get("size_class"), read.said) == (size, said)


# Generic rows.


def test_every_generic_field_is_read(tmp_path: Path) -> None:
    row = generic_row(
        asset_class="Future",
        status="Suspended",
        mic="XCME",
        exchange="CME",
        currency="usd",
        country="United States",
        sector="Index",
        industry="Equity index",
        isin="US0378331005",
        cfi="ffiCsx",
        aliases="ES| E-mini |ES|",
        listed_on="2026-01-31",
        delisted_on="2999-03-20",
        tick_size="0.25",
        lot_size="50",
        contract='{"multiplier":"50"}',
        attributes='{"family":"Equity","days":5}',
    )
    expected = Listing(
        symbol="AAPL",
        name="Apple Inc.",
        asset_class=AssetClass.FUTURE,
        status=Status.SUSPENDED,
        mic="XCME",
        exchange="CME",
        currency="USD",
        country="US",
        sector="Index",
        industry="Equity index",
        identifiers={"isin": "US0378331005"},
        cfi="FFICSX",
        aliases=("ES", "E-mini"),
        listed_on=date(2026, 1, 31),
        delisted_on=date(2999, 3, 20),
        tick_size=Decimal("0.25"),
        lot_size=Decimal(50),
        contract={"multiplier": "50"},
        attributes={"family": "Equity", "days": "5"},
    )
    as_json = row | {
        "aliases": ["ES", " E-mini ", "ES", ""],
        "tick_size": 0.25,
        "lot_size": 50,
        "contract": {"multiplier": "50"},
        "attributes": {"family": "Equity", "days": 5},
        "identifiers": {"isin": row["isin"]},
    }
    del as_json["isin"]
    files = {"rows.csv": csv_of([row], list(row)), "rows.ndjson": orjson.dumps(as_json)}
    for name, content in files.items():
        (read,) = read_rows(open_source(written(tmp_path, name, content)))
        assert (read.kept, read.findings) == (expected, ()), name


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"ticker": "AAPL"}, "ticker"),
        ({"market_cap": ""}, "market_cap"),
        ({"identifiers": {"isbn": "9"}}, "isbn"),
        ({"asset_class": "stock"}, "asset_class"),
        ({"asset_class": ""}, "asset_class"),
        ({"asset_class": None}, "asset_class"),
        ({"status": "gone"}, "status"),
        ({"symbol": None}, "symbol"),
        ({"listed_on": "2026-02-01", "delisted_on": "2026-01-31"}, "delisted_on"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_naming_the_field(fields: dict[str, Any], field: str) -> None:
    read = read_row(generic.convert, generic_row(**fields))
    assert read.listing is None
    assert read.said == [("rejected", field)]


def test_an_unknown_column_is_refused_with_those_that_are_known() -> None:
    (finding,) = read_row(generic.convert, generic_row(ticker="AAPL")).findings
    assert (finding.severity, finding.field, finding.value) == (Severity.REJECTED, "ticker", "AAPL")
    assert "unknown field; known are aliases, asset_class, attributes" in finding.reason


def test_a_row_longer_than_the_header_is_rejected_and_a_shorter_one_is_read(tmp_path: Path) -> None:
    content = b"symbol,asset_class,name\nLONG,equity,Long,surplus\nSHORT,equity\n"
    long, short = read_rows(open_source(written(tmp_path, "rows.csv", content)))
    assert long.said == [("rejected", "(values beyond the header)")]
    assert short.kept.symbol == "SHORT"


@pytest.mark.parametrize(
    ("field", "value", "empty"),
    [
        ("listed_on", "31.01.2026", None),
        ("listed_on", "2026-02-30", None),
        ("listed_on", "20260131", None),
        ("delisted_on", "soon", None),
        ("tick_size", "0", None),
        ("tick_size", "-0.01", None),
        ("tick_size", "0,01", None),
        ("tick_size", "NaN", None),
        ("lot_size", "Infinity", None),
        ("lot_size", True, None),
        ("cfi", "ESVUF", None),
        ("cfi", "ESVUF1", None),
        ("cfi", "ESVUFQ", None),
        ("country", "Atlantis", None),
        ("currency", "QQQ", None),
        ("mic", "NASDAQ", None),
        ("exchange", "x" * 33, None),
        ("sector", "x" * 101, None),
        ("sector", ["Energy"], None),
        ("aliases", ["Apple", 1], ()),
        ("aliases", {"a": "b"}, ()),
        ("contract", "[1]", None),
        ("contract", "{broken", None),
        ("contract", [1], None),
        ("attributes", "text", {}),
        ("attributes", ["a"], {}),
    ],
)
def test_a_bad_value_is_dropped_with_a_finding(field: str, value: object, empty: object) -> None:
    read = read_row(generic.convert, generic_row(**{field: value}))
    assert getattr(read.kept, field) == empty
    assert read.said == [("dropped", field)]


@pytest.mark.parametrize(
    "field", ["isin", "cusip", "sedol", "figi", "composite_figi", "share_class_figi", "lei"]
)
def test_a_bad_identifier_is_dropped_with_a_finding(field: str) -> None:
    read = read_row(generic.convert, generic_row(**{field: "123"}))
    assert (read.kept.identifiers, read.said) == ({}, [("dropped", field)])


def test_a_bad_attribute_is_dropped_alone() -> None:
    attributes = {"good": "kept", "number": 1.5, "long": "x" * 301, "nested": {"a": 1}, "nothing": None}
    read = read_row(generic.convert, generic_row(attributes=attributes))
    assert read.kept.attributes == {"good": "kept", "number": "1.5"}
    dropped = ("attributes.long", "attributes.nested", "attributes.nothing")
    assert read.said == [("dropped", field) for field in dropped]


def test_aliases_beyond_fifty_are_dropped_with_a_finding() -> None:
    read = read_row(generic.convert, generic_row(aliases="|".join(f"Alias {n}" for n in range(60))))
    assert len(read.kept.aliases) == 50
    assert read.said == [("dropped", "aliases")]


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_names_of_any_script_and_punctuation_are_kept(tmp_path: Path, name: str) -> None:
    row = generic_row(name=name)
    for file, content in {"x.csv": csv_of([row], list(row)), "x.ndjson": orjson.dumps(row)}.items():
        (read,) = read_rows(open_source(written(tmp_path, file, content)))
        assert (read.kept.name, read.findings) == (name, ())


def test_a_line_break_inside_a_quoted_name_is_white_space(tmp_path: Path) -> None:
    rows = [generic_row(name="Two\r\nLines,  Inc."), generic_row(symbol="NEXT", name="Next")]
    reads = read_rows(open_source(written(tmp_path, "x.csv", csv_of(rows, list(rows[0])))))
    assert [read.kept.name for read in reads] == ["Two Lines, Inc.", "Next"]


# The bundled sample.


def test_the_sample_is_real_and_no_row_of_it_is_rejected() -> None:
    reads = read_rows(sample_source())
    assert len(reads) > 3000
    assert all(read.listing is not None for read in reads)
    assert {finding.severity for read in reads for finding in read.findings} <= {Severity.DROPPED}
    by_symbol = {read.kept.symbol: read.kept for read in reads}
    assert by_symbol["AAPL"].identifiers == {"isin": "US0378331005"}
    assert by_symbol["^GSPC"].asset_class is AssetClass.INDEX
    assert (by_symbol["EURUSD=X"].currency, by_symbol["JPY=X"].name) == ("USD", "USD/JPY")


def test_a_listing_comes_once_in_the_sample() -> None:
    keys = [(read.kept.venue, read.kept.symbol) for read in read_rows(sample_source())]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("file_name", "content"),
    [
        ("x.ndjson", b"\xef\xbb\xbf" + NDJSON),
        ("nasdaq.json", b"\xef\xbb\xbf" + b'[{"symbol": "AAPL", "name": "Apple Inc."}]'),
        ("rows.csv", b"\xef\xbb\xbf" + CSV),
        ("rows.csv", b"\n\n" + CSV),
    ],
)
def test_a_byte_order_mark_or_a_blank_first_line_does_no_harm(
    tmp_path: Path, file_name: str, content: bytes
) -> None:
    reads = read_rows(open_source(written(tmp_path, file_name, content)))
    assert reads and all(read.listing is not None for read in reads)


@pytest.mark.parametrize("content", [b"symbol,asset_class\rA,equity\r", b"\x00\x01a\rb\x02\n"])
def test_what_the_csv_reader_refuses_is_an_import_that_failed(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ImportFailed):
        read_rows(open_source(written(tmp_path, "rows.csv", content)))


def test_a_line_of_a_megabyte_is_refused(tmp_path: Path) -> None:
    content = NDJSON + b'{"symbol": "' + b"x" * (1 << 20) + b'"}\n'
    with pytest.raises(ImportFailed, match="1 MiB"):
        read_rows(open_source(written(tmp_path, "x.ndjson", content)))
