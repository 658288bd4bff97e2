"""`instrument-registry profile`."""

import re
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from app.commands.profile_content import patch_of, query_of, traits_of
from app.commands.profile_shown import print_event, print_profile
from app.commands.running_service import Key, Url, ask
from app.commands.search import (
    AssetClasses,
    Countries,
    Currencies,
    Mics,
    Sectors,
    Statuses,
    filters_of,
    instruments_shown,
    print_instruments,
)
from app.domain.profile import BarInterval, Channel, DeliveryMode, ProfileStatus
from app.domain.query import FILTERS
from app.store.profile_rows import PUBLIC_ID_PATTERN
from app.terminal import (
    AsJson,
    completing,
    fail,
    messages,
    output,
    print_json,
    print_table,
    printable,
    progress_bar,
)

if TYPE_CHECKING:
    from instrument_registry_client import RegistryClient
    from instrument_registry_client.models import (
        Profile,
        ProfileDocument,
        ProfileSummary,
        ResolvedInstruments,
    )

profile = typer.Typer(
    no_args_is_help=True, help="Subscription profiles: list, show, create, edit, delete, watch."
)

_PUBLIC_ID: Final = re.compile(PUBLIC_ID_PATTERN)
_QUERY_PARTS: Final = ("query", *FILTERS)

Wanted = Annotated[str, typer.Argument(metavar="PROFILE", help="Its id, or the name of one of yours.")]
Channels = Annotated[
    list[Channel] | None,
    typer.Option("--channel", help="What to receive; repeatable (a new one: trades).", show_default=False),
]
Description = Annotated[str | None, typer.Option(show_default=False)]
State = Annotated[ProfileStatus | None, typer.Option("--state", help="Paused or not.", show_default=False)]
Mode = Annotated[
    DeliveryMode | None, typer.Option("--mode", help="How messages are delivered.", show_default=False)
]
Interval = Annotated[
    int | None,
    typer.Option("--interval-ms", help="Of conflated and snapshot delivery.", show_default=False),
]
Bars = Annotated[
    BarInterval | None, typer.Option("--bar-interval", help="Of the channel bars.", show_default=False)
]
Depth = Annotated[int | None, typer.Option("--book-depth", help="Of the channel book.", show_default=False)]


@profile.command("list")
def list_profiles(
    state: State = None,
    owner: Annotated[str | None, typer.Option(help="Whose; for profiles:admin.", show_default=False)] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """List profiles, in the order of their creation.

    Example: instrument-registry profile list --state active
    """
    status: Any = None if state is None else state.value

    async def read(client: "RegistryClient") -> "list[ProfileSummary]":
        return [one async for one in client.profiles.list_all(status=status, owner=owner)]

    found = ask(url, key, read)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"],
            printable(one["name"]),
            one["status"],
            "by query" if one["instrument_count"] is None else f"{one['instrument_count']:,}",
            " ".join(one["channels"]),
            one["version"],
        )
        for one in found
    ]
    columns = ("id", "name", "state", "instruments", "channels", "version")
    print_table(columns, rows, styles=("dim", "bold", "green", "", "cyan"))


@profile.command("show")
def show(
    wanted: Wanted,
    limit: Annotated[int, typer.Option(min=1, help="How many instruments.")] = 20,
    everything: Annotated[
        bool, typer.Option("--all", help="All instruments; as JSON these alone, one in each line.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show a profile, and the first instruments that it resolves to now: as JSON, in `resolved`.

    Example: instrument-registry profile show "European ETFs" --limit 50
    """
    if everything:
        ask(url, key, lambda client: _show_all(client, wanted, as_json=as_json))
        return

    async def read(client: "RegistryClient") -> "tuple[Profile, ResolvedInstruments]":
        profile_id = await _id_of(client, wanted)
        found = (await client.profiles.read(profile_id)).value
        return found, await client.profiles.instruments_page(profile_id, limit=limit)

    found, page = ask(url, key, read)
    if as_json:
        print_json({**found, "resolved": page})
        return
    print_profile(found)
    if page.get("partial"):
        messages.print(f"Not all: {page.get('partial_reason')}", style="yellow")
    print_instruments(page["instruments"])
    shown, total = len(page["instruments"]), page["total"]
    about = "" if page["total_is_exact"] else "at least "
    more = "; --limit shows more, --all the whole list" if total > shown else ""
    messages.print(f"{shown:,} of {about}{total:,} instruments{more}", style="dim")


@profile.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Unique among yours.")],
    channel: Channels = None,
    instrument: Annotated[
        list[str] | None, typer.Option(help="An id, as `search` shows it; repeatable.")
    ] = None,
    instruments_from: Annotated[
        Path | None, typer.Option(help="A file with an id in each line.", show_default=False)
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(help="Select what this finds, now and later; or by filters.", show_default=False),
    ] = None,
    asset_class: AssetClasses = None,
    mic: Mics = None,
    currency: Currencies = None,
    country: Countries = None,
    sector: Sectors = None,
    status: Statuses = None,
    description: Description = None,
    mode: Mode = None,
    interval_ms: Interval = None,
    bar_interval: Bars = None,
    book_depth: Depth = None,
    state: State = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Create a profile, of instruments or of a query.

    Example: instrument-registry profile create "European ETFs" --asset-class etf --currency EUR
    """
    members = [*(instrument or ()), *(_ids_in(instruments_from) if instruments_from else ())]
    dynamic = query_of(query, filters_of(asset_class, mic, currency, country, sector, status))
    if bool(members) == bool(dynamic):
        fail("give --instrument or --instruments-from, or else --query or filters such as --asset-class")
    document = {
        "name": name,
        "channels": [str(one) for one in channel or (Channel.TRADES,)],
        "selection": {"instruments": members} if members else {"query": dynamic},
        **traits_of(description, None, mode, interval_ms, bar_interval, book_depth, state),
    }
    created = ask(url, key, lambda client: client.profiles.create(cast("ProfileDocument", document))).value
    if as_json:
        print_json(created)
    else:
        output.print(created["id"])


@profile.command("edit")
def edit(
    wanted: Wanted,
    name: Annotated[str | None, typer.Option(help="Its new name.", show_default=False)] = None,
    add: Annotated[list[str] | None, typer.Option(help="An instrument's id; repeatable.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="An instrument's id; repeatable.")] = None,
    query: Annotated[
        str | None,
        typer.Option(
            help="Of a profile by query: its text. Texts and filters not given stay.", show_default=False
        ),
    ] = None,
    asset_class: AssetClasses = None,
    mic: Mics = None,
    currency: Currencies = None,
    country: Countries = None,
    sector: Sectors = None,
    status: Statuses = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Drop this of the query: {', '.join(_QUERY_PARTS)}; repeatable.",
            autocompletion=completing(_QUERY_PARTS),
        ),
    ] = None,
    channel: Channels = None,
    description: Description = None,
    mode: Mode = None,
    interval_ms: Interval = None,
    bar_interval: Bars = None,
    book_depth: Depth = None,
    state: State = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Change a profile, in one step; what others change meanwhile is kept.

    Example: instrument-registry profile edit "European ETFs" --state paused --description "out of hours"
    """
    traits = traits_of(description, name, mode, interval_ms, bar_interval, book_depth, state)
    if channel:
        traits["channels"] = [str(one) for one in channel]
    added, removed = list(add or ()), list(remove or ())
    if unknown := [one for one in without or () if one not in _QUERY_PARTS]:
        fail(f"--without: {unknown[0]!r} is none of {', '.join(_QUERY_PARTS)}")
    dynamic: dict[str, Any] = {"q" if one == "query" else one: None for one in without or ()}
    dynamic |= query_of(query, filters_of(asset_class, mic, currency, country, sector, status))
    if not (traits or dynamic or added or removed):
        fail("nothing to change; give --add, --remove, --name or another option (--help lists them)")

    async def write(client: "RegistryClient") -> "Profile":
        profile_id = await _id_of(client, wanted)
        if not (traits or dynamic):  # whatever others add and remove
            await client.profiles.edit_members(profile_id, add=added, remove=removed)
            return (await client.profiles.read(profile_id)).value
        return (
            await client.profiles.edit(
                profile_id, lambda found: patch_of(found, traits, added, removed, dynamic)
            )
        ).value

    changed = ask(url, key, write)
    if as_json:
        print_json(changed)
    else:
        print_profile(changed)


@profile.command("delete")
def delete(
    wanted: Wanted,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Delete a profile; its events stay.

    Example: instrument-registry profile delete "European ETFs" --yes
    """
    if not yes:
        if not sys.stdin.isatty():
            fail("nobody is there to confirm; give --yes")
        typer.confirm(f"Delete the profile {wanted}?", abort=True)

    async def remove(client: "RegistryClient") -> str:
        profile_id = await _id_of(client, wanted)
        await client.profiles.delete(profile_id, etag=(await client.profiles.read(profile_id)).etag)
        return profile_id

    profile_id = ask(url, key, remove)
    if as_json:
        print_json({"id": profile_id, "deleted": True})
    else:
        output.print(f"{profile_id} is deleted.")


@profile.command("watch")
def watch(
    wanted: Wanted,
    after: Annotated[
        int | None,
        typer.Option(min=0, help="Begin behind the event of this number.", show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="End after so many events.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show what happens to a profile and its instruments, until Ctrl-C; a lost connection is made again.

    Example: instrument-registry profile watch "European ETFs" --json
    """

    async def listen(client: "RegistryClient") -> None:
        left = limit
        profile_id = await _id_of(client, wanted)
        async with aclosing(client.profiles.stream(profile_id, after=after)) as events:
            async for event in events:
                if as_json:
                    print_json({"event": event.kind, **event.data}, indent=False)
                else:
                    print_event(event.number, event.kind, event.data)
                if left is not None and (left := left - 1) == 0:
                    return

    ask(url, key, listen)


async def _show_all(client: "RegistryClient", wanted: str, *, as_json: bool) -> None:
    profile_id = await _id_of(client, wanted)
    if not as_json:
        print_profile((await client.profiles.read(profile_id)).value)
    with instruments_shown(as_json=as_json) as tell, progress_bar(shown=not output.is_terminal) as progress:
        async for instrument in client.profiles.instruments_all(profile_id):
            tell(instrument)
            progress(1)


async def _id_of(client: "RegistryClient", wanted: str) -> str:
    """An id as it is; a name's, of the caller's own profiles."""
    if _PUBLIC_ID.fullmatch(wanted):
        return wanted
    found = [one["id"] async for one in client.profiles.list_all() if one["name"] == wanted]
    if not found:
        fail(f"there is no profile named {wanted!r}; instrument-registry profile list shows those there are")
    if len(found) > 1:
        fail(f"{len(found)} owners have a profile named {wanted!r}; give its id: {', '.join(found)}")
    return found[0]


def _ids_in(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--instruments-from: {file} cannot be read ({error}); name a file of UTF-8 text")
