"""`instrument-registry rollout`."""

import asyncio
import getpass
import time
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from app.commands.rollout_shown import end_in_words, print_status
from app.environment import EnvironmentModel
from app.logs import configure_logs
from app.rollout.folder import DECISIONS_FILE, Controlled, Folder, control
from app.rollout.journal import REFUSED
from app.rollout.machine import Order, OrderKind, Phase, obey
from app.rollout.plan import PLAN_FILE, read_plan
from app.rollout.record import Record, Target, record_of
from app.terminal import fail, messages, output, printable, server_url

rollout = typer.Typer(
    no_args_is_help=True,
    help="Staged release of a canary behind HAProxy: start, run, status, pause, resume, abort. "
    "REGISTRY_ROLLOUT_KEY is the API key of the probes.",
)

HEEDED_WITHIN_S: Final = 30.0

FolderOption = Annotated[
    Path, typer.Option("--folder", help="Where the rollout's state and evidence are.", file_okay=False)
]
Reason = Annotated[str, typer.Option(help="Why; it goes into the evidence.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


class RolloutSettings(EnvironmentModel):
    """What a rollout is told by the environment."""

    model_config = SettingsConfigDict(env_prefix="REGISTRY_")

    rollout_key: SecretStr | None = None


@rollout.command()
def start(
    release: Annotated[str, typer.Option(help="The canary's release, as its REGISTRY_RELEASE has it.")],
    prometheus: Annotated[str, typer.Option(help="URL of Prometheus.")],
    haproxy: Annotated[str, typer.Option(help="HAProxy's admin socket: a path, or host:port.")],
    stable_url: Annotated[str, typer.Option(help="Where the stable version answers, not by HAProxy.")],
    canary_url: Annotated[str, typer.Option(help="Where the canary answers, not by HAProxy.")],
    folder: FolderOption = Path("rollout"),
    load_evidence: Annotated[
        Path | None,
        typer.Option(help="What `loadtest burst` found of the canary.", show_default=False),
    ] = None,
    load_test: Annotated[bool, typer.Option("--load-test", help="Make that load test now.")] = False,
    load_shapes: Annotated[
        Path | None, typer.Option(help="Of that load test (default: its own).", show_default=False)
    ] = None,
    signoffs: Annotated[
        Path, typer.Option(help="The folder of the release's sign-offs.", file_okay=False)
    ] = Path("release"),
    unsigned: Annotated[
        str | None, typer.Option(help="Why it may start without all sign-offs.", show_default=False)
    ] = None,
    plan: Annotated[Path, typer.Option(help="Steps, gates, triggers.", show_default=False)] = PLAN_FILE,
    probe: Annotated[
        float, typer.Option(min=0, max=1000, help="Searches a second that each version is sent.")
    ] = 0,
    backend: Annotated[str, typer.Option(help="HAProxy's backend of both versions.")] = "registry",
    frontend: Annotated[str, typer.Option(help="HAProxy's frontend of the users.")] = "users",
    time_scale: Annotated[
        float, typer.Option(min=0.0001, max=1, help="Times and samples multiplied, for a rehearsal.")
    ] = 1,
    scrape_interval: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=3600, help="Seconds between scrapes (default: the plan's).", show_default=False
        ),
    ] = None,
) -> None:
    """Check the canary, then give it 5, 25, 50 and 100 % of the users as its gates pass, or roll back.

    Runs until that has ended, with exit status 0 for a canary at 100 %.

    Example: instrument-registry rollout start --release 1.4.0 --prometheus http://127.0.0.1:9090
    --haproxy /run/haproxy/admin.sock --stable-url http://10.0.0.5:8080
    --canary-url http://10.0.0.6:8080 --load-test
    """
    from app.release.signoffs import missing_signoffs
    from app.rollout.checks import read_load_evidence, run_load_test

    target = Target(
        release=_given(release, "--release"),
        prometheus=_url(prometheus, "--prometheus", may_have_user=True),
        haproxy=haproxy,
        backend=backend,
        frontend=frontend,
        stable_url=_url(stable_url, "--stable-url"),
        canary_url=_url(canary_url, "--canary-url"),
        probe_per_s=probe,
        time_scale=time_scale,
    )
    if target.stable_url == target.canary_url:
        fail("--canary-url: is that of the stable version; name where the canary itself answers")
    scaled = read_plan(plan).scaled(time_scale, scrape_interval)
    missing = missing_signoffs(signoffs, release)
    if missing and not (unsigned or "").strip():
        fail(
            f"{release} lacks the sign-offs of {', '.join(missing)}; get them with instrument-registry "
            "release sign, or say why it starts without them by --unsigned REASON"
        )
    if load_evidence is None and not load_test:
        fail(
            "no load test of the canary: name its evidence with --load-evidence, or make one with --load-test"
        )
    files = Folder(folder)
    files.make()
    with control(files, haproxy, backend):
        if (content := files.read_state()) is not None:
            _refuse_second_start(record_of(content, str(folder)), folder)
        if load_evidence is None:
            messages.print(f"Load test of {target.canary_url} ...")
            load_evidence = asyncio.run(run_load_test(target.canary_url, folder, load_shapes))
        longest_ago_s = scaled.limits.load_evidence_s
        evidence = read_load_evidence(load_evidence, target.canary_url, target.release, longest_ago_s)
        _carry_out(Record.begin(target, scaled, unsigned if missing else None, missing, evidence), files)


@rollout.command()
def run(folder: FolderOption = Path("rollout")) -> None:
    """Go on with a rollout whose controller has ended. Time that nobody watched does not count.

    Example: instrument-registry rollout run --folder rollout
    """
    files = Folder(folder)
    record = _read(files)
    if record.state.ended:
        fail(f"this rollout has ended ({record.state.phase}); start another with rollout start")
    with control(files, record.target.haproxy, record.target.backend):
        _carry_out(_read(files), files)


@rollout.command()
def status(folder: FolderOption = Path("rollout"), as_json: Json = False) -> None:
    """Where a rollout is, what its last look found, and who controls it.

    Example: instrument-registry rollout status --json
    """
    files = Folder(folder)
    record = _read(files)
    holder = files.holder()
    last = next((one for one in reversed(files.read_decisions()) if "findings" in one), None)
    if as_json:
        summary = record.summary() | {
            "controller": None if holder is None else str(holder),
            "last_look": last,
        }
        output.out(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode(), highlight=False)
        return
    print_status(record, None if holder is None else str(holder), last)


@rollout.command()
def pause(reason: Reason, folder: FolderOption = Path("rollout")) -> None:
    """Stay at the canary's share. It is watched meanwhile, and rolled back if a trigger says so.

    Example: instrument-registry rollout pause --reason "a release of another team"
    """
    _order(OrderKind.PAUSE, reason, Folder(folder))


@rollout.command()
def resume(reason: Reason, folder: FolderOption = Path("rollout")) -> None:
    """Go on after a pause; where the controller has paused by itself, with the step from its beginning.

    Example: instrument-registry rollout resume --reason "Prometheus is back"
    """
    _order(OrderKind.RESUME, reason, Folder(folder))


@rollout.command()
def abort(reason: Reason, folder: FolderOption = Path("rollout")) -> None:
    """Roll back now. Where no controller runs, this command does it.

    Example: instrument-registry rollout abort --reason "wrong prices reported"
    """
    files = Folder(folder)
    record = _read(files)
    order = _order_of(OrderKind.ABORT, reason)
    obey(record.state, order)  # raises where there is nothing to abort
    try:
        with control(files, record.target.haproxy, record.target.backend):
            files.put_order(order)
            messages.print("No controller runs; rolling back here.")
            _carry_out(_read(files), files)
    except Controlled:
        _order(OrderKind.ABORT, reason, files)


def _carry_out(record: Record, files: Folder) -> None:
    """Control the rollout until it has ended; exits 1 unless the canary has all users then."""
    from app.rollout.driver import control_rollout

    configure_logs("warning", "text")
    key = RolloutSettings.from_environment().rollout_key
    secret = None if key is None else key.get_secret_value()
    asyncio.run(control_rollout(record, files, secret, lambda line: messages.print(printable(line))))
    words = end_in_words(record, files)
    if record.state.phase is not Phase.PROMOTED:
        fail(words)
    output.print(words)


def _order(kind: OrderKind, reason: str, files: Folder) -> None:
    """Give an order to the controller, and wait until it has taken it; fails where it refuses."""
    record = _read(files)
    order = _order_of(kind, reason)
    obey(record.state, order)  # raises where it would be refused
    file = files.put_order(order)
    deadline = time.monotonic() + HEEDED_WITHIN_S
    while file.exists():
        if files.holder() is None:
            fail(f"no controller runs; the order is kept until one does: rollout run --folder {files.path}")
        if time.monotonic() > deadline:
            fail(f"the controller ({files.holder()}) has not taken the order within {HEEDED_WITHIN_S:.0f} s")
        time.sleep(0.1)
    if (refusal := _refusal_of(file.name, files)) is not None:
        fail(refusal)
    print_status(_read(files), str(files.holder()), None)


def _refusal_of(order: str, files: Folder) -> str | None:
    """Why the controller has not obeyed, None where it has."""
    for decision in reversed(files.read_decisions()):
        if decision.get("order") == order:
            return str(decision["reason"]) if decision["event"].endswith(REFUSED) else None
    return f"what became of the order is not in {files.path / DECISIONS_FILE}; look at rollout status"


def _order_of(kind: OrderKind, reason: str) -> Order:
    return Order(kind, getpass.getuser(), _given(reason, "--reason"))


def _read(files: Folder) -> Record:
    if (content := files.read_state()) is None:
        fail(f"no rollout was started in {files.path}; name another --folder, or begin with rollout start")
    return record_of(content, str(files.path))


def _refuse_second_start(record: Record, folder: Path) -> None:
    if record.state.ended:
        fail(
            f"{folder} holds the rollout of {record.target.release} ({record.state.phase}); its evidence is "
            "kept: name another --folder"
        )
    fail(
        f"{folder} holds a rollout that has not ended ({record.place}); go on with rollout run --folder "
        f"{folder}, or end it with rollout abort"
    )


def _given(text: str, option: str) -> str:
    if not 1 <= len(text.strip()) <= 500:
        fail(f"{option}: must have 1 to 500 characters")
    return text.strip()


def _url(url: str, option: str, *, may_have_user: bool = False) -> str:
    """As it was given: the state that a later controller reads needs the password too."""
    if server_url(url, option).user is not None and not may_have_user:
        fail(f"{option}: must have no user and password; REGISTRY_ROLLOUT_KEY is the key of the probes")
    return url.rstrip("/")
