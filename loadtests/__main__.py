"""`instrument-registry loadtest`."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, NoReturn

import orjson
import typer
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from app.commands.running_service import DEFAULT_URL, demo_connection
from app.embedded.children import EmbeddedError
from app.environment import EnvironmentModel, SettingsError
from app.settings import Settings
from app.terminal import fail, messages, output, print_table, run_command
from loadtests.report import html_report
from loadtests.run import Options, run
from loadtests.shapes import SHAPES_FILE, LoadTestError

cli = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Load tests of a service that runs, by Locust. REGISTRY_LOAD_KEY is the API key to send.",
)

Url = Annotated[
    str | None,
    typer.Option(help="Of the service (default: the demo that runs, or 127.0.0.1:8080).", show_default=False),
]
Factor = Annotated[float, typer.Option(min=0.01, max=10, help="So many times the shape's rate.")]
Seconds = Annotated[
    float | None,
    typer.Option(
        min=1, max=86_400, help="How long to measure (default: as the shape has it).", show_default=False
    ),
]
Folder = Annotated[
    Path,
    typer.Option(
        "--output", exists=True, file_okay=False, help="The folder for the evidence and the report."
    ),
]
AgainstBare = Annotated[
    bool, typer.Option("--against-bare", help="Ask a bare handler on this machine the same, and compare.")
]
Disturb = Annotated[
    bool,
    typer.Option("--disturb", help="Change rows and rebuild the index meanwhile; the rows are put back."),
]
Corpus = Annotated[
    Path | None,
    typer.Option(help="NDJSON as exported, most wanted first (default: the catalog).", show_default=False),
]
ShapesFile = Annotated[
    Path, typer.Option("--shapes", help="Rates, users and thresholds.", show_default=False)
]
Processes = Annotated[int, typer.Option(min=1, max=64, help="Of Locust, on this machine.")]
Workers = Annotated[int, typer.Option(min=0, max=1000, help="Of Locust, to await from other machines.")]
Pids = Annotated[
    list[int] | None,
    typer.Option(
        "--pid", help="A process whose memory to watch, besides those at the URL.", show_default=False
    ),
]


class _LoadSettings(EnvironmentModel):
    model_config = SettingsConfigDict(env_prefix="REGISTRY_")

    load_key: SecretStr | None = None


def main() -> NoReturn:
    """Run the command that the arguments name."""
    run_command(cli, "instrument-registry loadtest", LoadTestError, SettingsError, EmbeddedError, OSError)


@cli.command()
def burst(
    url: Url = None,
    factor: Factor = 1,
    seconds: Seconds = None,
    folder: Folder = Path(),
    against_bare: AgainstBare = False,
    corpus: Corpus = None,
    shapes: ShapesFile = SHAPES_FILE,
    processes: Processes = 1,
    workers: Workers = 0,
    pid: Pids = None,
) -> None:
    """A short load at a high rate. Exits 1 where a threshold is missed.

    Writes load_test_burst_<epoch>.json, and a report beside it.

    Example: instrument-registry loadtest burst --factor 10 --against-bare
    """
    url, key = _target(url)
    options = Options(
        "burst", url, key, factor, seconds, against_bare, False, corpus, shapes, processes, workers, pid or ()
    )
    asyncio.run(measure(options, folder))


@cli.command()
def sustained(
    url: Url = None,
    factor: Factor = 1,
    seconds: Seconds = None,
    folder: Folder = Path(),
    against_bare: AgainstBare = False,
    disturb: Disturb = False,
    corpus: Corpus = None,
    shapes: ShapesFile = SHAPES_FILE,
    processes: Processes = 1,
    workers: Workers = 0,
    pid: Pids = None,
) -> None:
    """A long load at a low rate. Exits 1 where a threshold is missed.

    Writes load_test_sustained_<epoch>.json, and a report beside it.

    Example: instrument-registry loadtest sustained --seconds 120 --against-bare --disturb
    """
    url, key = _target(url)
    options = Options(
        "sustained",
        url,
        key,
        factor,
        seconds,
        against_bare,
        disturb,
        corpus,
        shapes,
        processes,
        workers,
        pid or (),
    )
    asyncio.run(measure(options, folder))


async def measure(options: Options, folder: Path) -> None:
    """Make a load test, write its evidence and report, and exit 1 where a threshold is missed."""
    evidence = await run(options)
    file = folder / f"load_test_{options.shape_name}_{int(time.time())}.json"
    file.write_bytes(orjson.dumps(evidence, default=str, option=orjson.OPT_INDENT_2))
    file.with_suffix(".html").write_text(html_report(evidence), encoding="utf-8")
    print_table(
        ("threshold", "limit", "measured", "verdict"),
        [(one["name"], one["limit"], one["measured"], one["verdict"]) for one in evidence["thresholds"]],
    )
    output.print(f"{file} and {file.with_suffix('.html').name}")
    missed = [one for one in evidence["thresholds"] if one["verdict"] == "missed"]
    if missed:
        words = ", ".join(f"{one['name']} is {one['measured']}, limit {one['limit']}" for one in missed)
        fail(f"missed: {words}; see {file.with_suffix('.html')}")


def _target(url: str | None) -> tuple[str, str | None]:
    """The URL and key: as given, or else those of the demo that runs."""
    key = _LoadSettings.from_environment().load_key
    known = None if key is None else key.get_secret_value()
    if url is not None:
        return url.rstrip("/"), known
    connection = demo_connection(Settings.from_environment().data_dir)
    if connection is None:
        return DEFAULT_URL, known
    messages.print(f"The demo at {connection['api_url']} is asked.")
    return connection["api_url"], known or connection["api_key"]


if __name__ == "__main__":
    main()
