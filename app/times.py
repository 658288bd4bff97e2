"""Moments as text: RFC 3339 in UTC, as evidence and reports have them."""

from datetime import UTC, datetime
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["seconds", "milliseconds"]


def utc_text(moment: datetime | None = None, unit: Unit = "seconds") -> str:
    """Of now where no moment is given; what is finer than `unit` is cut off."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec=unit).replace("+00:00", "Z")


def utc_now() -> str:
    """For what comes several times a second."""
    return utc_text(unit="milliseconds")


def utc_text_of(seconds: float) -> str:
    """Of seconds since 1970."""
    return utc_text(datetime.fromtimestamp(seconds, UTC))
