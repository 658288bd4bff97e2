"""HAProxy's runtime API: the weights of both versions' servers, their health, and users' answers."""

import asyncio
import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from app.domain.errors import RegistryError
from app.monitoring.queries import CANARY, STABLE
from app.rollout.plan import FULL

TIMEOUT_S: Final = 5.0
MAX_WEIGHT: Final = 256
TOLERANCE: Final = 1.0
"""Percent that the share may differ by: weights are whole numbers."""
_HEALTHY: Final = ("UP", "DRAIN", "no check")
"""What the status of a server begins with that gets requests, or would if it had a weight."""


class BalancerUnavailable(RegistryError):
    """HAProxy does not answer, or does not do as it was told; `str(error)` names its socket and why."""


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    weight: int
    healthy: bool
    status: str
    requests: int
    errors: int
    """Answers with 5xx."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How requests are spread, and what came of them since HAProxy started."""

    stable: tuple[Server, ...]
    canary: tuple[Server, ...]
    users_requests: int
    """All that came in, whoever answered them."""
    users_errors: int
    """Those of them that were answered with 5xx, by HAProxy itself too."""

    @property
    def share(self) -> float:
        """Percent of the weights that the canary has."""
        canary = sum(server.weight for server in self.canary)
        total = canary + sum(server.weight for server in self.stable)
        return FULL * canary / total if total else 0.0

    def has_share(self, share: int) -> bool:
        """0 and 100 are exact."""
        if share in (0, FULL):
            return self.share == share and any(server.weight for server in (*self.stable, *self.canary))
        return 0 < self.share < FULL and abs(self.share - share) <= TOLERANCE

    @property
    def canary_is_down(self) -> bool:
        return not any(server.healthy for server in self.canary)

    @property
    def stable_is_down(self) -> bool:
        return not any(server.healthy for server in self.stable)


class Balancer:
    """The socket at `address`: a path, or host:port. All methods raise BalancerUnavailable."""

    def __init__(self, address: str, backend: str, frontend: str) -> None:
        self.address = address
        self.backend = backend
        self._frontend = frontend
        self._host, self._port = _parse_address(address)

    async def read(self) -> Balance:
        rows = _rows(await self._ask("show stat"))
        servers: dict[str, list[Server]] = {STABLE: [], CANARY: []}
        users = None
        for row in rows:
            try:
                if (row["pxname"], row["svname"]) == (self._frontend, "FRONTEND"):
                    users = int(row["req_tot"]), int(row["hrsp_5xx"])
                elif row["pxname"] == self.backend:
                    for track, found in servers.items():
                        if row["svname"].startswith(track):
                            found.append(_server(row))
            except (KeyError, TypeError, ValueError) as error:
                raise self._unavailable("answers show stat in a form that is not known") from error
        for track, found in servers.items():
            if not found:
                raise self._unavailable(
                    f"knows no server in the backend {self.backend} whose name begins with {track}"
                )
        if users is None:
            raise self._unavailable(f"knows no frontend {self._frontend}")
        return Balance(tuple(servers[STABLE]), tuple(servers[CANARY]), *users)

    async def set_share(self, share: int) -> Balance:
        """Give the canary `share` percent, and see that it has them."""
        before = await self.read()
        stable, canary = weights(share, len(before.stable), len(before.canary))
        wanted = [*((server, stable) for server in before.stable), *((one, canary) for one in before.canary)]
        # What gets more comes first: at no moment is there nobody with a weight.
        wanted.sort(key=lambda pair: pair[0].weight - pair[1])
        commands = [f"set weight {self.backend}/{server.name} {weight}" for server, weight in wanted]
        if refusal := " ".join((await self._ask("; ".join(commands))).split()):
            raise self._unavailable(f"refuses to set weights: {refusal}")
        after = await self.read()
        if not after.has_share(share):
            raise self._unavailable(
                f"was told to give the canary {share} %, and gives it {after.share:.1f} %"
            )
        return after

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._exchange(command)
        except TimeoutError as error:
            raise self._unavailable(f"does not answer within {TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise self._unavailable(f"cannot be asked: {error.strerror or error}") from error

    async def _exchange(self, command: str) -> str:
        if self._port is None:
            reader, writer = await asyncio.open_unix_connection(self._host)
        else:
            reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(f"{command}\n".encode())
            await writer.drain()
            return (await reader.read()).decode(errors="replace")
        finally:
            writer.close()

    def _unavailable(self, reason: str) -> BalancerUnavailable:
        return BalancerUnavailable(f"HAProxy at {self.address} {reason}")


def weights(share: int, stable_servers: int, canary_servers: int) -> tuple[int, int]:
    """The weight of each stable and of each canary server, so that the canary gets `share` percent."""
    stable, canary = (FULL - share) * canary_servers, share * stable_servers
    divisor = math.gcd(stable, canary)
    stable, canary = stable // divisor, canary // divisor
    if max(stable, canary) <= MAX_WEIGHT:
        return stable, canary
    wanted = Fraction(share, FULL)

    def error(pair: tuple[int, int]) -> Fraction:
        ours = pair[1] * canary_servers
        return abs(Fraction(ours, ours + pair[0] * stable_servers) - wanted)

    largest = max(stable, canary)
    scaled = (
        (max(1, round(stable * top / largest)), max(1, round(canary * top / largest)))
        for top in range(1, MAX_WEIGHT + 1)
    )
    return min(scaled, key=error)


def _parse_address(address: str) -> tuple[str, int | None]:
    """A path, or a host and its port."""
    if "/" in address:
        return address, None
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and 0 < int(port) < 65536:
        return host.strip("[]"), int(port)
    raise BalancerUnavailable(
        f"--haproxy: {address!r} is no address of HAProxy's socket; name a path such as "
        "/run/haproxy/admin.sock, or host:port"
    )


def _rows(text: str) -> Sequence[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("# "))))


def _server(row: dict[str, str]) -> Server:
    return Server(
        name=row["svname"],
        weight=int(row.get("uweight") or row["weight"]),
        healthy=row["status"].startswith(_HEALTHY),
        status=row["status"],
        requests=int(row["req_tot"] or row["stot"]),
        errors=int(row["hrsp_5xx"]),
    )
