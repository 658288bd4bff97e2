"""Answers that are pages of newest-first lists."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from app.web.json_answer import json_answer


def newest_first(name: str, entries: Sequence[Any], number: str, limit: int) -> web.Response:
    """Up to `limit` entries under `name`, and where the next page begins.

    `number` is the attribute by which they are counted, down to 1.
    """
    last = getattr(entries[-1], number) if len(entries) == limit else 1
    content = {name: entries, "next_before": last if last > 1 else None}
    return json_answer(content)
