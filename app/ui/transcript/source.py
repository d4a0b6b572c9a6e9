"""What the view needs of a transcript. `core.runs` has the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.core.events import Event
    from app.core.runs.items import Item, SessionState


class ItemChange(Protocol):
    """As `core.runs.transcript.Change`."""

    @property
    def first(self) -> int: ...
    @property
    def appended(self) -> int: ...
    @property
    def replaced(self) -> tuple[int, ...]: ...


class KnownHead(Protocol):
    """As `core.runs.transcript.ItemHead`."""

    @property
    def kind(self) -> type[Item]: ...
    @property
    def key(self) -> str: ...
    @property
    def turn(self) -> int: ...
    @property
    def parent(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def characters(self) -> int: ...
    @property
    def lines(self) -> int: ...
    @property
    def status(self) -> str: ...


class ItemSource(Protocol):
    """Items in order, which grow in place and are added at the end."""

    @property
    def changed(self) -> Event[ItemChange]: ...
    @property
    def state(self) -> SessionState: ...

    def __len__(self) -> int: ...

    def head(self, index: int) -> KnownHead:
        """What is known of an item without reading it."""

    def item(self, index: int) -> Item:
        """An item."""

    def index_of(self, key: str) -> int | None:
        """Where an item is."""

    def find(self, text: str, *, after: int = -1, backwards: bool = False) -> int | None:
        """The next item with a text."""

    def turns(self) -> Sequence[int]:
        """The first item of each turn."""

    def raw(self, index: int) -> Iterator[str]:
        """The entries of the log that made an item."""
