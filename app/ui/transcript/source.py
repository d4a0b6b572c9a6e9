"""What the view needs of a transcript: `core.runs.transcript.Transcript` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from app.core.events import Event
    from app.core.runs.items import Item, SessionState
    from app.core.runs.transcript import Change, ItemHead


class ItemSource(Protocol):
    """Items in order, which grow in place and are added at the end."""

    changed: Event[Change]

    @property
    def state(self) -> SessionState: ...

    def __len__(self) -> int: ...

    def head(self, index: int) -> ItemHead:
        """What is known of an item without reading it."""

    def item(self, index: int) -> Item:
        """An item."""

    def shown(self, index: int) -> Item:
        """An item; a very long one may be without its texts until `changed` tells of it."""

    def item_steps(self, index: int) -> Generator[None, None, Item]:
        """As `item`, in steps of a few milliseconds."""

    def index_of(self, key: str) -> int | None:
        """Where an item is."""

    def search(self, text: str, *, after: int = -1, backwards: bool = False) -> Iterator[int | None]:
        """The next item with a text; None after each few that have it not."""

    def turns(self) -> Sequence[int]:
        """The first item of each turn."""

    def raw(self, index: int) -> Iterator[str]:
        """The entries of the log that made an item."""

    def raw_log(self) -> Iterator[str]:
        """The entries of the log that made items, in their order."""
