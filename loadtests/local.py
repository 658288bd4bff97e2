"""Load-tests a service that it starts on this machine, against the bare handler.

    python -m loadtests.local burst|sustained SECONDS FACTOR OUTPUT [DATA]

DATA is a folder to import; without it the service has the bundled sample. 0 SECONDS are as many as the
shape has. While the sustained load goes on, rows change and the index is rebuilt.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import aiohttp

from app.auth.api_keys import key_hash, new_key
from app.embedded.children import EmbeddedError, free_port
from app.ingest.importer import import_rows
from app.ingest.sample import sample_source
from app.store.api_keys import add_key
from app.terminal import fail, messages
from loadtests.__main__ import measure
from loadtests.full_data import timed_import
from loadtests.run import Options
from loadtests.servers import embedded_servers, environment_of, running, until_ready
from loadtests.service import DISTURBING_SCOPES, USERS_SCOPES
from loadtests.shapes import SHAPES_FILE, LoadTestError


async def main(shape_name: str, seconds: float, factor: float, output: Path, data: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="registry-local-") as scratch:
        folder = Path(scratch)
        async with embedded_servers(folder) as (database_url, redis_url):
            messages.print("Importing ...")
            if data is None:
                await import_rows(database_url, [sample_source()], folder / "rejects.csv", actor="measure")
            else:
                await timed_import(database_url, data, folder)
            key = await _new_key(database_url)
            port = free_port()
            environment = environment_of(database_url, redis_url, REGISTRY_PORT=str(port))
            url = f"http://127.0.0.1:{port}"
            async with (
                running("indexer", ["-m", "indexer", "run"], folder, environment) as indexer,
                running("api", ["-m", "app.cli", "serve"], folder, environment),
            ):
                async with aiohttp.ClientSession(url) as session:
                    await until_ready(session)
                options = Options(
                    shape_name=shape_name,
                    url=url,
                    key=key,
                    factor=factor,
                    seconds=seconds or None,
                    against_bare=True,
                    disturb=shape_name == "sustained",
                    corpus=None,
                    shapes=SHAPES_FILE,
                    processes=1,
                    workers=0,
                    pids=[indexer.process.pid],
                )
                await measure(options, output)


async def _new_key(database_url: str) -> str:
    key = new_key()
    await add_key(
        database_url,
        owner="load test",
        scopes=[*USERS_SCOPES, *DISTURBING_SCOPES],
        secret_sha256=key_hash(key),
        expires_at=None,
        requests_per_minute=None,
    )
    return key


if __name__ == "__main__":
    match sys.argv[1:]:
        case [("burst" | "sustained") as shape_name, seconds, factor, output, *data] if len(data) <= 1:
            folder = Path(data[0]) if data else None
            try:
                asyncio.run(main(shape_name, float(seconds), float(factor), Path(output), folder))
            except (LoadTestError, EmbeddedError, OSError) as error:
                fail(str(error))
        case _:
            sys.exit(__doc__)
