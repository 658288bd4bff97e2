"""Trading venues: ISO 10383 MIC, ISO 3166 country, weight in ranking, and publishers' own codes.

The weight (0 to 100) stands for how much of the world looks at a venue's lines: an issuer's home
market before the regional and foreign lines of the same share. A MIC that is not listed here is
accepted with weight 0. `codes` are the exchange codes of FinanceDatabase (Yahoo's), of
pytickersymbols (Google's) and of the United States listings files. `bloomberg` are the codes that
Bloomberg, and so OpenFIGI, has for the venue, the usual one first; `composite` is its code for all
venues of the country together (for a country of one venue the same), "" where there is none.
`suffixes` are what Yahoo, and so FinanceDatabase, adds to the ticker behind a dot: SIE.DE at XETR.
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
    bloomberg: tuple[str, ...]
    composite: str
    suffixes: tuple[str, ...]


_TABLE: Final = (
    # mic, country, weight, codes, bloomberg, composite, suffixes
    ("XNAS", "US", 100, "NASDAQ NMS NGM NCM", "UW UQ UR", "US", ""),
    ("XNYS", "US", 100, "NYSE NYQ NYS", "UN", "US", ""),
    ("ARCX", "US", 95, "NYSEARCA PCX", "UP", "US", ""),
    ("BATS", "US", 90, "BTS", "UF", "US", ""),
    ("XASE", "US", 90, "AMEX NYSEAMERICAN ASE", "UA", "US", ""),
    ("OTCM", "US", 30, "OTCMKTS PNK OID OQB NAE OBB OEM OQX", "PQ UV UU", "US", ""),
    ("XCME", "US", 60, "CME", "CME", "", ""),
    ("XNYM", "US", 60, "NYM", "NYM", "", ""),
    ("XTSE", "CA", 90, "TSX TOR", "CT", "CN", "TO"),
    ("XTSX", "CA", 60, "TSXV VAN", "CV", "CN", "V"),
    ("NEOE", "CA", 50, "NEO", "QF QH", "CN", "NE"),
    ("XCNQ", "CA", 50, "CNQ", "CF", "CN", "CN"),
    ("XMEX", "MX", 40, "MEX", "MM", "MM", "MX"),
    ("BVMF", "BR", 70, "BVMF SAO", "BS BV", "BZ", "SA"),
    ("XBUE", "AR", 30, "BUE", "AF", "AR", "BA"),
    ("XSGO", "CL", 35, "SGO", "CC", "CI", "SN"),
    ("BVCA", "VE", 20, "CCS", "VS", "VC", "CR"),
    ("XLON", "GB", 95, "LON LSE IOB", "LN LI", "LN", "L IL"),
    ("AQXE", "GB", 40, "AQS", "QX", "QX", "AQ"),
    ("XETR", "DE", 95, "ETR GER", "GY", "GR", "DE"),
    ("XFRA", "DE", 60, "FRA", "GF", "GR", "F"),
    ("XSTU", "DE", 40, "STU", "GS", "GR", "SG"),
    ("XMUN", "DE", 30, "MUN", "GM", "GR", "MU"),
    ("XDUS", "DE", 30, "DUS", "GD", "GR", "DU"),
    ("XBER", "DE", 25, "BER", "GB", "GR", "BE"),
    ("XHAM", "DE", 25, "HAM", "GH", "GR", "HM"),
    ("XHAN", "DE", 25, "HAN", "GI", "GR", "HA"),
    ("XPAR", "FR", 95, "EPA PAR", "FP", "FP", "PA"),
    ("XAMS", "NL", 92, "AMS", "NA", "NA", "AS"),
    ("XBRU", "BE", 85, "EBR BRU", "BB", "BB", "BR"),
    ("XLIS", "PT", 80, "ELI LIS", "PL", "PL", "LS"),
    ("XDUB", "IE", 80, "ISE", "ID", "ID", "IR"),
    ("XMIL", "IT", 85, "BIT MIL", "IM", "IM", "MI"),
    ("ETLX", "IT", 25, "TLO", "TE", "TE", "TI"),
    ("XMAD", "ES", 85, "BME MCE", "SQ SN", "SM", "MC"),
    ("XSWX", "CH", 92, "SWX EBS ZRH", "SE VX", "SW", "SW Z"),
    ("XWBO", "AT", 50, "VIE", "AV", "AV", "VI"),
    ("XSTO", "SE", 85, "STO", "SS", "SS", "ST"),
    ("XCSE", "DK", 85, "CPH", "DC", "DC", "CO"),
    ("XHEL", "FI", 85, "HEL", "FH", "FH", "HE"),
    ("XOSL", "NO", 80, "OSL", "NO", "NO", "OL"),
    ("XICE", "IS", 50, "ICE", "IR", "IR", "IC"),
    ("XTAL", "EE", 40, "TAL", "ET", "ET", ""),
    ("XRIS", "LV", 40, "RIS", "LG", "LR", "RG"),
    ("XLIT", "LT", 40, "LIT", "LH", "LH", "VS"),
    ("XPRA", "CZ", 50, "PRA", "CK", "CP", "PR"),
    ("XBUD", "HU", 50, "BUD", "HB", "HB", "BD"),
    ("XWAR", "PL", 60, "WSE", "PW", "PW", "WA"),
    ("ASEX", "GR", 50, "ATH", "GA", "GA", "AT"),
    ("XIST", "TR", 60, "IST", "TI", "TI", "IS"),
    ("MISX", "RU", 50, "MCX", "RX", "RM", "ME"),
    ("XTAE", "IL", 60, "TLV", "IT", "IT", "TA"),
    ("XSAU", "SA", 60, "SAU", "AB", "AB", "SR"),
    ("DSMD", "QA", 50, "DOH", "QD", "QD", "QA"),
    ("XCAI", "EG", 40, "CAI", "EC", "EY", "CA"),
    ("XJSE", "ZA", 65, "JNB", "SJ", "SJ", "JO"),
    ("XJPX", "JP", 92, "TYO JPX", "JT", "JP", "T"),
    ("XOSE", "JP", 60, "OSA", "JO", "JP", "OS"),
    ("XFKA", "JP", 30, "FKA", "JF", "JP", "F"),
    ("XSAP", "JP", 30, "SAP", "JS", "JP", ""),
    ("XHKG", "HK", 92, "HKG", "HK", "HK", "HK"),
    ("XSHG", "CN", 85, "SHH", "CG", "CH", "SS"),
    ("XSHE", "CN", 85, "SHZ", "CS", "CH", "SZ"),
    ("XTAI", "TW", 85, "TAI", "TT", "TT", "TW"),
    ("ROCO", "TW", 50, "TWO", "TT", "TT", "TWO"),
    ("XKRX", "KR", 85, "KSC", "KP", "KS", "KS"),
    ("XKOS", "KR", 60, "KOE", "KQ", "KS", "KQ"),
    ("XNSE", "IN", 85, "NSE NSI", "IS", "IN", "NS"),
    ("XBOM", "IN", 75, "BOM BSE", "IB", "IN", "BO"),
    ("XSES", "SG", 75, "SES", "SP", "SP", "SI"),
    ("XBKK", "TH", 60, "SET", "TB", "TB", "BK"),
    ("XKLS", "MY", 60, "KLS", "MK", "MK", "KL"),
    ("XIDX", "ID", 60, "JKT", "IJ", "IJ", "JK"),
    ("XPHS", "PH", 50, "PHS", "PM", "PM", ""),
    ("XCOL", "LK", 30, "CSE", "SL", "SL", "CM"),
    ("XASX", "AU", 90, "ASX", "AT", "AU", "AX"),
    ("XNZE", "NZ", 70, "NZE", "NZ", "NZ", "NZ"),
)

VENUES: Final = MappingProxyType(
    {
        mic: Venue(
            mic,
            country,
            weight,
            tuple(codes.split()),
            tuple(bloomberg.split()),
            composite,
            tuple(suffixes.split()),
        )
        for mic, country, weight, codes, bloomberg, composite, suffixes in _TABLE
    }
)

_MIC_OF_CODE: Final = MappingProxyType({code: venue.mic for venue in VENUES.values() for code in venue.codes})

_MICS_OF_BLOOMBERG: Final = MappingProxyType(
    {
        code: tuple(v.mic for v in VENUES.values() if code == v.composite or code in v.bloomberg)
        for venue in VENUES.values()
        for code in (*venue.bloomberg, *filter(None, [venue.composite]))
    }
)
"""Bloomberg's exchange and composite codes -> the MICs that each covers."""

_MICS_OF_SUFFIX: Final = MappingProxyType(
    {
        suffix: tuple(v.mic for v in VENUES.values() if suffix in v.suffixes)
        for venue in VENUES.values()
        for suffix in venue.suffixes
    }
)
"""Yahoo's suffixes -> the MICs that each stands for."""


def mic_of_code(code: str) -> str | None:
    """The MIC that a publisher's exchange code stands for; None where it names no market that we know.

    FinanceDatabase's NAS (mutual funds) and NIM (Nasdaq's index feed) are quotation services, not
    markets, so they have none.
    """
    return _MIC_OF_CODE.get(code.upper())


def mics_of_bloomberg(code: str) -> tuple[str, ...]:
    """The MICs that Bloomberg's code covers: one of an exchange, all of a country's of a composite.

    In any case; empty where the code is not known.
    """
    return _MICS_OF_BLOOMBERG.get(code.upper(), ())


def mics_of_suffix(suffix: str) -> tuple[str, ...]:
    """The MICs for which Yahoo's suffix stands; empty where it is not known."""
    return _MICS_OF_SUFFIX.get(suffix, ())


def bloomberg_codes() -> tuple[str, ...]:
    """All of Bloomberg's codes that `mics_of_bloomberg` knows, in alphabetical order."""
    return tuple(sorted(_MICS_OF_BLOOMBERG))
