"""Reducer: what handlers of log entries share, to make items of them: turns, keys, open texts, the session's state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from app.core.runs.items import Message, Notice, Permission, Prompt, SessionState, Thought, ToolCall, TurnEnd, Usage

if TYPE_CHECKING:
    from datetime import datetime

    from app.core.runs.item_list import ItemList
    from app.core.runs.items import Item

T = TypeVar("T", bound="Item")

CANCELLED = "cancelled"
# The answer of a permission that was given somewhere else, where the log does not say which.
ELSEWHERE = "elsewhere"
# The source of notices that are Burrow's own.
OURS = "burrow"
# More is no count of tokens, and may be more than a widget can show.
MOST_TOKENS = 10**15
FINAL = frozenset({"completed", "failed", CANCELLED})
RUNNING = frozenset({"pending", "in_progress"})


class StoppedTurn(NamedTuple):
    """A turn that was stopped when it had so many `items`; what follows in it is late.

    `at` is when the user stopped it here, in Unix seconds; None where the log says so.
    """

    items: int
    at: float | None = None


@dataclass
class Position:
    """Where the reading of a log is: everything that the next entry depends on, beside the items."""

    turn: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    prompt_key: str = ""
    prompt_id: str = ""
    cancelled: bool = False
    ended: bool = False
    session: int = 0
    run: str = ""
    # How many prompts the run has had, and what the turn is called in `Reducer.stopped`.
    prompts: int = 0
    turn_name: str = ""
    # The kind and parent of the text that chunks are added to.
    text: tuple[type[Item], str] | None = None
    # The index of a message that was made of live chunks, which the stored message will replace.
    unconfirmed: int | None = None
    # A message to the agent that was logged before its prompt.
    announced: int | None = None
    running: dict[str, int] = field(default_factory=dict)
    reused: dict[str, str] = field(default_factory=dict)
    setups: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    state: SessionState = field(default_factory=SessionState)

    def copy(self) -> Position:
        return replace(
            self,
            counts=dict(self.counts),
            running=dict(self.running),
            reused=dict(self.reused),
            setups=dict(self.setups),
            waiting=dict(self.waiting),
        )


class Reducer:
    """Makes items of entries. `touched` has the indexes of the items that changed since it was emptied."""

    def __init__(self, items: ItemList, run_id: str = "") -> None:
        """With a `run_id`, the session accepts messages when that run has started, and not one that it resumes."""
        self.items = items
        self.run_id = run_id
        self.at = Position()
        self.turns: list[int] = []
        self.touched: set[int] = set()
        # By name. The agent may say something else of the ends of these turns.
        self.stopped: dict[str, StoppedTurn] = {}
        self.moment: datetime | None = None

    # Items

    def key(self, name: str) -> str:
        """A key for the next item of its name in this turn. The same log always leads to the same keys."""
        number = self.at.counts.get(name, 0)
        self.at.counts[name] = number + 1
        return f"{name}:{self.at.turn}.{number}"

    def add(self, item: Item) -> int:
        index = self.items.append(item)
        self.touched.add(index)
        return index

    def put(self, index: int, item: Item) -> None:
        self.items.replace(index, item)
        self.touched.add(index)

    def found(self, key: str, kind: type[T]) -> tuple[int, T] | None:
        """The index of an item and the item, if there is one of that key and kind."""
        index = self.items.index_of(key)
        if index is None or self.items.kind(index) is not kind:
            return None
        return index, self.items.item(index)  # type: ignore[return-value]

    def note(self, text: str, level: str = "info", source: str = "") -> None:
        """Add a notice that the log has."""
        self.add_notice(self.key("notice"), text, level, source)

    def add_notice(self, key: str, text: str, level: str = "info", source: str = "") -> None:
        """Add a notice, unless there is one of that key."""
        at = self.at
        if self.items.index_of(key) is None:
            notice = Notice(key=key, turn=at.turn, at=self.moment, text=text, level=level, source=source)
            self.add(msgspec.structs.replace(notice, late=self.late and source != OURS))

    # Texts

    def say(self, kind: type[Message] | type[Thought], text: str, parent: str) -> None:
        """Add a chunk: to the open text of its kind and parent, or as the beginning of a new one."""
        at = self.at
        if not text:
            self.working()
            return
        if at.text == (kind, parent):
            self.items.grow(text)
            self.touched.add(len(self.items) - 1)
            return
        self.close_text()
        name = "message" if kind is Message else "thought"
        index = self.add(
            kind(
                key=self.key(name),
                turn=at.turn,
                at=self.moment,
                parent=self.parent_key(parent),
                late=self.late,
                text=text,
                open=True,
            )
        )
        at.text = (kind, parent)
        if kind is Message:
            at.unconfirmed = index
        self.working()

    def close_text(self) -> None:
        """No chunk is added any more to the text that was open."""
        if self.at.text is None:
            return
        self.at.text = None
        last = len(self.items) - 1
        self.put(last, msgspec.structs.replace(self.items.item(last), open=False))

    def parent_key(self, call_id: str) -> str:
        return self.call_key(call_id) if call_id else ""

    def call_key(self, call_id: str) -> str:
        """The key of the newest tool call of that id."""
        return self.at.reused.get(call_id) or f"call:{call_id}"

    def use(self, used: int | None, size: int | None) -> None:
        """So many tokens of the context are in use. A size that is not said stays what it was."""
        former = self.at.state.usage
        size = size or (former.size if former is not None else 0)
        if used is not None and max(abs(used), abs(size)) < MOST_TOKENS:
            self.at.state = msgspec.structs.replace(self.at.state, usage=Usage(used, size))

    # Turns

    def begin_turn(self, key: str, text: str, files: tuple[str, ...] = (), id: str = "") -> None:  # noqa: A002
        """A prompt was sent. The turn before it is over, also where its end is not in the log."""
        at = self.at
        announced = at.announced
        at.turn += 1
        at.counts = {}
        at.cancelled = at.ended = False
        at.unconfirmed = at.announced = None
        at.prompt_key, at.prompt_id = key, id
        at.prompts += 1
        # The same however many other runs were read before this one.
        at.turn_name = f"{at.run or self.run_id}:{at.prompts}:{id}"
        self.settle_permissions(ELSEWHERE)
        at.running.clear()
        at.state = msgspec.structs.replace(at.state, busy=True, turn=at.turn, compacting=False)
        if announced is not None and announced == len(self.items) - 1:
            known = self.items.item(announced)
            if isinstance(known, Prompt) and known.text == text:
                at.prompt_key = known.key
                self.put(announced, msgspec.structs.replace(known, turn=at.turn, files=files or known.files))
                self.turns.append(announced)
                return
        self.turns.append(self.add(Prompt(key=key, turn=at.turn, at=self.moment, text=text, files=files)))

    def working(self) -> None:
        """The agent did something: a turn is under way, also where its prompt is not in the log."""
        if not self.at.ended and not self.at.state.busy:
            self.at.state = msgspec.structs.replace(self.at.state, busy=True)

    @property
    def turn_name(self) -> str:
        """What the turn under way is called, also when its log is read again or is part of a later run's."""
        return self.at.turn_name or f"{self.at.run or self.run_id}:0:"

    @property
    def turn_items(self) -> int:
        """How many items the turn has."""
        return len(self.items) - (self.turns[-1] if self.turns else 0)

    @property
    def late(self) -> bool:
        """Whether what comes now comes after its turn was stopped."""
        if self.at.cancelled or not self.stopped:
            return self.at.cancelled
        stop = self.stopped.get(self.turn_name)
        return stop is not None and self.turn_items >= stop.items

    def cancel_turn(self, at: float | None = None) -> bool:
        """The turn under way was stopped: nobody waits for an answer any more, and what still comes is late.

        `at` is when the user did so here. False if the turn has ended.
        """
        if self.at.ended:
            return False
        self.at.cancelled = True
        stop = self.stopped.get(self.turn_name)
        if stop is None or (stop.at is None and at is not None):
            self.stopped[self.turn_name] = StoppedTurn(self.turn_items, at)
        self.settle_permissions(CANCELLED)
        return True

    def end_turn(self, reason: str) -> None:
        """The turn ended. Said twice, by the response and by a notification, it ends once."""
        at = self.at
        if at.ended:
            return
        at.ended = True
        if at.cancelled or self.turn_name in self.stopped:
            reason = CANCELLED
        at.cancelled = reason == CANCELLED
        self.settle_permissions(CANCELLED if at.cancelled else ELSEWHERE)
        if at.cancelled:
            for index in at.running.values():
                call = self.items.item(index)
                if isinstance(call, ToolCall) and call.status in RUNNING:
                    self.put(index, msgspec.structs.replace(call, status=CANCELLED, ended_at=self.moment))
        at.running.clear()
        at.state = msgspec.structs.replace(at.state, busy=False, compacting=False)
        self.add(TurnEnd(key=self.key("end"), turn=at.turn, at=self.moment, reason=reason))

    def finish(self) -> None:
        """The run ended. Its last turn may have no end in the log; one that the user stopped was cancelled."""
        self.close_text()
        if self.at.turn and self.turn_name in self.stopped:
            self.end_turn(CANCELLED)
        self.settle_permissions(CANCELLED)
        self.at.state = msgspec.structs.replace(self.at.state, busy=False, compacting=False)

    def end_run(self) -> None:
        """As `finish`, of a run that another one goes on from: its last turn can be neither stopped nor ended later."""
        self.finish()
        self.at.ended, self.at.cancelled = True, False

    # Permissions

    def wait_for(self, index: int, key: str) -> None:
        self.at.waiting[key] = index
        self._tell_waiting()

    def answer(self, key: str, option_id: str) -> None:
        """A permission was answered, here or elsewhere. Further answers change nothing."""
        index = self.at.waiting.pop(key, None)
        if index is None:
            return
        asked = self.items.item(index)
        if isinstance(asked, Permission):
            name = next((each.name for each in asked.options if each.option_id == option_id), "")
            self.put(index, msgspec.structs.replace(asked, answer=option_id, answer_name=name))
        self._tell_waiting()

    def settle_permissions(self, answer: str) -> None:
        for key in tuple(self.at.waiting):
            self.answer(key, answer)

    def _tell_waiting(self) -> None:
        self.at.state = msgspec.structs.replace(self.at.state, waiting=tuple(self.at.waiting))
