"""What would be interrupted if Burrow ended now: one list that quitting, updating and the end of the session ask.

Whoever has work under way registers a source with `Busy`. A source is asked each time, so it keeps no second account of
what it does. Signing out and switching to another account ask for the part of it that belongs to the account in use.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from app.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

log = logging.getLogger(__name__)


class WorkKind(Enum):
    """What kind of work it is. The values are the names in records."""

    CALL = "tool call"
    CLIENT = "client of the proxy"
    DRAFT = "unsent draft"
    SENDING = "sending"
    SIGN_IN = "sign-in"
    RUN = "run"
    FILE = "file being written"


@dataclass(frozen=True, slots=True)
class Work:
    """One thing under way.

    `what` names it in words that end no sentence, such as "search_docs on Linear". `consequence` is one sentence that
    says what an end now means for it. `kept` work waits on disk and goes on after the next start: only an update that
    nobody asked for waits for it. `without_account` is one sentence that says what it means for it when its account is
    not used any more; empty for work that does not depend on that.
    """

    kind: WorkKind
    what: str
    consequence: str
    kept: bool = False
    without_account: str = ""


class Busy:
    """The work of this process. `changed` may be emitted on any thread, and says that the list may be another."""

    def __init__(self) -> None:
        self.changed: Event[None] = Event()
        self._sources: list[Callable[[], Iterable[Work]]] = []

    def register(self, source: Callable[[], Iterable[Work]]) -> Callable[[], None]:
        """Ask `source` from now on. Returns a function that ends that; safe to call twice."""
        self._sources.append(source)

        def unregister() -> None:
            if source in self._sources:
                self._sources.remove(source)

        return unregister

    @contextmanager
    def during(self, work: Work) -> Iterator[None]:
        """Count `work` as under way for the time of the block."""
        unregister = self.register(lambda: (work,))
        self.changed.emit(None)
        try:
            yield
        finally:
            unregister()
            self.changed.emit(None)

    def works(self) -> tuple[Work, ...]:
        """Everything under way, in the order of registration. A source that fails is logged and counts as idle."""
        found: list[Work] = []
        for source in tuple(self._sources):
            try:
                found.extend(source())
            except Exception:
                log.exception("a source of work failed")
        return tuple(found)

    def interrupted(self) -> tuple[Work, ...]:
        """What an end would break off: everything that is not kept on disk."""
        return tuple(work for work in self.works() if not work.kept)

    def of_account(self) -> tuple[Work, ...]:
        """What depends on the account in use, each with what it means for it when that is left."""
        return tuple(replace(work, consequence=work.without_account) for work in self.works() if work.without_account)
