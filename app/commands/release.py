"""`instrument-registry release` and `release-evidence`."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from app.release.signoffs import ROLES
from app.terminal import fail, output, print_table, printable, server_url

release = typer.Typer(no_args_is_help=True, help="Sign-offs of a release: sign, status.")

Folder = Annotated[
    Path, typer.Option("--folder", help="Where release-evidence has put the evidence.", file_okay=False)
]


@release.command("sign")
def sign(
    role: Annotated[
        str,
        typer.Option(help=f"{', '.join(ROLES[:-1])} or {ROLES[-1]}."),
    ],
    by: Annotated[str, typer.Option(help="The name of who signs.")],
    folder: Folder = Path("release"),
    version: Annotated[
        str | None,
        typer.Option("--release", help="Insist that the evidence is of this release.", show_default=False),
    ] = None,
    note: Annotated[
        str | None,
        typer.Option(help="A remark; needed where the evidence lacks something.", show_default=False),
    ] = None,
) -> None:
    """Sign the evidence of a release off, as it is now; where it changes later, sign again.

    Example: instrument-registry release sign --role security --by "Ada Lovelace" --release 1.4.0
    """
    from app.release import signoffs
    from app.release.index_page import write_index_page

    signed = signoffs.sign(folder, role, by, version, note)
    write_index_page(folder)
    missing = signoffs.missing_signoffs(folder, signed.release)
    output.print(f"{signed.role} has signed {signed.release} (evidence {signed.evidence[:12]}).")
    output.print(f"To sign: {', '.join(missing)}." if missing else f"All {len(ROLES)} have signed.")


@release.command("status")
def status(
    folder: Folder = Path("release"),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Who has signed which release, and whether the evidence is still what was signed.

    Example: instrument-registry release status --json
    """
    from app.release import signoffs

    found = signoffs.status(folder)
    if as_json:
        output.out(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode(), highlight=False)
        return
    output.print(f"{printable(found['release'])}, commit {found['commit']}; evidence {found['evidence']}")
    if not found["evidence_unchanged"]:
        output.print("Files are not as the index says: gather the evidence again.")
    rows = [
        (one["role"], one["state"], *((one["signoff"] or {}).get(name) for name in ("by", "at", "note")))
        for one in found["roles"]
    ]
    print_table(("role", "state", "by", "at", "note"), rows)


def release_evidence(
    version: Annotated[str, typer.Option("--release", help="The release that this is the evidence of.")],
    folder: Annotated[
        Path, typer.Option("--output", help="The folder for it; sign-offs in it are kept.", file_okay=False)
    ] = Path("release"),
    source: Annotated[Path, typer.Option(help="The clone that the release is made of.")] = Path(),
    load_baseline: Annotated[
        list[Path] | None,
        typer.Option(
            help="What loadtest has written of the version before; again for each.", show_default=False
        ),
    ] = None,
    load_results: Annotated[
        list[Path] | None,
        typer.Option(help="What loadtest has written of this release; again for each.", show_default=False),
    ] = None,
    test_results: Annotated[
        Path | None,
        typer.Option(help="JUnit XML of make test (test-results.xml).", show_default=False),
    ] = None,
    rehearsal_results: Annotated[
        Path | None,
        typer.Option(help="JUnit XML of make rehearsal (rehearsal-results.xml).", show_default=False),
    ] = None,
    config_verification: Annotated[
        Path | None, typer.Option(help="What config verify has written.", show_default=False)
    ] = None,
    rollout: Annotated[
        Path | None, typer.Option(help="The folder of the rollout.", show_default=False)
    ] = None,
    before_rollout: Annotated[
        bool, typer.Option("--before-rollout", help="There is no rollout yet: nothing of it is due.")
    ] = False,
    prometheus: Annotated[
        str | None, typer.Option(help="URL of Prometheus, for a rollback's metrics.", show_default=False)
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(help="A log of the API, for a rollback's errors; again for each.", show_default=False),
    ] = None,
    around_rollback: Annotated[
        float, typer.Option(min=10, max=86_400, help="Seconds before and after a rollback to show.")
    ] = 900,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Exit 0 although something is missing or stale.")
    ] = False,
) -> None:
    """Gather all evidence of a release in one folder, with an index page; exits 1 where something lacks.

    What is missing, of another commit, or has failed is named as that. The database of
    REGISTRY_DATABASE_URL is asked for its migrations, if that is set.

    Example: instrument-registry release-evidence --release 1.4.0 --before-rollout
    --test-results test-results.xml --rehearsal-results rehearsal/rehearsal-results.xml
    --config-verification search_config_integration_verification.json
    --load-baseline old/load_test_burst_1.json --load-results load_test_burst_2.json
    """
    from app.release.evidence import COMPLETE, FAILED, Inputs, gather
    from app.release.index_page import write_index_page
    from app.release.source import Source
    from app.settings import Settings

    if not 1 <= len(version) <= 100 or not version.isprintable() or " " in version:
        fail("--release: must be 1 to 100 printable characters without spaces")
    if prometheus is not None:
        server_url(prometheus, "--prometheus")
    url = Settings.from_environment().database_url
    inputs = Inputs(
        load_baseline=load_baseline or (),
        load_results=load_results or (),
        test_results=test_results,
        rehearsal_results=rehearsal_results,
        config_verification=config_verification,
        database_url=None if url is None else url.get_secret_value(),
        rollout=rollout,
        is_before_rollout=before_rollout,
        prometheus=prometheus,
        logs=log or (),
        around_rollback_s=around_rollback,
    )
    index = gather(version, Source.read(source), inputs, folder)
    write_index_page(folder)
    _print_pieces(index)
    output.print(f"{folder / 'index.html'} and index.json: {index['verdict']}")
    if index["verdict"] == FAILED or (index["verdict"] != COMPLETE and not allow_missing):
        fail(f"{_lacks(index)}; see {folder / 'index.html'}")


def _print_pieces(index: dict[str, Any]) -> None:
    print_table(
        ("evidence", "state", "verdict", "why, or what it found"),
        [
            (
                one["name"],
                one["state"],
                one["verdict"],
                printable("; ".join(filter(None, (one["reason"], one["finding"])))),
            )
            for one in index["pieces"]
        ],
    )


def _lacks(index: dict[str, Any]) -> str:
    """How many pieces are in which bad way."""
    bad = {"failed": [one["name"] for one in index["pieces"] if one["verdict"] == "failed"]}
    for state in ("missing", "stale"):
        bad[state] = [one["name"] for one in index["pieces"] if one["state"] == state]
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in bad.items() if names)
