"""Two versions of the service behind HAProxy, measured by Prometheus, as production has them.

The canary is a copy of the code with another index schema. Both versions reach Redis and Postgres through
proxies of their own, and the canary Postgres as a role of its own, so that a test may slow one version down
or break it without touching the other.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from urllib.request import urlopen

from app.embedded.children import Child, free_port, start_child, start_on_free_port
from app.search.schema import PROJECTION
from tests.conftest import execute_on
from tests.faults.system import add_rows
from tests.integration.conftest import eventually
from tests.packages import needed
from tests.rollout.proxy import Proxy

ROOT: Final = Path(__file__).parents[2]
STABLE_RELEASE: Final = "1.0.0"
CANARY_RELEASE: Final = "2.0.0"
SCRAPE_INTERVAL_S: Final = 0.5
_START_S: Final = 60.0
_ROLE: Final = "canary"


@dataclass(slots=True)
class Stage:
    folder: Path
    users_url: str
    stable_url: str
    canary_url: str
    prometheus_url: str
    socket: Path
    canary: Child
    prometheus: Child
    balancer: Child
    canary_redis: Proxy
    canary_postgres: Proxy
    database_url: str

    async def take_rights_of_canary(self) -> None:
        """What a release meets that came before the grants it needs: its queries fail."""
        role = role_of(self.database_url)
        await execute_on(self.database_url, f"REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM {role}")  # noqa: S608

    async def tell_balancer(self, command: str) -> str:
        """As an operator at HAProxy's socket."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(f"{command}\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer.decode()

    def prometheus_again(self) -> None:
        """The same server, after it was stopped."""
        command = [str(part) for part in self.prometheus.process.args]  # type: ignore[union-attr]
        self.prometheus.process = start_child("Prometheus", command, self.prometheus.log).process


def role_of(database_url: str) -> str:
    return f"{_ROLE}_{urlsplit(database_url).path[-12:]}"


@asynccontextmanager
async def stage(folder: Path, database_url: str, redis_url: str) -> AsyncIterator[Stage]:
    """All of it, when both versions are ready."""
    haproxy, prometheus = needed("haproxy"), needed("prometheus")
    await add_rows(database_url)
    postgres, redis = urlsplit(database_url), urlsplit(redis_url)
    stable_redis, canary_redis = (Proxy(redis.hostname or "", redis.port or 0) for _ in range(2))
    stable_postgres, canary_postgres = (Proxy(postgres.hostname or "", postgres.port or 0) for _ in range(2))
    proxies = (stable_redis, canary_redis, stable_postgres, canary_postgres)
    for proxy in proxies:
        await proxy.start()
    children: list[Child] = []
    role = role_of(database_url)
    await make_role(database_url, role)
    try:
        stable_settings = settings_of(
            ROOT,
            STABLE_RELEASE,
            with_address(database_url, stable_postgres.port),
            with_address(redis_url, stable_redis.port),
        )
        canary_settings = settings_of(
            copy_with_other_schema(folder / "canary"),
            CANARY_RELEASE,
            with_address(database_url, canary_postgres.port, f"{role}:{role}"),
            with_address(redis_url, canary_redis.port),
        )
        direct = {"REGISTRY_DATABASE_URL": database_url, "REGISTRY_REDIS_URL": redis_url}
        urls, apis = [], []
        for name, settings in (("stable", stable_settings), ("canary", canary_settings)):
            log = folder / f"{name}-indexer.log"
            command = [sys.executable, "-P", "-m", "indexer", "run"]
            children.append(start_child(f"{name} indexer", command, log, environment=settings | direct))
            port = free_port()
            api = start_child(
                name,
                [sys.executable, "-P", "-m", "app.supervision"],
                folder / f"{name}.log",
                environment=settings | {"REGISTRY_PORT": str(port)},
            )
            children.append(api)
            apis.append(api)
            urls.append(f"http://127.0.0.1:{port}")
        for url in urls:
            await eventually(lambda url=url: _is_ready(url), _START_S)  # type: ignore[misc]
        socket = folder / "admin.sock"
        balancer, users_port = start_haproxy(haproxy, folder, socket, urls)
        children.append(balancer)
        watching, prometheus_port = start_prometheus(prometheus, folder, urls)
        children.append(watching)
        yield Stage(
            folder=folder,
            users_url=f"http://127.0.0.1:{users_port}",
            stable_url=urls[0],
            canary_url=urls[1],
            prometheus_url=f"http://127.0.0.1:{prometheus_port}",
            socket=socket,
            canary=apis[1],
            prometheus=watching,
            balancer=balancer,
            canary_redis=canary_redis,
            canary_postgres=canary_postgres,
            database_url=database_url,
        )
    finally:
        for child in reversed(children):
            await asyncio.to_thread(child.stop)
        for proxy in proxies:
            await proxy.stop()
        await execute_on(database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")


def settings_of(code: Path, release: str, database_url: str, redis_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(code),
        "REGISTRY_RELEASE": release,
        "REGISTRY_DATABASE_URL": database_url,
        "REGISTRY_REDIS_URL": redis_url,
        "REGISTRY_ANONYMOUS_SCOPES": "instruments:read,profiles:read,profiles:write",
        "REGISTRY_ANONYMOUS_REQUESTS_PER_MINUTE": "10000000",
        "CACHE_TTL_SECONDS": "0",  # every search asks Redis
        "REGISTRY_REDIS_SEARCH_MS": "5000",  # a slow Redis makes slow answers, not degraded ones
    }


def copy_with_other_schema(folder: Path) -> Path:
    """A version of the code whose index is its own."""
    for package in ("app", "indexer"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    schema = folder / "app" / "search" / "schema.py"
    changed = schema.read_text().replace(f"PROJECTION: Final = {PROJECTION}", "PROJECTION: Final = 1000")
    assert changed != schema.read_text()
    schema.write_text(changed)
    return folder


async def make_role(database_url: str, role: str) -> None:
    """One that may do what the API does."""
    await execute_on(
        database_url,
        f"CREATE ROLE {role} LOGIN PASSWORD '{role}'; "
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; "
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}; "
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role}",
    )


def with_address(url: str, port: int, credentials: str | None = None) -> str:
    """The URL with another port, and other credentials perhaps."""
    parts = urlsplit(url)
    own, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials or own}{at or '@'}127.0.0.1:{port}".lstrip("@")))


async def _is_ready(url: str) -> bool:
    return (await asyncio.to_thread(_answer, f"{url}/health/ready")).get("status") == "ready"


def _answer(url: str) -> dict[str, Any]:
    try:
        with urlopen(url, timeout=5) as response:  # noqa: S310
            content = json.loads(response.read())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def start_haproxy(
    program: str,
    folder: Path,
    socket: Path,
    urls: list[str],
    ready: Callable[[int], bool] = lambda port: bool(_answer(f"http://127.0.0.1:{port}/health/live")),
) -> tuple[Child, int]:
    """With the configuration of production; stable and canary are at `urls`."""
    stable, canary = (url.removeprefix("http://") for url in urls)

    def start(port: int) -> Child:
        environment: Mapping[str, str] = {
            **os.environ,
            "REGISTRY_BALANCER_BIND": f"127.0.0.1:{port}",
            "REGISTRY_BALANCER_SOCKET": str(socket),
            "REGISTRY_STABLE_ADDRESS": stable,
            "REGISTRY_CANARY_ADDRESS": canary,
        }
        command = [program, "-db", "-f", str(ROOT / "deploy/haproxy/haproxy.cfg")]
        return start_child("HAProxy", command, folder / "haproxy.log", environment=environment)

    return start_on_free_port(start, ready, _START_S)


def start_prometheus(program: str, folder: Path, urls: list[str]) -> tuple[Child, int]:
    targets = [
        {"targets": [url.removeprefix("http://")], "labels": {"track": track}}
        for url, track in zip(urls, ("stable", "canary"), strict=True)
    ]
    configuration = folder / "prometheus.yml"
    configuration.write_text(  # JSON is YAML
        json.dumps(
            {
                "global": {"scrape_interval": f"{SCRAPE_INTERVAL_S * 1000:.0f}ms", "scrape_timeout": "500ms"},
                "scrape_configs": [{"job_name": "registry", "static_configs": targets}],
            }
        )
    )

    def start(port: int) -> Child:
        command = [
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        return start_child("Prometheus", command, folder / "prometheus.log")

    def ready(port: int) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    return start_on_free_port(start, ready, _START_S)
