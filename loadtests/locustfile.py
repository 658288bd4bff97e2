"""What Locust runs. `instrument-registry loadtest` starts it; workers on other machines are started by hand:

    locust -f loadtests/locustfile.py --worker --master-host HOST

The master sends them the plan of the run, and they send it what became of their requests.
"""

from pathlib import Path
from typing import Any

from locust import LoadTestShape, events
from locust.runners import MasterRunner, WorkerRunner

from loadtests.plan import BEGINS_FILE, PLAN_FILE, REQUESTS_FILE, Plan, now
from loadtests.records import as_requests, write_requests
from loadtests.users import BatchLookup, Browsing, KnownSymbol, Profiles, Run, Typing

__all__ = ["BatchLookup", "Browsing", "FixedRate", "KnownSymbol", "Profiles", "Typing"]

PLAN_MESSAGE = "load plan"
AFTER_THE_END_S = 1.0


class FixedRate(LoadTestShape):
    """All users, from the beginning to the end: together they make the rate of the shape."""

    def tick(self) -> tuple[int, float] | None:
        plan = Run.plan
        if plan.begins_at and now() > plan.ends_at + AFTER_THE_END_S:
            return None
        return plan.users, max(1.0, plan.users / (plan.warm_up_s / 2))


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    parser.add_argument("--load-folder", default=None, help="where the plan of the run is (master only)")


@events.init.add_listener
def prepare(environment: Any, **_: Any) -> None:
    """Read the plan, or be ready to receive it."""
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message(PLAN_MESSAGE, receive_plan)
    else:
        Run.begin(Plan.model_validate_json((_folder(environment) / PLAN_FILE).read_bytes()), 0)


@events.test_start.add_listener
def start(environment: Any, **_: Any) -> None:
    """Fix when the run begins to count; users are started after this."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        return
    Run.begin(Run.plan.model_copy(update={"begins_at": now() + Run.plan.warm_up_s}), 0)
    written = _folder(environment) / f"{BEGINS_FILE}.new"
    written.write_text(str(Run.plan.begins_at))
    written.rename(_folder(environment) / BEGINS_FILE)  # whole, or not there
    if isinstance(runner, MasterRunner):
        runner.send_message(PLAN_MESSAGE, Run.plan.model_dump())


def receive_plan(environment: Any, msg: Any, **_: Any) -> None:
    Run.begin(Plan.model_validate(msg.data), environment.runner.worker_index)


@events.report_to_master.add_listener
def report(data: dict[str, Any], **_: Any) -> None:
    data["requests"] = Run.requests[:]
    Run.requests.clear()


@events.worker_report.add_listener
def collect(data: dict[str, Any], **_: Any) -> None:
    Run.requests.extend(as_requests(data["requests"]))


@events.quitting.add_listener
def write(environment: Any, **_: Any) -> None:
    if not isinstance(environment.runner, WorkerRunner):
        write_requests(_folder(environment) / REQUESTS_FILE, Run.requests)


def _folder(environment: Any) -> Path:
    if environment.parsed_options.load_folder is None:
        raise SystemExit("start load tests with: instrument-registry loadtest burst|sustained")
    return Path(environment.parsed_options.load_folder)
