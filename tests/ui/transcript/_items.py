"""A transcript in memory, for the view."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from app.core.events import Event
from app.core.runs.items import (
    DiffPart,
    Item,
    Location,
    Message,
    Notice,
    Permission,
    PermissionOption,
    Plan,
    PlanEntry,
    Prompt,
    SessionState,
    Setup,
    SetupStep,
    ShellCommand,
    TextPart,
    Thought,
    ToolCall,
    TurnEnd,
    Unknown,
)
from app.core.runs.transcript import Change, ItemHead

CART = """from decimal import Decimal


def total(items):
    \"\"\"The mean price.\"\"\"
    return sum(item.price for item in items) / len(items)
"""
CART_MENDED = CART.replace("price.", "price; zero for an empty cart.").replace(
    "    return", "    if not items:\n        return Decimal(0)\n    return"
)
ANSWER = """## What I found

The **mean price** divides by the number of items, so an empty cart divides by zero. I changed two things:

- `total()` returns `Decimal(0)` for an empty cart
- a test holds it

```python
def test_an_empty_cart_costs_nothing() -> None:
    assert total([]) == Decimal(0)
```

See [the documentation](https://docs.python.org/3/library/decimal.html) of `Decimal`.

| File | Lines |
|---|---|
| cart.py | 3 |
| test_cart.py | 2 |
"""
BEGAN = datetime(2026, 11, 28, 12, 1, 7, tzinfo=UTC)


def words_of(item: Item) -> str:
    return "\n".join(
        str(value)
        for name in ("title", "text", "content", "command", "output", "input", "method", "server", "tool")
        if (value := getattr(item, name, ""))
    ) + "".join(getattr(part, "text", "") for part in getattr(item, "parts", ()))


class ListedItems:
    """As `Transcript`, of a plain list."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self.changed: Event[Change] = Event()
        self.state = SessionState()
        self.list: list[Item] = []
        self.heads: list[ItemHead] = []
        self._places: dict[str, int] = {}
        self._put(items)

    def _put(self, items: Iterable[Item]) -> None:
        for item in items:
            self._places[item.key] = len(self.list)
            self.list.append(item)
            self.heads.append(self._head(item, 0))

    def _head(self, item: Item, revision: int) -> ItemHead:
        text = words_of(item)
        status = getattr(item, "status", "")
        lines = text.count("\n") + 1
        return ItemHead(type(item), item.key, item.turn, item.parent, revision, len(text), lines, status)

    def add(self, *items: Item) -> None:
        first = len(self.list)
        self._put(items)
        self.changed.emit(Change(first, len(items), ()))

    def replace(self, item: Item) -> None:
        place = self._places[item.key]
        self.list[place] = item
        self.heads[place] = self._head(item, self.heads[place].revision + 1)
        self.changed.emit(Change(place, 0, (place,)))

    def rebuild(self, items: Iterable[Item]) -> None:
        """The log was read again beside what is shown: revisions count anew."""
        former = len(self.list)
        self.list.clear()
        self.heads.clear()
        self._places.clear()
        self._put(items)
        end = min(former, len(self.list))
        self.changed.emit(Change(1, len(self.list) - former, tuple(range(1, end))))

    def read_again(self, items: Iterable[Item]) -> None:
        """The history came anew."""
        former = len(self.list)
        self.list.clear()
        self.heads.clear()
        self._places.clear()
        self._put(items)
        after = len(self.list)
        self.changed.emit(Change(0, after - former, tuple(range(min(former, after)))))

    def __len__(self) -> int:
        return len(self.list)

    def head(self, index: int) -> ItemHead:
        return self.heads[index]

    def item(self, index: int) -> Item:
        return self.list[index]

    shown = item

    def item_steps(self, index: int) -> Generator[None, None, Item]:
        yield
        return self.item(index)

    def index_of(self, key: str) -> int | None:
        return self._places.get(key)

    def search(self, text: str, *, after: int = -1, backwards: bool = False) -> Iterator[int | None]:
        for place in range(after + 1, len(self.list)):
            found = text.casefold() in words_of(self.list[place]).casefold()
            yield place if found else None
            if found:
                return

    def turns(self) -> Sequence[int]:
        return [place for place, item in enumerate(self.list) if isinstance(item, Prompt)]

    def raw(self, index: int) -> Iterator[str]:
        yield f'{{"key": "{self.list[index].key}"}}'

    def raw_log(self) -> Iterator[str]:
        for place in range(len(self.list)):
            yield from self.raw(place)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def lived_run() -> list[Item]:
    """A bit of everything."""
    return [
        Setup(
            key="setup",
            group="Sandbox",
            steps=(
                SetupStep("clone", "Clone repository", "completed"),
                SetupStep("install", "Install packages", "completed"),
            ),
        ),
        Prompt(
            key="p1",
            turn=1,
            at=at(0),
            text="The checkout crashes when the cart is empty.\nPlease find out why, and mend it with a test.",
            files=("crash.log", "screenshot.png"),
        ),
        Thought(key="t1", turn=1, text="The crash is in `total()`. Let me look at the cart first."),
        Plan(
            key="plan1",
            turn=1,
            entries=(
                PlanEntry("Read the cart", "completed"),
                PlanEntry("Reproduce the crash with a test", "in_progress"),
                PlanEntry("Mend it and run all tests", "pending"),
            ),
        ),
        ToolCall(
            key="c1",
            turn=1,
            call_id="1",
            title="Read src/checkout/cart.py",
            kind="read",
            status="completed",
            at=at(3),
            ended_at=at(3.34),
            locations=(Location("src/checkout/cart.py", 12),),
            parts=(TextPart("def total(items):\n    return sum(item.price for item in items) / len(items)"),),
        ),
        ToolCall(
            key="c2",
            turn=1,
            call_id="2",
            title="Edit cart.py",
            kind="edit",
            status="completed",
            at=at(5),
            ended_at=at(7.1),
            locations=(Location("src/checkout/cart.py", 12),),
            parts=(DiffPart("src/checkout/cart.py", CART, CART_MENDED),),
        ),
        ToolCall(
            key="c3",
            turn=1,
            call_id="3",
            title="Run the tests",
            kind="execute",
            status="failed",
            at=at(8),
            ended_at=at(20.4),
            input='{"command": "pytest -q tests/test_cart.py"}',
            output='{"exit_code": 1}',
            parts=(
                TextPart(
                    "\x1b[31mF\x1b[0m.\n=== FAILURES ===\nE   assert Decimal('0') == 0.0\n1 failed, 1 passed in 0.12s",
                    terminal=True,
                ),
            ),
        ),
        ToolCall(
            key="c4",
            turn=1,
            call_id="4",
            title="query-run",
            kind="mcp",
            server="posthog",
            tool="query-run",
            status="in_progress",
            at=at(21),
            input='{"query": {"kind": "TrendsQuery", "series": [{"event": "checkout_failed"}]}}',
        ),
        ToolCall(key="a1", turn=1, call_id="5", title="Look for other callers", kind="agent", status="completed"),
        ToolCall(key="a1c1", turn=1, call_id="6", title="grep total(", kind="search", status="completed", parent="a1"),
        Message(key="a1m", turn=1, text="Three callers, all guarded.", parent="a1"),
        Message(
            key="m1",
            turn=1,
            text=ANSWER,
        ),
        Notice(key="n1", turn=1, text="Rate limited, trying again in 20 s", level="warn", source="model"),
        Permission(
            key="q1",
            turn=1,
            request_id="9",
            call_id="7",
            title="Push branch fix/empty-cart to origin",
            kind="execute",
            options=(PermissionOption("yes", "Allow once", "allow_once"),),
            answer="yes",
            answer_name="Allow once",
        ),
        ShellCommand(key="s1", turn=1, command="git status --short", output=" M src/checkout/cart.py", exit_code=0),
        Unknown(key="u1", turn=1, method="_posthog/shiny", text='{"a": 1}'),
        TurnEnd(key="e1", turn=1, at=at(300), reason="end_turn"),
        Prompt(key="p2", turn=2, at=at(400), text="Thank you. Open a pull request, please."),
        Message(key="m2", turn=2, text="Done: the branch is pushed.", late=True),
        TurnEnd(key="e2", turn=2, at=at(460), reason="cancelled"),
    ]


def long_run(count: int) -> list[Item]:
    """Many items in the mix of a long run."""
    items: list[Item] = []
    for number in range(count):
        kind, key = number % 10, f"k{number}"
        if kind == 0:
            items.append(Prompt(key=key, turn=number // 10 + 1, text=f"Prompt {number}: please go on."))
        elif kind in (1, 5):
            text = f"Message **{number}** with `code`.\n\n" + "Some more words of the agent about it. " * (number % 12)
            items.append(Message(key=key, turn=number // 10 + 1, text=text))
        elif kind == 2:
            items.append(Thought(key=key, turn=number // 10 + 1, text="Let me think about this. " * 5))
        elif kind == 9:
            items.append(TurnEnd(key=key, turn=number // 10 + 1, reason="end_turn"))
        elif kind == 4:
            part = DiffPart(f"src/file{number}.py", "a\nb\nc\n", "a\nB\nc\nd\n")
            call = ToolCall(
                key=key, call_id=key, title=f"Edit file{number}.py", kind="edit", status="completed", parts=(part,)
            )
            items.append(call)
        else:
            output = TextPart("line of output\n" * 30, terminal=True)
            call = ToolCall(
                key=key, call_id=key, title=f"Run {number}", kind="execute", status="completed", parts=(output,)
            )
            items.append(call)
    return items
