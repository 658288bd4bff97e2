"""The loop that carries a rollout out: look, judge, decide, write down, set the weights."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from app.monitoring.prometheus import Prometheus, PrometheusUnavailable
from app.rollout import judge
from app.rollout.balancer import Balancer, BalancerUnavailable
from app.rollout.folder import Folder, FolderError
from app.rollout.journal import LOOK, REFUSED, Journal
from app.rollout.look import Look
from app.rollout.machine import (
    OrderKind,
    OrderRefused,
    Phase,
    State,
    advance,
    obey,
    share_of,
)
from app.rollout.measured import Measured, baseline_of
from app.rollout.observer import measure
from app.rollout.plan import FULL, Step
from app.rollout.record import Record, Rollback
from app.rollout.verdict import Finding, Verdict
from app.times import utc_now

_ORDERS_POLL_S: Final = 0.2

Health = Callable[[], Awaitable[Mapping[str, str | None]]]
"""For each track what is wrong with it, or None."""


class Controller:
    """Of one rollout; `tell` is given a line whenever something has changed."""

    def __init__(
        self,
        record: Record,
        folder: Folder,
        balancer: Balancer,
        prometheus: Prometheus,
        health: Health,
        probe_troubles: Callable[[], Sequence[str]],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._record = record
        self._folder = folder
        self._balancer = balancer
        self._prometheus = prometheus
        self._health = health
        self._probe_troubles = probe_troubles
        self._journal = Journal(record, folder, tell)
        self._clock = clock
        self._measured: Measured | None = None

    async def run(self, stop: asyncio.Event) -> State:
        """Until the rollout has ended, or `stop`: then the weights stay, and nobody watches."""
        record = self._record
        if (at := record.state.looked_at) is None:
            self._journal.write("started", release=record.target.release, unsigned=record.unsigned)
        else:
            self._journal.write("taken up again", unwatched_s=round(self._clock() - at, 1))
        while not record.state.ended:
            started = time.monotonic()
            await self._look()
            if record.state.ended or await self._wait(stop, started + record.plan.interval_s):
                break
        if not record.state.ended:
            self._journal.write("stopped", reason="the controller was told to end; nobody watches the canary")
        return record.state

    async def _wait(self, stop: asyncio.Event, until: float) -> bool:
        """Until the next look is due, or an order has come; whether to stop."""
        while (
            (left_s := until - time.monotonic()) > 0 and not stop.is_set() and not self._folder.has_orders()
        ):
            try:
                async with asyncio.timeout(min(left_s, _ORDERS_POLL_S)):
                    await stop.wait()
            except TimeoutError:
                continue
        return stop.is_set()

    async def _look(self) -> None:
        await self._take_orders()
        look = Look()
        await self._see_balance(look)
        await self._see_metrics(look)
        await self._judge(look)
        before = self._record.state
        after = advance(before, self._record.plan, look.sight(), self._clock())
        self._note(before, after, look)
        self._record.state = after
        await self._write_down(_event(before, after), look)
        if share_of(after, self._record.plan) != self._record.confirmed_share:
            await self._set_share_at_once()

    async def _take_orders(self) -> None:
        for file, order in self._folder.orders():
            before = self._record.state
            if order is None:
                file.rename(file.with_suffix(".refused"))
                self._journal.write("order refused", order=file.name, reason=f"{file} is no order")
                continue
            try:
                self._record.state = obey(before, order)
            except OrderRefused as error:
                event = f"{order.kind} {REFUSED}"
                self._journal.write(event, order=file.name, by=order.by, reason=str(error))
            else:
                if order.kind is OrderKind.RESUME:
                    self._record.confirmed_share = None  # to be set, whatever it is now
                if order.kind is OrderKind.ABORT:
                    self._begin_rollback("aborted", f"by {order.by}: {order.reason}")
                event = f"{order.kind} ordered"
                await self._write_down(event, order=file.name, by=order.by, reason=order.reason)
            file.unlink()

    async def _write_down(self, event: str, look: Look | None = None, **facts: str) -> None:
        """Before the weights are set; but a disk that is full must not keep users on the canary."""
        try:
            self._journal.write(event, look, **facts)
        except Exception as error:
            wanted, confirmed = share_of(self._record.state, self._record.plan), self._record.confirmed_share
            if wanted < (FULL if confirmed is None else confirmed):
                raise FolderError(f"{error}; {await self._lower_share(wanted)}") from error
            raise

    async def _lower_share(self, share: int) -> str:
        """Without a word to the journal; what has come of it."""
        try:
            await self._balancer.set_share(share)
        except BalancerUnavailable as error:
            return f"the canary was NOT set to {share} %: {error}; set the balancer by hand"
        self._confirm(share)
        return f"the canary was set to {share} %"

    async def _see_balance(self, look: Look) -> None:
        """Set the share where it is not known to be set. One that somebody else changed stays as it is, but
        that a canary has users before its checks or after a rollback is mended."""
        record = self._record
        wanted = share_of(record.state, record.plan)
        try:
            look.balance = await self._balancer.read()
            if not look.balance.has_share(wanted):
                if record.confirmed_share == wanted and record.state.phase is Phase.ROLLING_OUT:
                    look.foreign = f"the canary has {look.balance.share:.1f} %, not {wanted} %"
                else:
                    look.balance = await self._balancer.set_share(wanted)
        except BalancerUnavailable as error:
            look.troubles.append(str(error))
            return
        if look.foreign is None:
            look.share_set = True
            self._confirm(wanted)
        record.count_users(look.balance.users_requests, look.balance.users_errors)

    async def _set_share_at_once(self) -> None:
        """After a decision; what fails here is tried again at every look."""
        wanted = share_of(self._record.state, self._record.plan)
        try:
            await self._balancer.set_share(wanted)
        except BalancerUnavailable as error:
            self._journal.write("share not set", share=wanted, reason=str(error))
            return
        self._confirm(wanted)
        self._journal.write("share set", share=wanted)

    def _confirm(self, share: int) -> None:
        self._record.confirmed_share = share
        rollback = self._record.rollback
        if rollback is not None and rollback.confirmed_at is None and share == 0:
            rollback.confirmed_at = utc_now()

    async def _see_metrics(self, look: Look) -> None:
        state, step = self._record.state, self._record.step
        nearly_done_s = step.hold_s - 2 * self._record.plan.interval_s
        over_hold = state.phase is Phase.ROLLING_OUT and state.passed_s >= nearly_done_s
        try:
            look.measured = await measure(self._prometheus, self._record.plan, step, over_hold=over_hold)
        except PrometheusUnavailable as error:
            look.troubles.append(str(error))
        else:
            self._measured = look.measured

    async def _judge(self, look: Look) -> None:
        record, plan, step = self._record, self._record.plan, self._record.step
        phase, measured, balance = record.state.phase, look.measured, look.balance
        unseen = [Finding("seen", Verdict.HOLD, trouble) for trouble in look.troubles]
        if phase is Phase.ROLLING_OUT and balance is not None:
            look.alarms["down"] = judge.judge_down(down=balance.canary_is_down)
        if measured is None:
            look.gate = unseen
        elif phase is Phase.CHECKING:
            look.gate = [*unseen, *judge.judge_checks(plan, measured, await self._health())]
        elif phase is Phase.ROLLING_BACK:
            look.gate = [*unseen, *judge.judge_recovery(plan, measured, record.baseline)]
        else:
            look.gate = [*unseen, *judge.judge_gate(plan, step, measured)]
            look.over_hold = judge.judge_hold(plan, step, measured)
            look.alarms |= judge.judge_alarms(plan, step, measured)
        if balance is not None and balance.stable_is_down and step.share < FULL:
            text = "the balancer's health checks find no stable server"
            look.gate = [*look.gate, Finding("stable up", Verdict.HOLD, text)]
        if phase is not Phase.ROLLING_BACK:
            troubles = [Finding("probe", Verdict.HOLD, trouble) for trouble in self._probe_troubles()]
            look.gate = [*look.gate, *troubles]

    def _note(self, before: State, after: State, look: Look) -> None:
        """Keep what a change of state is to be remembered by."""
        record = self._record
        if before.phase is Phase.CHECKING and after.phase is Phase.ROLLING_OUT and look.measured is not None:
            record.baseline = baseline_of(look.measured.stable.window, utc_now())
        if before.phase is Phase.ROLLING_OUT and (before.step, before.phase) != (after.step, after.phase):
            if after.phase is Phase.ROLLING_BACK:
                alarm = look.alarms[str(after.cause)]
                self._begin_rollback(str(after.cause), alarm.text)
            else:
                self._note_step(self._record.step, look)
        rollback = record.rollback
        if before.phase is Phase.ROLLING_BACK and after.ended and rollback is not None:
            rollback.restored = after.restored
            seconds = self._clock() - datetime.fromisoformat(rollback.decided_at).timestamp()
            rollback.restored_after_s = round(seconds, 1) if after.restored else None
            rollback.after = None if look.measured is None else look.measured.as_json()
            rollback.findings = [asdict(finding) for finding in look.gate]

    def _note_step(self, step: Step, look: Look) -> None:
        measured = look.measured
        if measured is not None and measured.stable_over_hold is not None and step.records_baseline:
            self._record.baseline = baseline_of(measured.stable_over_hold, utc_now()) or self._record.baseline
        self._record.steps.append(
            {
                "name": step.name,
                "share": step.share,
                "passed_at": utc_now(),
                "hold_s": step.hold_s,
                "findings": [asdict(finding) for finding in (*look.gate, *look.over_hold)],
                "numbers": None if measured is None else measured.as_json(),
            }
        )

    def _begin_rollback(self, cause: str, text: str) -> None:
        before = None if self._measured is None else self._measured.as_json()
        self._record.rollback = Rollback(cause, text, utc_now(), before=before)


def _event(before: State, after: State) -> str:
    if after.phase is not before.phase:
        return str(after.phase)
    if after.step != before.step:
        return "step"
    if after.pause is not None and after.pause != before.pause:
        return "paused"
    if after.passed_s < before.passed_s:
        return "hold begins anew"
    return LOOK
