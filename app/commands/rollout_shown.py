"""A rollout in words: where it is, and how it has ended."""

from typing import Any

from app.rollout.folder import DECISIONS_FILE, SUMMARY_FILE, Folder
from app.rollout.machine import Phase, share_of
from app.rollout.record import Record
from app.terminal import output, print_table, printable


def end_in_words(record: Record, files: Folder) -> str:
    """How the rollout has ended, or that its controller was told to end before."""
    state, release, users = record.state, record.target.release, record.users_in_all()
    answered = f"{users.errors:,} of {users.requests:,} requests of users failed ({users.error_ratio:.3%})"
    evidence = f"evidence: {files.path / SUMMARY_FILE} and {DECISIONS_FILE}"
    if not state.ended:
        return (
            "the controller was told to end: nobody watches the canary, which keeps "
            f"{record.confirmed_share or 0} %; go on with rollout run --folder {files.path}, or roll back "
            "with rollout abort"
        )
    if state.phase is Phase.PROMOTED:
        return (
            f"{release} has all users until HAProxy is reloaded: make its address that of stable, then "
            f"reload (docs/rollout.md, After the rollout); {answered}; {evidence}"
        )
    if record.rollback is None:
        return f"{release} was given no users: {state.cause}; {evidence}"
    rollback = record.rollback
    back = (
        f"stable is as before, {rollback.restored_after_s:g} s after the decision"
        if rollback.restored
        else "stable was NOT seen to be as before: look at it now"
    )
    why = f"{rollback.cause}: {rollback.text}"
    return f"{release} is {state.phase} ({why}); {back}; {answered}; {evidence}"


def print_status(record: Record, holder: str | None, last: dict[str, Any] | None) -> None:
    state, plan = record.state, record.plan
    hold_s = plan.steps[state.step].hold_s
    confirmed = "not confirmed" if record.confirmed_share is None else f"confirmed {record.confirmed_share} %"
    facts = [
        ("release", record.target.release),
        ("state", record.place),
        ("canary", f"{share_of(state, plan)} % ({confirmed})"),
        ("controller", holder or ("none" if state.ended else "NONE: nobody watches; rollout run goes on")),
        ("users", f"{record.users_in_all().requests:,} requests, {record.users_in_all().errors:,} failed"),
    ]
    if state.phase is Phase.ROLLING_OUT:
        facts.append(("passed", f"{state.passed_s:.0f} of {hold_s:.0f} s"))
    if state.pause is not None:
        facts.append(("paused", f"by {state.pause.by}: {state.pause.reason}; weights {state.pause.weights}"))
    if record.rollback is not None:
        facts.append(("cause", f"{record.rollback.cause}: {record.rollback.text}"))
        facts.append(("restored", {True: "yes", False: "NO", None: "not yet"}[record.rollback.restored]))
    print_table(("", ""), [(name, printable(text)) for name, text in facts])
    if last is not None:
        output.print(f"\nLast look, {last['at']}:")
        rows = [(one["name"], one["verdict"], printable(one["text"])) for one in last["findings"]]
        rows += [(f"alarm {name}", one["verdict"], one["text"]) for name, one in last["alarms"].items()]
        rows += [("not seen", "hold", printable(trouble)) for trouble in last["troubles"]]
        print_table(("finding", "verdict", ""), rows)
