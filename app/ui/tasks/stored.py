"""The part of the list that is saved between starts."""

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
    """`count` is the number on the server, `next` the cursor after the saved tasks."""

    tasks: msgspec.Raw
    count: int
    next: str | None
    pins: tuple[str, ...]


def encode(cache: TaskCache, query: TaskQuery) -> bytes:
    """The loaded part of a query's list, without unconfirmed edits."""
    listing = cache.listing(query)
    if listing is None:
        return b""
    # A cursor leads on from the last loaded task. Where that is cut off, there is none that fits.
    tasks = cache.confirmed(listing.order[:KEPT])
    following = listing.next if len(listing.order) <= KEPT else None
    return msgspec.json.encode(
        StoredList(msgspec.Raw(encode_tasks(tasks)), listing.count, following, tuple(sorted(cache.pins)))
    )


def decode(payload: bytes) -> tuple[Page[Task], frozenset[str]] | None:
    """The saved list; None where another version saved it in another form."""
    try:
        found = msgspec.json.decode(payload, type=StoredList)
    except msgspec.MsgspecError:
        return None
    return Page(decode_tasks(bytes(found.tasks)), found.count, found.next), frozenset(found.pins)
