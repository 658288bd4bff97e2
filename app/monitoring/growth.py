"""How something grows by the day, and when it reaches a limit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

DAY_S: Final = 86_400.0
DAYS_NEEDED: Final = 4
SURE: Final = 2.0
"""A slope counts as growth from so many of its standard errors on."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A line through daily means, which leave out the rhythm of a day."""

    days: int
    now: float
    """Of the line, at the end."""
    per_day: float
    error: float
    """Standard error of `per_day`."""

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]], end: float) -> Self | None:
        """By least squares; `points` are seconds and values. None where there are too few days.

        A day counts whose points are there for at least half of it, as the fullest day has them.
        """
        days: dict[int, list[float]] = {}
        for at, value in points:
            if math.isfinite(value) and at <= end:
                days.setdefault(int((end - at) // DAY_S), []).append(value)
        fullest = max(map(len, days.values()), default=0)
        means = [
            (-day - 0.5, sum(values) / len(values))
            for day, values in days.items()
            if len(values) >= fullest / 2
        ]
        if len(means) < DAYS_NEEDED:
            return None
        count = len(means)
        x_mean = sum(x for x, _ in means) / count
        y_mean = sum(y for _, y in means) / count
        spread = sum((x - x_mean) ** 2 for x, _ in means)
        slope = sum((x - x_mean) * (y - y_mean) for x, y in means) / spread
        left = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in means)
        error = math.sqrt(left / (count - 2) / spread)
        return cls(count, y_mean - slope * x_mean, slope, error)

    @property
    def is_sure(self) -> bool:
        return self.per_day > SURE * self.error

    def days_until(self, limit: float) -> float | None:
        """0 where it is reached; None where nothing grows that noise does not explain."""
        if self.now >= limit:
            return 0.0
        return (limit - self.now) / self.per_day if self.is_sure else None
