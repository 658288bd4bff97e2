"""`python -m tests.migration.write_schema`: commit to what the migrations make, after one was added."""

import asyncio
import tempfile
from pathlib import Path

from app.embedded.postgres import start_postgres
from app.store import migrate
from tests.conftest import execute_on
from tests.migration.test_schema import SCHEMA_FILE, schema_of


async def write_schema(server_url: str, url: str) -> None:
    await execute_on(server_url, "CREATE DATABASE empty")
    await migrate.upgrade(url)
    SCHEMA_FILE.write_text(await schema_of(url), encoding="utf-8")


with tempfile.TemporaryDirectory() as folder:
    server = start_postgres(Path(folder), "tests")
    try:
        asyncio.run(write_schema(server.url("postgres"), server.url("empty")))
    finally:
        server.child.stop()
