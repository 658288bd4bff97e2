"""Events of profiles as server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.store.profile_rows import ProfileEvent


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it is sent. `number` 0: nothing happened, it only shows that somebody is here."""

    kind: str
    number: int
    content: bytes

    @property
    def is_last(self) -> bool:
        """Whether nothing can follow: the profile is deleted."""
        return self.kind == "deleted"


HEARTBEAT: Final = Frame("heartbeat", 0, b":\n\n")


def event_frame(event: ProfileEvent) -> Frame:
    return _frame(event.kind, event.number, at=event.at, version=event.version, **event.detail)


def ready_frame(last_event: int) -> Frame:
    """The stream tells everything beyond `last_event`."""
    return _frame("ready", last_event)


def reset_frame(last_event: int, reason: str) -> Frame:
    """Events up to `last_event` may be missing; the stream goes on from there."""
    return _frame("reset", last_event, reason=reason)


def _frame(kind: str, number: int, **data: Any) -> Frame:
    json = orjson.dumps({"number": number, **data}, option=orjson.OPT_UTC_Z)
    return Frame(kind, number, b"id: %d\nevent: %b\ndata: %b\n\n" % (number, kind.encode(), json))
