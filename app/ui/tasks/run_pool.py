"""RunPool: the conversations that are open: that in view, and those of runs that are under way.

A run in the background costs its reducer only. It is followed so that the list can say that it needs the user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QObject, Signal

from app.ui.bridge import Generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.backend import Backend
    from app.core.posthog.types import Task, TaskRun
    from app.core.runs.items import SessionState
    from app.ui.bridge import Bridge
    from app.ui.transcript.conversation import RunConversation

    OpenConversation = Callable[[Backend, Task, TaskRun], "OpenedConversation"]

# Further ones are closed, those that were looked at longest ago first.
MOST = 9


class OpenedConversation(NamedTuple):
    """A conversation that follows its run until `close`."""

    conversation: RunConversation
    close: Callable[[], None]


class _Kept:
    """An open conversation, and what was known of it last."""

    def __init__(self, task_id: str, opened: OpenedConversation, generation: Generation) -> None:
        self.task_id, self.opened, self.generation = task_id, opened, generation
        self.state: SessionState | None = None
        self.finished = opened.conversation.run.finished
        self.status = opened.conversation.run.status


class RunPool(QObject):
    """`asking_changed(frozenset)`: the tasks whose runs wait for an answer. `asks(task_id)`, `turn_ended(task_id)`,
    `ended(task_id, status)` when that happens. `status_changed(task_id, TaskRun)`: a run is further than it was.
    """

    asking_changed = Signal(object)
    asks = Signal(str)
    turn_ended = Signal(str)
    ended = Signal(str, str)
    status_changed = Signal(str, object)

    def __init__(self, bridge: Bridge, open_conversation: OpenConversation, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge, self._open_conversation = bridge, open_conversation
        self._backend: Backend | None = None
        self._kept: dict[str, _Kept] = {}
        self._asking: frozenset[str] = frozenset()

    @property
    def asking(self) -> frozenset[str]:
        """The tasks whose runs wait for an answer."""
        return self._asking

    def start(self, backend: Backend | None) -> None:
        """Another account or project: close all."""
        for run_id in tuple(self._kept):
            self._close(run_id)
        self._backend = backend
        self._count()

    def conversation(self, task: Task, run: TaskRun) -> RunConversation | None:
        """The conversation with a run, opened if need be; None without an account."""
        if self._backend is None:
            return None
        key = self._key_of(run.id)
        kept = self._kept.pop(key) if key is not None else self._open(self._backend, task, run)
        # The one that was looked at last is the last.
        self._kept[run.id] = kept
        self._make_room(run.id)
        self._look(kept)
        return kept.opened.conversation

    def _open(self, backend: Backend, task: Task, run: TaskRun) -> _Kept:
        opened = self._open_conversation(backend, task, run)
        kept = _Kept(task.id, opened, Generation(self._bridge, self))
        kept.generation.listen(opened.conversation.changed, lambda _none: self._look(kept))
        kept.generation.listen(opened.conversation.transcript.changed, lambda _change: self._look(kept))
        return kept

    def _key_of(self, run_id: str) -> str | None:
        """Where the conversation with a run is kept. One that went on in another run is the conversation with that."""
        if run_id in self._kept:
            return run_id
        return next((key for key, kept in self._kept.items() if kept.opened.conversation.run.id == run_id), None)

    def retry(self) -> None:
        """Have every conversation connect and send at once."""
        for kept in self._kept.values():
            kept.opened.conversation.try_now()

    def has(self, run_id: str) -> bool:
        """Whether the conversation with a run is open."""
        return self._key_of(run_id) is not None

    @property
    def conversations(self) -> tuple[RunConversation, ...]:
        """Those that are open."""
        return tuple(kept.opened.conversation for kept in self._kept.values())

    def task_of(self, conversation: RunConversation) -> str | None:
        """The task of an open conversation."""
        found = (kept.task_id for kept in self._kept.values() if kept.opened.conversation is conversation)
        return next(found, None)

    def leave(self, run_id: str) -> None:
        """A run is not in view any more: close it unless it is under way."""
        kept = self._kept.get(run_id)
        if kept is not None and kept.opened.conversation.run.finished:
            self._close(run_id)

    def _make_room(self, shown: str) -> None:
        for run_id in [run_id for run_id in self._kept if run_id != shown][: max(0, len(self._kept) - MOST)]:
            self._close(run_id)

    def _close(self, run_id: str) -> None:
        kept = self._kept.pop(run_id)
        kept.generation.renew()
        kept.opened.close()

    def _look(self, kept: _Kept) -> None:
        conversation = kept.opened.conversation
        if conversation.run.status != kept.status:
            kept.status = conversation.run.status
            self.status_changed.emit(kept.task_id, conversation.run)
        state, former = conversation.transcript.state, kept.state
        finished, was_finished = conversation.run.finished, kept.finished
        if state is former and finished == was_finished:
            return
        kept.state, kept.finished = state, finished
        if former is not None:
            if set(state.waiting) - set(former.waiting):
                self.asks.emit(kept.task_id)
            elif former.busy and not state.busy and not finished:
                self.turn_ended.emit(kept.task_id)
        if finished and not was_finished:
            self.ended.emit(kept.task_id, conversation.run.status)
        self._count()

    def _count(self) -> None:
        asking = frozenset(
            kept.task_id for kept in self._kept.values() if kept.state is not None and _waits(kept.state, kept.finished)
        )
        if asking != self._asking:
            self._asking = asking
            self.asking_changed.emit(asking)


def _waits(state: SessionState, finished: bool) -> bool:
    return bool(state.waiting) and not finished
