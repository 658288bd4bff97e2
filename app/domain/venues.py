"""Trading venues: ISO 10383 MIC, ISO 3166 country, weight in ranking, and publishers' own codes.

The weight (0 to 100) stands for how much of the world looks at a venue's lines: an issuer's home
market before the regional and foreign lines of the same share. A MIC that is not listed here is
accepted with weight 0. `codes` are the exchange codes of FinanceDatabase (Yahoo's), of
pytickersymbols (Google's) and of the United States listings files.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Venue:
    mic: str
    country: str
    weight: int
    codes: tuple[str, ...]


_TABLE: Final = (
    # mic, country, weight, codes
    ("XNAS", "US", 100, "NASDAQ NMS NGM NCM"),
    ("XNYS", "US", 100, "NYSE NYQ NYS"),
    ("ARCX", "US", 95, "NYSEARCA PCX"),
    ("BATS", "US", 90, "BTS"),
    ("XASE", "US", 90, "AMEX NYSEAMERICAN ASE"),
    ("OTCM", "US", 30, "OTCMKTS PNK OID OQB NAE OBB OEM OQX"),
    ("XCME", "US", 60, "CME"),
    ("XNYM", "US", 60, "NYM"),
    ("XTSE", "CA", 90, "TSX TOR"),
    ("XTSX", "CA", 60, "TSXV VAN"),
    ("NEOE", "CA", 50, "NEO"),
    ("XCNQ", "CA", 50, "CNQ"),
    ("XMEX", "MX", 40, "MEX"),
    ("BVMF", "BR", 70, "BVMF SAO"),
    ("XBUE", "AR", 30, "BUE"),
    ("XSGO", "CL", 35, "SGO"),
    ("BVCA", "VE", 20, "CCS"),
    ("XLON", "GB", 95, "LON LSE IOB"),
    ("AQXE", "GB", 40, "AQS"),
    ("XETR", "DE", 95, "ETR GER"),
    ("XFRA", "DE", 60, "FRA"),
    ("XSTU", "DE", 40, "STU"),
    ("XMUN", "DE", 30, "MUN"),
    ("XDUS", "DE", 30, "DUS"),
    ("XBER", "DE", 25, "BER"),
    ("XHAM", "DE", 25, "HAM"),
    ("XHAN", "DE", 25, "HAN"),
    ("XPAR", "FR", 95, "EPA PAR"),
    ("XAMS", "NL", 92, "AMS"),
    ("XBRU", "BE", 85, "EBR BRU"),
    ("XLIS", "PT", 80, "ELI LIS"),
    ("XDUB", "IE", 80, "ISE"),
    ("XMIL", "IT", 85, "BIT MIL"),
    ("ETLX", "IT", 25, "TLO"),
    ("XMAD", "ES", 85, "BME MCE"),
    ("XSWX", "CH", 92, "SWX EBS ZRH"),
    ("XWBO", "AT", 50, "VIE"),
    ("XSTO", "SE", 85, "STO"),
    ("XCSE", "DK", 85, "CPH"),
    ("XHEL", "FI", 85, "HEL"),
    ("XOSL", "NO", 80, "OSL"),
    ("XICE", "IS", 50, "ICE"),
    ("XTAL", "EE", 40, "TAL"),
    ("XRIS", "LV", 40, "RIS"),
    ("XLIT", "LT", 40, "LIT"),
    ("XPRA", "CZ", 50, "PRA"),
    ("XBUD", "HU", 50, "BUD"),
    ("XWAR", "PL", 60, "WSE"),
    ("ASEX", "GR", 50, "ATH"),
    ("XIST", "TR", 60, "IST"),
    ("MISX", "RU", 50, "MCX"),
    ("XTAE", "IL", 60, "TLV"),
    ("XSAU", "SA", 60, "SAU"),
    ("DSMD", "QA", 50, "DOH"),
    ("XCAI", "EG", 40, "CAI"),
    ("XJSE", "ZA", 65, "JNB"),
    ("XJPX", "JP", 92, "TYO JPX"),
    ("XOSE", "JP", 60, "OSA"),
    ("XFKA", "JP", 30, "FKA"),
    ("XSAP", "JP", 30, "SAP"),
    ("XHKG", "HK", 92, "HKG"),
    ("XSHG", "CN", 85, "SHH"),
    ("XSHE", "CN", 85, "SHZ"),
    ("XTAI", "TW", 85, "TAI"),
    ("ROCO", "TW", 50, "TWO"),
    ("XKRX", "KR", 85, "KSC"),
    ("XKOS", "KR", 60, "KOE"),
    ("XNSE", "IN", 85, "NSE NSI"),
    ("XBOM", "IN", 75, "BOM BSE"),
    ("XSES", "SG", 75, "SES"),
    ("XBKK", "TH", 60, "SET"),
    ("XKLS", "MY", 60, "KLS"),
    ("XIDX", "ID", 60, "JKT"),
    ("XPHS", "PH", 50, "PHS"),
    ("XCOL", "LK", 30, "CSE"),
    ("XASX", "AU", 90, "ASX"),
    ("XNZE", "NZ", 70, "NZE"),
)

VENUES: Final = MappingProxyType(
    {mic: Venue(mic, country, weight, tuple(codes.split())) for mic, country, weight, codes in _TABLE}
)

_MIC_OF_CODE: Final = MappingProxyType({code: venue.mic for venue in VENUES.values() for code in venue.codes})


def mic_of_code(code: str) -> str | None:
    """The MIC that a publisher's exchange code stands for; None where it names no market that we know.

    FinanceDatabase's NAS (mutual funds) and NIM (Nasdaq's index feed) are quotation services, not
    markets, so they have none.
    """
    return _MIC_OF_CODE.get(code.upper())
