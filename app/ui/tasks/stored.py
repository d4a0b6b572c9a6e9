"""The first page of the list as it is kept between starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.posthog.types import Page
from app.core.posthog.wire import decode_tasks, encode_tasks

if TYPE_CHECKING:
    from app.core.posthog.types import Task, TaskQuery
    from app.ui.tasks.cache import TaskCache

KEPT = 1000


class StoredList(msgspec.Struct):
    """`count` is what the server had, `next` the cursor after the tasks kept."""

    tasks: msgspec.Raw
    count: int
    next: str | None
    pins: tuple[str, ...]


def encode(cache: TaskCache, query: TaskQuery) -> bytes:
    """The loaded part of a query's answer, unconfirmed changes left out."""
    listing = cache.listing(query)
    if listing is None:
        return b""
    tasks = cache.confirmed(listing.order[:KEPT])
    following = listing.next if len(listing.order) <= KEPT else None
    return msgspec.json.encode(
        StoredList(msgspec.Raw(encode_tasks(tasks)), listing.count, following, tuple(sorted(cache.pins)))
    )


def decode(payload: bytes) -> tuple[Page[Task], frozenset[str]] | None:
    """What was kept, or None where another version kept it otherwise."""
    try:
        found = msgspec.json.decode(payload, type=StoredList)
    except msgspec.MsgspecError:
        return None
    return Page(decode_tasks(bytes(found.tasks)), found.count, found.next), frozenset(found.pins)
