"""One page of a search's result, wherever it was searched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app.domain.cursor import Cursor
from app.search.facets import Counts, hits_counted
from app.search.reply import Hit
from app.search.typos import NEAR


@dataclass(slots=True)
class Page:
    """`next` is where the following page begins, None on the last."""

    hits: list[bytes]
    total: int
    generation: int | None
    """Of the index; None: Postgres was searched, and `total` is no more than what was looked at."""
    age_s: float
    """Seconds since that generation last equalled Postgres."""
    partial: str | None
    """Why the search was cut short; None if it was not."""
    next: Cursor | None
    found: Sequence[Hit] = ()
    """The hits as the index ranked them."""
    did_you_mean: str | None = None
    """What finds the hits exactly, where the text found none."""
    counts: Counts | None = None
    """Of the facets that were asked for; None where there were none, and from Postgres."""
    is_lasting: bool = True
    """Whether another try would find the same, as long as the index stays as it is."""
    plan: str = ""
    """How it was searched."""
    commands: Callable[[], Sequence[Sequence[str | bytes | int]]] = tuple
    """What Redis was asked for the hits; made for those who want to know."""

    def with_counts(self, counts: Counts, warnings: Sequence[str], *, is_first: bool) -> "Page":
        """The page with facets, which `warnings` say are cut short.

        They were counted a moment after the hits. So that both agree, the total is theirs: not where they are
        cut short, nor on the pages behind a cursor, where it is that of the first.
        """
        reasons = [*filter(None, [self.partial]), *warnings]
        total = self.total if warnings or not is_first else hits_counted(counts)
        return replace(
            self,
            counts=counts,
            partial="; ".join(dict.fromkeys(reasons)) or None,
            total=total,
            next=self.next and replace(self.next, total=total),
        )

    @property
    def total_is_exact(self) -> bool:
        is_guessed = bool(self.found) and self.found[-1].way == NEAR  # names that are near come last
        return self.partial is None and self.generation is not None and not is_guessed
