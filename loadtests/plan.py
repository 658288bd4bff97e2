"""What Locust's processes are told of a run: whom to ask, when, and for what."""

import time
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from loadtests.corpus import Entry
from loadtests.shapes import CorpusChoice, UserShares

Side = Literal["service", "bare"]

PLAN_FILE: Final = "plan.json"
BEGINS_FILE: Final = "begins_at"
REQUESTS_FILE: Final = "requests"
KEY_VARIABLE: Final = "REGISTRY_LOAD_KEY"
NAME_HEADER: Final = "X-Load-Request"
"""Says what kind of request one is. Both sides get it; the bare handler answers by it."""
TEACHING_PATH: Final = "/teach"
"""Where the bare handler takes an answer of the service, to give it from then on."""

_EPOCH: Final = time.time() - time.perf_counter()


def now() -> float:
    """Seconds since 1970; steady, and finer than the wall clock."""
    return _EPOCH + time.perf_counter()


class Plan(BaseModel):
    """A run. It begins to count when it has warmed up; that moment is known when its users start."""

    model_config = ConfigDict(frozen=True)

    url: str
    bare_url: str | None
    users: Annotated[int, Field(ge=1)]
    shares: UserShares
    pacing_s: float
    warm_up_s: float
    turn_s: float | None
    """None: service and bare handler are asked side by side."""
    seconds: float
    """From the beginning to the end, of both sides."""
    choice: CorpusChoice
    corpus: list[Entry]
    begins_at: float = 0.0

    @property
    def ends_at(self) -> float:
        return self.begins_at + self.seconds

    def counts(self, due: float) -> bool:
        return self.begins_at <= due < self.ends_at

    def side_at(self, due: float) -> Side:
        """Whose turn it is."""
        if self.bare_url is None or self.turn_s is None or not self.counts(due):
            return "service"
        return "bare" if int((due - self.begins_at) // self.turn_s) % 2 else "service"

    def is_asked_beside(self, due: float) -> bool:
        """Whether the bare handler is asked the same, half a pacing later."""
        return self.bare_url is not None and self.turn_s is None and self.counts(due)
