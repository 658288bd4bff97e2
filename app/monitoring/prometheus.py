"""A client of Prometheus's HTTP API: queries at one moment, and over a range."""

from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp import encode_basic_auth

from app.domain.errors import RegistryError
from app.server_url import ServerUrl

TIMEOUT_S: Final = 10.0


class PrometheusUnavailable(RegistryError):
    """Prometheus does not answer, or not with what was asked for; `str(error)` names its address and why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of one series at one moment; may be NaN."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one series over time, each with its seconds since 1970."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


class Prometheus:
    """Queries to the server at `url`, which may hold user and password. All raise PrometheusUnavailable."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        try:
            address = ServerUrl.parse(url)
        except ValueError as error:
            raise PrometheusUnavailable(
                f"the URL of Prometheus {error}; it must be like http://127.0.0.1:9090"
            ) from error
        self.address = address.shown
        self._headers: dict[str, str] = {}
        if address.user is not None:
            self._headers["Authorization"] = encode_basic_auth(address.user, address.password or "")

    async def query(self, promql: str) -> list[Sample]:
        """An instant vector, as of now."""
        result = await self._ask("query", {"query": promql}, "vector")
        try:
            return [Sample(one["metric"], float(one["value"][1])) for one in result]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise self._odd() from error

    async def query_range(self, promql: str, start: float, end: float, step_s: float) -> list[Series]:
        """A matrix; `start` and `end` are seconds since 1970."""
        parameters = {"query": promql, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_s:g}"}
        result = await self._ask("query_range", parameters, "matrix")
        try:
            return [
                Series(one["metric"], [(float(at), float(value)) for at, value in one["values"]])
                for one in result
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._odd() from error

    async def _ask(self, path: str, parameters: dict[str, str], kind: str) -> list[Any]:
        try:
            async with self._session.post(
                f"{self.address}/api/v1/{path}",
                data=parameters,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            ) as response:
                status, answer = response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            reason = str(error) or type(error).__name__
            raise PrometheusUnavailable(f"Prometheus at {self.address} does not answer: {reason}") from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            reason = answer.get("error", "") if isinstance(answer, dict) else ""
            raise PrometheusUnavailable(
                f"Prometheus at {self.address} refuses a query with {status}: {reason or 'without a reason'}"
            )
        data = answer.get("data")
        if not isinstance(data, dict) or data.get("resultType") != kind:
            raise self._odd()
        result = data.get("result")
        if not isinstance(result, list):
            raise self._odd()
        return result

    def _odd(self) -> PrometheusUnavailable:
        return PrometheusUnavailable(f"{self.address} does not answer as Prometheus does; check the address")
