"""Servers in pairs: a Redis with a replica and sentinels, a Postgres with a hot standby."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from app.embedded.children import Child, start_child, start_on_free_port
from app.embedded.postgres import EmbeddedPostgres, as_other_user, postgres_binaries, start_postgres
from app.embedded.redis import EmbeddedRedis, find_redis, start_redis

PASSWORD: Final = "faults"
SERVICE: Final = "registry"
SENTINELS: Final = 3


@dataclass(frozen=True, slots=True)
class RedisPair:
    primary: EmbeddedRedis
    replica: EmbeddedRedis
    sentinel_ports: tuple[int, ...]

    def url(self, role: str = "primary") -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}?role={role}"


@contextmanager
def redis_pair(folder: Path) -> Iterator[RedisPair]:
    children: list[Child] = []
    try:
        servers = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            server = start_redis(folder / name, PASSWORD, persist=False)
            children.append(server.child)
            servers.append(server)
            with redis.Redis(port=server.port, password=PASSWORD) as client:
                client.config_set("masterauth", PASSWORD)
                client.config_set("repl-diskless-sync-delay", 0)
        primary, replica = servers
        with redis.Redis(port=replica.port, password=PASSWORD) as client:
            client.replicaof("127.0.0.1", primary.port)
        sentinels = [start_sentinel(folder, number, primary.port) for number in range(SENTINELS)]
        children += [child for child, _ in sentinels]
        yield RedisPair(primary, replica, tuple(port for _, port in sentinels))
    finally:
        while children:
            children.pop().stop()


def start_sentinel(folder: Path, number: int, primary_port: int) -> tuple[Child, int]:
    configuration = folder / f"sentinel-{number}.conf"
    program = find_redis().folder / "bin" / "redis-sentinel"

    def start(port: int) -> Child:
        configuration.write_text(
            f"bind 127.0.0.1\nport {port}\ndir {folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 2\n"
            f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {SERVICE} 1000\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )
        return start_child("Sentinel", [program, configuration], folder / f"sentinel-{number}.log")

    def ready(port: int) -> bool:
        with redis.Redis(port=port, socket_timeout=5) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    return start_on_free_port(start, ready, 20)


def start_standby(folder: Path, primary: EmbeddedPostgres) -> EmbeddedPostgres:
    """A hot standby of the primary, which it follows until it is promoted."""
    folder.mkdir()
    data = folder / "postgres"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
    command: list[str | Path] = [
        *as_other_user(),
        postgres_binaries() / "pg_basebackup",
        *("-D", data, "-d", primary.url("postgres"), "-R", "-X", "stream", "-c", "fast"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return start_postgres(folder, primary.password)
