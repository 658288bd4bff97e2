"""When a request is tried again, and after how long."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})
"""And 409 with Retry-After: the same request is still being carried out."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits double from `first_wait_s` to `longest_wait_s`, each a random part of that (full jitter).

    What the service asks for by Retry-After is waited for, and the jitter besides, so that those who were
    turned away together do not come back together. Where it asks for more than `longest_retry_after_s`
    the error is raised at once.
    """

    attempts: int = 4
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0
    longest_retry_after_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts must be at least 1; 1 means no retries")

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Seconds between the attempt of this number, counted from 1, and the next."""
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 62))
        return (retry_after_s or 0.0) + random.uniform(0.0, longest)  # noqa: S311 - guards nothing

    def allows(self, attempt: int, retry_after_s: float | None) -> bool:
        """Whether another may follow the attempt of this number."""
        return attempt < self.attempts and (retry_after_s or 0.0) <= self.longest_retry_after_s


def parse_retry_after(text: str | None) -> float | None:
    """Seconds, of a number or a date (RFC 9110, section 10.2.3); None for what is neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
