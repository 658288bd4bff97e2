"""What service levels are compared with."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Expected:
    """What use is expected, and what the service is built for."""

    sustained_per_s: float = 21.0
    burst_per_s: float = 213.0
    worker_per_s: float = 1239.0
    """Requests of one worker, none cached, a core used to 0.6 (docs/capacity.md)."""
    rows: float = 13_500_000.0
    """Instruments whose three generations fit into 64 GB of Redis (docs/capacity.md)."""


EXPECTED: Final = Expected()
