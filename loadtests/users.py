"""Locust users by what clients do. Each makes one request at a time, at moments that are fixed beforehand.

A request's latency counts from the moment at which it was due. A user that still waits for an answer
then sends it late, and it counts as slow: no omission is coordinated with a slow service.
"""

import os
import random
import select
from itertools import count, cycle
from typing import Any, ClassVar, Final, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import gevent
import orjson
from gevent.monkey import get_original
from geventhttpclient import HTTPClient
from geventhttpclient.connectionpool import ConnectionPool
from geventhttpclient.response import HTTPParseError
from locust import User, task

from loadtests.corpus import Zipf
from loadtests.plan import KEY_VARIABLE, NAME_HEADER, TEACHING_PATH, Plan, Side, now
from loadtests.records import Request

SEARCH: Final = "/v1/instruments/search"
SUGGEST: Final = "/v1/instruments/suggest"
LOOKUP: Final = "/v1/instruments/lookup"
PROFILES: Final = "/v1/subscription-profiles"
TIMEOUT_S: Final = 10.0
BLOCK_BYTES: Final = 65_536
"""Read at once: most answers."""
NOT_ANSWERED: Final = (OSError, HTTPParseError)


class Question(NamedTuple):
    """A request, to be sent to either side."""

    name: str
    method: str
    path: str
    data: str | None
    headers: dict[str, str]
    holds: str | None
    """A text that the service's answer has in it if it is the right one."""
    counts: bool
    """Whether it belongs to the time that is measured."""


class Reply(NamedTuple):
    status: int
    etag: str
    content: bytes

    def json(self) -> Any:
        return orjson.loads(self.content)


class Run:
    """The run that this process is part of; all users of the process share it."""

    plan: ClassVar[Plan]
    zipf: ClassVar[Zipf]
    requests: ClassVar[list[Request]] = []
    process: ClassVar[int] = 0

    @classmethod
    def begin(cls, plan: Plan, process: int) -> None:
        cls.plan, cls.process = plan, process
        cls.zipf = Zipf(plan.corpus, plan.choice.zipf_exponent)
        for name, weight in plan.shares.model_dump().items():
            USERS[name].weight = weight


class PacedUser(User):
    """Keeps its pace, asks the side whose turn it is, and notes what became of it.

    It has a connection to either side, by the library that is beneath Locust's own client: with cookies,
    redirects and statistics of its own that takes twice the time.
    """

    abstract = True
    numbers: ClassVar = count()

    def on_start(self) -> None:
        plan = Run.plan
        self.random = random.Random(f"{plan.choice.seed} {Run.process} {next(self.numbers)}")
        self.headers = {"Accept-Encoding": "identity"}  # both sides are to send the same bytes
        if key := os.environ.get(KEY_VARIABLE):
            self.headers["Authorization"] = f"Bearer {key}"
        self.sides = {"service": _connection(plan.url)}
        if plan.bare_url:
            self.sides["bare"] = _connection(plan.bare_url)
        self.taught: set[str] = set()
        self.answered_at = 0.0
        self.due = now() + self.random.random() * plan.pacing_s
        self.prepare()
        gevent.sleep(max(0.0, self.due - now()))

    def prepare(self) -> None:
        """What a user does before its first request."""

    def wait_time(self) -> float:
        self.due += Run.plan.pacing_s
        return max(0.0, self.due - now())

    def ask(
        self,
        name: str,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
        holds: str | None = None,
    ) -> Reply | None:
        """The service's reply if all is well; None of the bare handler's, and of failures.

        `holds` is a text that the right answer has in it.
        """
        plan, due = Run.plan, self.due
        sent = {**self.headers, **(headers or {}), NAME_HEADER: name}
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = None if body is None else orjson.dumps(body).decode()
        question = Question(name, method, path, data, sent, holds, plan.counts(due))
        if plan.side_at(due) == "bare":
            self._send_bare(due, question)
            return None
        response = self._send("service", due, question)
        self.answered_at = now()
        if plan.is_asked_beside(due):
            self._send_bare(due + plan.pacing_s / 2, question)
        if response is not None and plan.bare_url and due < plan.begins_at and name not in self.taught:
            self.taught.add(name)
            self.sides["bare"].post(TEACHING_PATH, response.content, {NAME_HEADER: name}).read()
        return response

    def _send_bare(self, due: float, question: Question) -> None:
        """The bare handler does not answer for the time that the user waited for the service."""
        due = max(due, self.answered_at)
        gevent.sleep(max(0.0, due - now()))
        self._send("bare", due, question)

    def _send(self, side: Side, due: float, question: Question) -> Reply | None:
        reply, failure = None, None
        begun = now()
        try:
            response = self.sides[side].request(
                question.method, question.path, question.data, question.headers
            )
            reply = Reply(response.status_code, str(response.get("etag") or ""), bytes(response.read()))
        except NOT_ANSWERED as error:
            failure = type(error).__name__
        ended = now()
        if reply is not None:
            failure = _failure(reply, question.holds if side == "service" else None)
        self.environment.events.request.fire(
            request_type=question.method,
            name=f"{side}: {question.name}",
            response_time=(ended - begun) * 1000,
            response_length=len(reply.content) if reply else 0,
            exception=failure,
            context={},
        )
        if question.counts:
            waited_ms, took_ms = (ended - due) * 1000, (ended - begun) * 1000
            Run.requests.append(Request(side, question.name, due, waited_ms, took_ms, failure))
        return reply if side == "service" and failure is None else None


def _is_idle(_: ConnectionPool, connection: Any) -> bool:
    """Whether a connection that was kept is open, and nothing has come in meanwhile.

    The library asks select() that, which refuses files beyond 1023: most users of a burst would make a
    connection anew for each request.
    """
    if connection is None or connection.fileno() < 0:
        return False
    poll = get_original("select", "poll")()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


ConnectionPool._is_socket_alive = _is_idle  # type: ignore[assignment] # noqa: SLF001 - no other way


def _connection(url: str) -> HTTPClient:
    return HTTPClient.from_url(
        url,
        block_size=BLOCK_BYTES,
        connection_timeout=TIMEOUT_S,
        network_timeout=TIMEOUT_S,
        concurrency=2,  # the one that a user had who is stopped may not be free for what it does then
    )


def _failure(reply: Reply, holds: str | None) -> str | None:
    """What kind of failure a reply is, if it is one; `holds`: as `PacedUser.ask` has it."""
    if not 200 <= reply.status < 300:
        return f"status {reply.status}"
    if holds is not None and orjson.dumps(holds) not in reply.content:
        return "wrong answer"
    return None if reply.content else "empty answer"


class KnownSymbol(PacedUser):
    """Knows the symbol."""

    @task
    def look(self) -> None:
        entry = Run.zipf.choose(self.random)
        query = f"q={quote(entry.symbol, safe='')}&limit=5"
        self.ask("search by symbol", "GET", f"{SEARCH}?{query}", holds=entry.symbol)


class Typing(PacedUser):
    """Types a symbol, or the beginning of a name, letter by letter."""

    LETTERS: Final = 8

    def prepare(self) -> None:
        self.typed, self.text = 0, ""

    @task
    def type_letter(self) -> None:
        if self.typed >= min(len(self.text), self.LETTERS):
            entry = Run.zipf.choose(self.random)
            self.typed, self.text = 0, self.random.choice((entry.symbol, entry.name)).lower()
        self.typed += 1
        self.ask(
            "suggest", "GET", f"{SUGGEST}?q={quote(self.text[: self.typed], safe='')}", holds="suggestions"
        )


class Browsing(PacedUser):
    """Filters the catalog, with facets, and pages on by cursor."""

    PAGES: Final = 5
    FILTERS: Final = (
        "asset_class=equity&facets=mic,currency",
        "asset_class=etf&currency=EUR&facets=mic",
        "mic=XFRA&currency=EUR",
        "country=DE&sort=name&facets=sector",
        "country=US&sort=-updated_at",
    )

    def prepare(self) -> None:
        self.page, self.query = 0, ""
        self.cursor: str | None = None

    @task
    def browse(self) -> None:
        knows_more = self.cursor or ("browse further" in self.taught and Run.plan.side_at(self.due) == "bare")
        goes_on = knows_more and 0 < self.page < self.PAGES
        if not goes_on:
            self.page, self.query, self.cursor = 0, self.random.choice(self.FILTERS), None
        self.page += 1
        name, cursor = ("browse further", f"&cursor={self.cursor}") if goes_on else ("browse", "")
        response = self.ask(name, "GET", f"{SEARCH}?{self.query}{cursor}", holds="hits")
        if response is not None:
            self.cursor = response.json()["next_cursor"]


class BatchLookup(PacedUser):
    """Looks up many identifiers at once."""

    IDENTIFIERS: Final = 50

    @task
    def look_up(self) -> None:
        entries = Run.zipf.choose_some(self.random, self.IDENTIFIERS)
        identifiers = [self.random.choice(entry.identifiers) for entry in entries]
        self.ask("batch lookup", "POST", LOOKUP, body={"identifiers": identifiers}, holds=entries[0].name)


class Profiles(PacedUser):
    """Reads a profile of its own, patches it, and edits its members."""

    MEMBERS: Final = 20

    def prepare(self) -> None:
        members = {entry.id for entry in Run.zipf.choose_some(self.random, self.MEMBERS)}
        self.steps = cycle((self.read, self.patch, self.read, self.edit))
        self.id, self.etag = "", ""
        content = {
            "name": f"load test {uuid4()}",
            "channels": ["trades", "quotes"],
            "selection": {"instruments": sorted(members)},
        }
        created = self.ask("profile creation", "POST", PROFILES, body=content, headers=self._once())
        if created is not None:
            self.id, self.etag = created.json()["id"], created.etag

    def on_stop(self) -> None:
        self.due = now()
        if self.id:
            self.ask("profile deletion", "DELETE", f"{PROFILES}/{self.id}", headers={"If-Match": "*"})

    @task
    def go_on(self) -> None:
        if self.id:
            next(self.steps)()
        else:
            self.prepare()

    def read(self) -> None:
        self._keep(self.ask("profile read", "GET", f"{PROFILES}/{self.id}", holds=self.id))

    def patch(self) -> None:
        body = {"description": f"load test, {now():.3f}"}
        match = {"If-Match": self.etag}
        path = f"{PROFILES}/{self.id}"
        self._keep(self.ask("profile patch", "PATCH", path, body=body, headers=match, holds=self.id))

    def edit(self) -> None:
        chosen = [entry.id for entry in Run.zipf.choose_some(self.random, 2)]
        body = {"add": chosen[:1], "remove": [one for one in chosen[1:] if one != chosen[0]]}
        headers = {"If-Match": self.etag, **self._once()}
        path = f"{PROFILES}/{self.id}/instruments"
        self._keep(self.ask("profile edit", "POST", path, body=body, headers=headers))

    def _keep(self, response: Reply | None) -> None:
        if response is not None:
            self.etag = response.etag

    @staticmethod
    def _once() -> dict[str, str]:
        return {"Idempotency-Key": str(uuid4())}


USERS: Final[dict[str, type[PacedUser]]] = {
    "known_symbol": KnownSymbol,
    "typing": Typing,
    "browsing": Browsing,
    "batch_lookup": BatchLookup,
    "profiles": Profiles,
}
"""By their names in `shapes.toml`."""
