"""Answers of successful writes, kept so that a retry with the same Idempotency-Key has no second effect.

The record is written in the transaction of the effect, under an advisory lock of that transaction: a
crash leaves neither a record without its effect nor a lock.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.domain.errors import InFlight, KeyReused
from app.store.statements import Statements
from app.store.steps import Steps, ask_one, tell

SQL: Final = Statements("idempotency.sql")
KEPT_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Once:
    """What a retry is known by: who asked (`principal`), for what, under which key, with which body."""

    principal: str
    method: str
    path: str
    key: str
    body_sha256: bytes

    @property
    def scope(self) -> tuple[str, str, str, str]:
        return self.principal, self.method, self.path, self.key


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write answered: the body, and what it tells of, in which version.

    `subject` is the id of a profile; of an instrument its number, as a UUID.
    """

    subject: UUID
    version: int
    body: bytes
    replayed: bool = False


def find_answer(once: Once) -> Steps[Answer | None]:
    """The stored answer; None if the write is yet to be done, by this transaction and no other.

    Raises InFlight while another transaction does it, KeyReused if it was done with another body.
    """
    record = yield from ask_one(SQL["take"], scope=once.scope)
    if record is None or not record["is_ours"]:
        raise InFlight(
            "a request with this Idempotency-Key is still being carried out; try again in a moment"
        )
    if record["body_sha256"] is None:
        return None
    if record["body_sha256"] != once.body_sha256:
        raise KeyReused(
            "this Idempotency-Key was used for another body; send the same body, or take a new key"
        )
    return Answer(record["profile_id"], record["version"], record["answer"], replayed=True)


def remember_answer(once: Once, answer: Answer) -> Steps[None]:
    yield from tell(
        SQL["remember"],
        scope=once.scope,
        body_sha256=once.body_sha256.hex(),
        profile=answer.subject,
        version=answer.version,
        answer=answer.body.hex(),
        hours=KEPT_HOURS,
    )
