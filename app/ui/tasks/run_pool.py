"""RunPool: the conversations that are open: that in view, and those of runs that are under way.

A run in the background costs its reducer only. It is followed so that the list can say that it needs the user, and so
that messages that wait for it are sent.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QObject, QTimer, Signal

from app.core.errors import BurrowError
from app.ui.bridge import Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.core.backend import Backend
    from app.core.posthog.types import Task, TaskRun
    from app.core.runs.items import SessionState
    from app.ui.bridge import Bridge
    from app.ui.transcript.conversation import RunConversation

    OpenConversation = Callable[[Backend, Task, TaskRun], "OpenedConversation"]

# Further ones are closed: of those out of view first the oldest, then what was looked at longest ago.
MOST = 9
# Runs out of view are opened one after the other, so that neither window nor server has all of their logs at once.
OPEN_NEXT_MS = 250
# So long the next one waits for one that is still being connected, in seconds.
PATIENCE = 5.0
# So long what could not be followed is left alone, and a run that has ended whose messages need the user, in seconds.
FAILED_ALONE, ENDED_ALONE = 120.0, 900.0
# Messages in these states need the conversation only; unless they are held for one of these reasons.
UNSENT, NOT_HERE = frozenset({"waiting", "sending", "sent"}), frozenset({"unsent", "never_started", "later_run"})


class OpenedConversation(NamedTuple):
    """A conversation that follows its run until `close`."""

    conversation: RunConversation
    close: Callable[[], None]


class WantedRun(NamedTuple):
    """A run to follow although nobody looks at it. `talks`: messages wait for it, so it goes before others."""

    task: Task
    run: TaskRun
    talks: bool = False


class _Kept:
    """An open conversation, and what was known of it last. `looked` counts what was looked at; 0 is never."""

    def __init__(self, task_id: str, opened: OpenedConversation, generation: Generation) -> None:
        self.task_id, self.opened, self.generation = task_id, opened, generation
        self.state: SessionState | None = None
        self.run_id = opened.conversation.run.id
        # Those that it has gone on from, too, which a list may still name.
        self.run_ids = {self.run_id}
        self.finished = opened.conversation.run.finished
        self.status = opened.conversation.run.status
        self._ended_before = self.finished
        self.looked = 0
        self.since = monotonic()

    @property
    def talks(self) -> bool:
        """Whether messages are still to be sent that need nobody's help."""
        conversation = self.opened.conversation
        return conversation.hold not in NOT_HERE and any(each.state in UNSENT for each in conversation.queued)

    @property
    def asks(self) -> bool:
        return self.state is not None and bool(self.state.waiting) and not self.finished

    @property
    def connecting(self) -> bool:
        return self._kind == "connecting" and self.new

    @property
    def failed(self) -> bool:
        return self._kind == "failed"

    @property
    def new(self) -> bool:
        return monotonic() - self.since < PATIENCE

    @property
    def _kind(self) -> str:
        return self.opened.conversation.connection.kind

    @property
    def goes_on(self) -> bool:
        """Whether it is of use out of view."""
        if self.looked:
            return not self.finished or self.talks
        # One that had ended was opened because messages wait. Which, is known a moment after its log is read.
        begins = self._ended_before and (self.new or self._kind != "ended")
        return not self.failed and (not self.finished or self.talks or begins)


class RunPool(QObject):
    """`asking_changed(frozenset)`: the tasks whose runs wait for an answer. `asks(task_id)` once for each question,
    `turn_ended(task_id)`, `ended(task_id, status)` when that happens. `status_changed(task_id, TaskRun)`: a run is
    further than it was. `moved(task_id)`: a conversation goes on in another run.
    """

    asking_changed = Signal(object)
    asks = Signal(str)
    turn_ended = Signal(str)
    ended = Signal(str, str)
    status_changed = Signal(str, object)
    moved = Signal(str)

    def __init__(self, bridge: Bridge, open_conversation: OpenConversation, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge, self._open_conversation = bridge, open_conversation
        self._backend: Backend | None = None
        self._kept: dict[str, _Kept] = {}
        self._shown: str | None = None
        self._looks = 0
        self._wanted: Sequence[WantedRun] = ()
        self._asking: frozenset[str] = frozenset()
        # By run: the questions that were told of, also while it is not open.
        self._told: dict[str, frozenset[str]] = {}
        # By run: until when it is not opened again by itself.
        self._left_alone: dict[str, float] = {}
        self._arrange_soon = QTimer(self, singleShot=True, interval=OPEN_NEXT_MS)
        self._arrange_soon.timeout.connect(self._arrange)

    @property
    def asking(self) -> frozenset[str]:
        """The tasks whose runs wait for an answer."""
        return self._asking

    def start(self, backend: Backend | None) -> None:
        """Another account or project: close all."""
        self._arrange_soon.stop()
        self._wanted, self._shown = (), None
        self._told.clear()
        self._left_alone.clear()
        for key in tuple(self._kept):
            self._close(key)
        self._backend = backend
        self._count()

    def follow(self, wanted: Sequence[WantedRun]) -> None:
        """Follow these runs out of view, as many of them as there is room for, the first ones first."""
        self._wanted = wanted
        self._arrange_later()

    def conversation(self, task: Task, run: TaskRun) -> RunConversation | None:
        """The conversation with a run that comes into view, opened if need be; None without an account."""
        if self._backend is None:
            return None
        key = self._key_of(run.id)
        if key is None:
            key = run.id
            self._kept[key] = self._open(self._backend, task, run)
        kept = self._kept[key]
        self._looks += 1
        kept.looked, self._shown = self._looks, key
        self._left_alone.pop(run.id, None)
        # What was in view is still shown: it is empty when it is closed.
        self._arrange_later()
        self._look(kept)
        return kept.opened.conversation

    def retry(self) -> None:
        """Have every conversation connect and send at once."""
        self._left_alone.clear()
        for kept in self._kept.values():
            kept.opened.conversation.try_now()

    def has(self, run_id: str) -> bool:
        """Whether the conversation with a run is open."""
        return self._key_of(run_id) is not None

    def task_of(self, conversation: RunConversation) -> str | None:
        """The task of an open conversation."""
        found = (kept.task_id for kept in self._kept.values() if kept.opened.conversation is conversation)
        return next(found, None)

    def leave(self, run_id: str) -> None:
        """A run is not in view any more: close it unless it is under way or messages wait for it."""
        kept = self._kept.get(self._shown or "")
        # One that went on in another run is in view by that one's id.
        if kept is not None and kept.opened.conversation.run.id == run_id:
            self._shown = None
        self._make_room()

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
        for key, kept in self._kept.items():
            if run_id in kept.run_ids or run_id == kept.opened.conversation.run.id:
                return key
        return None

    # Which are open

    def _arrange_later(self) -> None:
        if not self._arrange_soon.isActive():
            self._arrange_soon.start()

    @property
    def conversations(self) -> tuple[RunConversation, ...]:
        """Those that are open."""
        return tuple(kept.opened.conversation for kept in self._kept.values())

    def _arrange(self) -> None:
        """Close what is not to be followed any more, and open the next run."""
        order = self._make_room()
        backend = self._backend
        missing = [each for each in self._wanted if each.run.id in order and not self.has(each.run.id)]
        if backend is not None and missing and not any(kept.connecting for kept in self._kept.values()):
            first = missing[0]
            try:
                kept = self._kept[first.run.id] = self._open(backend, first.task, first.run)
            except BurrowError:
                # The folder of a run of this machine may be gone.
                self._left_alone[first.run.id] = monotonic() + FAILED_ALONE
            else:
                self._look(kept)
        if missing or any(kept.finished for key, kept in self._kept.items() if key != self._shown):
            self._arrange_later()

    def _make_room(self) -> Sequence[str]:
        """Close what has no place among those that are followed, and return those that have one: keys, run ids."""
        order = tuple(dict.fromkeys(self._by_precedence()))[:MOST]
        for key in self._kept.keys() - set(order):
            kept = self._kept[key]
            if kept.finished or kept.failed:
                self._left_alone[kept.run_id] = monotonic() + (ENDED_ALONE if kept.finished else FAILED_ALONE)
            self._close(key)
        return order

    def _by_precedence(self) -> Iterable[str]:
        """Keys of what is open and ids of wanted runs, in the order in which they have a place; perhaps twice."""
        if self._shown is not None:
            yield self._shown
        now = monotonic()
        wanted = [
            (self._key_of(each.run.id) or each.run.id, each.talks)
            for each in self._wanted
            if self._left_alone.get(each.run.id, 0.0) <= now
        ]
        names = {key for key, _ in wanted}
        open_ones = {key: kept for key, kept in self._kept.items() if kept.goes_on and (kept.looked or key in names)}
        yield from (key for key, kept in open_ones.items() if kept.talks)
        yield from (key for key, talks in wanted if talks and key not in self._kept)
        yield from (key for key, kept in open_ones.items() if kept.asks)
        looked = sorted(open_ones, key=lambda key: open_ones[key].looked, reverse=True)
        yield from (key for key in looked if open_ones[key].looked)
        yield from (key for key, _ in wanted if key in open_ones or key not in self._kept)

    def _close(self, key: str) -> None:
        kept = self._kept.pop(key)
        if key == self._shown:
            self._shown = None
        kept.generation.renew()
        kept.generation.deleteLater()
        kept.opened.close()
        self._count()

    # What happens in them

    def _look(self, kept: _Kept) -> None:
        conversation = kept.opened.conversation
        if conversation.run.id != kept.run_id:
            kept.run_id = conversation.run.id
            kept.run_ids.add(kept.run_id)
            self.moved.emit(kept.task_id)
        if conversation.run.status != kept.status:
            kept.status = conversation.run.status
            self.status_changed.emit(kept.task_id, conversation.run)
        state, former = conversation.transcript.state, kept.state
        finished, was_finished = conversation.run.finished, kept.finished
        if not kept.goes_on:
            self._arrange_later()
        if state is former and finished == was_finished:
            return
        kept.state, kept.finished = state, finished
        if former is None or state.waiting != former.waiting:
            self._tell_asks(kept, state)
        if former is not None and former.busy and not state.busy and not state.waiting and not finished:
            self.turn_ended.emit(kept.task_id)
        if finished and not was_finished:
            self.ended.emit(kept.task_id, conversation.run.status)
            self._arrange_later()
        self._count()

    def _tell_asks(self, kept: _Kept, state: SessionState) -> None:
        """Tell of questions that are new: not of one that was there before the stream broke or the run was closed."""
        if not (state.accepts or state.turn or state.waiting):
            # Its log is not read yet.
            return
        from app.core.runs.items import Permission

        transcript = kept.opened.conversation.transcript
        questions = set()
        for key in state.waiting:
            index = transcript.index_of(key)
            item = None if index is None else transcript.item(index)
            # The stream and the log name the same question by different ids.
            questions.add(item.call_id if isinstance(item, Permission) and item.call_id else key)
        former = self._told.get(kept.run_id, frozenset())
        self._told[kept.run_id] = frozenset(questions)
        if questions - former and not kept.finished:
            self.asks.emit(kept.task_id)

    def _count(self) -> None:
        asking = frozenset(kept.task_id for kept in self._kept.values() if kept.asks)
        if asking != self._asking:
            self._asking = asking
            self.asking_changed.emit(asking)
