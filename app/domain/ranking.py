"""Which of several matching instruments comes first: named weights, and nothing else.

Within one tier of a search (exact match, symbol prefix, ...) instruments stand in the order of
their prominence, a number built from facts that rarely change. Its unit is one point.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from app.domain.instrument import AssetClass, SizeClass, Status
from app.domain.venues import VENUES

MAX_PROMINENCE: Final = 8191
"""13 bits, so that prominence and a 40-bit instrument number fit a double's 53 bits exactly."""

STATUS_POINTS: Final[Mapping[str, int]] = MappingProxyType(
    {Status.ACTIVE: 3000, Status.SUSPENDED: 1500, Status.DELISTED: 0}
)
ASSET_CLASS_POINTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        AssetClass.EQUITY: 300,
        AssetClass.INDEX: 260,
        AssetClass.ETF: 250,
        AssetClass.CURRENCY: 220,
        AssetClass.CRYPTO: 200,
        AssetClass.FUTURE: 150,
        AssetClass.BOND: 150,
        AssetClass.FUND: 100,
        AssetClass.OPTION: 60,
        AssetClass.MONEY_MARKET: 50,
    }
)
SIZE_POINTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        SizeClass.MEGA: 600,
        SizeClass.LARGE: 450,
        SizeClass.MID: 300,
        SizeClass.SMALL: 150,
        SizeClass.MICRO: 80,
        SizeClass.NANO: 40,
    }
)
PRIMARY_POINTS: Final = 200
"""A venue's own weight (0 to 100) is added to these."""


def prominence(
    status: str, asset_class: str, size_class: str | None, mic: str | None, *, primary: bool
) -> int:
    """Points from 0 to MAX_PROMINENCE; more comes first."""
    venue = VENUES.get(mic) if mic else None
    return (
        STATUS_POINTS[status]
        + ASSET_CLASS_POINTS[asset_class]
        + (SIZE_POINTS.get(size_class, 0) if size_class else 0)
        + (PRIMARY_POINTS if primary else 0)
        + (venue.weight if venue else 0)
    )


def rank(points: int, number: int) -> int:
    """A sort key that is unique per instrument: ascending order is most prominent first.

    `number` is the instrument's (below 2**40); it decides between equals, so that pages never
    overlap. The result is below 2**53 and so exact as a RediSearch NUMERIC.
    """
    return (MAX_PROMINENCE - points) << 40 | number


def ranked_number(rank: int) -> int:
    """The instrument's number that a sort key was made of."""
    return rank & (1 << 40) - 1
