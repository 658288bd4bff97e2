"""Locust users of the search API: who looks symbols up, who types, who browses.

    locust -f loadtests/locustfile.py --headless -u 20 -r 20 -t 30s --host http://127.0.0.1:8080

REGISTRY_LOAD_KEY, if set, is sent as the API key. Symbols come from the service's own catalog.
"""

import os
import random
from typing import Any
from urllib.parse import quote, unquote

from locust import FastHttpUser, between, task
from locust.exception import RescheduleTask

SYMBOLS_TAKEN = 500
_PAGE = 100


class SearchUser(FastHttpUser):
    """One client of the search API."""

    abstract = True
    symbols: list[str]

    def on_start(self) -> None:
        key = os.environ.get("REGISTRY_LOAD_KEY")
        self.headers = {"X-API-Key": key} if key else {}
        self.symbols = [
            quote(hit["symbol"], safe="")
            for offset in range(0, SYMBOLS_TAKEN, _PAGE)
            for hit in self._get("catalog", f"limit={_PAGE}&offset={offset}")["hits"]
        ]

    def _get(self, name: str, query: str, endpoint: str = "search") -> Any:
        path = f"/v1/instruments/{endpoint}?{query}"
        with self.client.get(path, headers=self.headers, name=name, catch_response=True) as response:
            if response.status_code == 200:
                return response.json()
            response.failure(f"status {response.status_code}")
            raise RescheduleTask


class Lookup(SearchUser):
    """Knows the symbol."""

    weight = 6
    wait_time = between(0.05, 0.2)

    @task
    def known_symbol(self) -> None:
        self._get("known symbol", f"q={random.choice(self.symbols)}&limit=5")


class Typist(SearchUser):
    """Types a symbol letter by letter."""

    weight = 3
    wait_time = between(0.1, 0.3)

    @task
    def type_symbol(self) -> None:
        symbol = unquote(random.choice(self.symbols))
        for end in range(1, min(len(symbol), 5) + 1):
            self._get("suggest", f"q={quote(symbol[:end], safe='')}", "suggest")


class Browser(SearchUser):
    """Pages through a filtered catalog."""

    weight = 1
    wait_time = between(0.3, 1.0)

    @task
    def browse(self) -> None:
        query = random.choice(("asset_class=equity", "mic=XFRA&currency=EUR", "country=DE&sort=name"))
        page = self._get("browse", query)
        if page["next_cursor"]:
            self._get("browse further", f"{query}&cursor={page['next_cursor']}")
