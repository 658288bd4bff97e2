"""Country names as publishers write them to ISO 3166-1 alpha-2 codes."""

from functools import cache
from typing import Final

import pycountry

_SPELLINGS: Final = {
    "ivory coast": "CI",
    "macau": "MO",
    "macedonia": "MK",
    "russia": "RU",
    "turkey": "TR",
    "u.s. virgin islands": "VI",
    "british virgin islands": "VG",
    "republic of the congo": "CG",
    "curacao": "CW",
    "falkland islands": "FK",
    "south korea": "KR",
    "united states of america": "US",
    "uk": "GB",
    "great britain": "GB",
    "holland": "NL",
    "brunei": "BN",
    "cape verde": "CV",
    "cote d'ivoire": "CI",
    "palestine": "PS",
    "swaziland": "SZ",
    "vatican city": "VA",
}
"""What pycountry's names, common names and official names do not cover."""


@cache
def country_code(name: str) -> str | None:
    """The alpha-2 code of a country named in English or given as a code; None if it is none today."""
    text = name.strip()
    if spelling := _SPELLINGS.get(text.lower()):
        return spelling
    try:
        return str(pycountry.countries.lookup(text).alpha_2)
    except LookupError:
        return None


@cache
def _us_states() -> frozenset[str]:
    """Read when the first is asked for: pycountry takes a while."""
    return frozenset(state.name for state in pycountry.subdivisions.get(country_code="US"))  # type: ignore[no-untyped-call]


@cache
def country_of_place(place: str) -> str | None:
    """The country of a place such as `Dublin, Ireland` or `Atlanta, Georgia`, read from its last part.

    After a comma a state of the United States is meant before a country of the same name: only
    United States publishers leave the country out.
    """
    _, comma, last = place.rpartition(",")
    last = last.strip()
    return "US" if comma and last in _us_states() else country_code(last)
