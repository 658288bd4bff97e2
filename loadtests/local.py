"""Load-tests a service that it starts on this machine, against the bare handler.

    python -m loadtests.local burst|sustained [options] [DATA]

DATA is a folder to import; without it the service has the bundled sample. While the sustained load goes on,
rows change and the index is rebuilt.
"""

import argparse
import asyncio
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


async def main(asked: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="registry-local-") as scratch:
        folder = Path(scratch)
        async with embedded_servers(folder) as (database_url, redis_url):
            messages.print("Importing ...")
            if asked.data is None:
                await import_rows(database_url, [sample_source()], folder / "rejects.csv", actor="measure")
            else:
                await timed_import(database_url, asked.data, folder)
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
                    shape_name=asked.shape,
                    url=url,
                    key=key,
                    factor=asked.factor,
                    seconds=asked.seconds,
                    against_bare=True,
                    disturb=asked.shape == "sustained",
                    corpus=None,
                    shapes=SHAPES_FILE,
                    processes=1,
                    workers=0,
                    pids=[indexer.process.pid],
                    judges_latency=not asked.no_latency,
                )
                await measure(options, asked.output)


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


def parser() -> argparse.ArgumentParser:
    described = argparse.ArgumentParser("python -m loadtests.local", description=__doc__)
    described.formatter_class = argparse.RawDescriptionHelpFormatter
    described.add_argument("shape", choices=("burst", "sustained"))
    described.add_argument("data", nargs="?", type=Path, help="a folder of data to import")
    described.add_argument("--seconds", type=float, help="of each side; else as many as the shape has")
    described.add_argument("--factor", type=float, default=1, help="so many times the shape's rate")
    described.add_argument(
        "--no-latency",
        action="store_true",
        help="judge no latency: others use the machine",
    )
    described.add_argument("--output", type=Path, default=Path(), help="the folder of the evidence (here)")
    return described


if __name__ == "__main__":
    try:
        asyncio.run(main(parser().parse_intermixed_args()))
    except (LoadTestError, EmbeddedError, OSError) as error:
        fail(str(error))
