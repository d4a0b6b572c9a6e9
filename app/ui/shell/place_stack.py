"""The places of the window: each is built when it is first shown, and is told which account to show."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from app.core.backend import Backend
    from app.ui.context import Context
    from app.ui.place import Place
    from app.ui.place_info import PlaceInfo

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0


class PlaceStack(QStackedWidget):
    """Shows one place.

    `made(id, Place)` when a place was built; `shown()` when one was brought into view, even if it was there already;
    `turned()` after that when it is another one than before.
    """

    made = Signal(str, object)
    shown = Signal()
    turned = Signal()

    def __init__(self, context: Context, infos: Sequence[PlaceInfo]) -> None:
        super().__init__()
        self._context = context
        self._infos = {info.id: info for info in infos}
        self._built: dict[str, Place] = {}
        self._backend: Backend | None = None
        self.current_id = ""

    @property
    def current(self) -> Place | None:
        """The place in view."""
        return self._built.get(self.current_id)

    @property
    def label(self) -> str:
        """The name of the place in view; empty while there is none."""
        info = self._infos.get(self.current_id)
        return info.label if info is not None else ""

    def place(self, place_id: str) -> Place | None:
        """A place, None until it was first shown."""
        return self._built.get(place_id)

    def built(self) -> Iterable[tuple[str, Place]]:
        """The places built so far with their ids, the one in view first."""
        return sorted(self._built.items(), key=lambda entry: entry[0] != self.current_id)

    def available(self) -> list[PlaceInfo]:
        """The places that can be shown on this backend, or without an account."""
        without = self._context.services.without_account
        return [
            info
            for info in self._infos.values()
            if info.available(self._backend) and not (without and info.needs_account)
        ]

    def can_show(self, place_id: str) -> bool:
        """Whether the place with this id is available."""
        return any(info.id == place_id for info in self.available())

    def show_place(self, place_id: str) -> bool:
        """Bring a place into view; False when it is not available."""
        if not self.can_show(place_id):
            return False
        place = self._built.get(place_id) or self._build(place_id)
        turns = self.current_id != place_id
        self.current_id = place_id
        self.setCurrentWidget(place)
        self.shown.emit()
        if turns:
            place.activate()
            self.turned.emit()
        return True

    def build_telling(self) -> None:
        """Build the places that tell what needs the user although nobody has shown them yet."""
        for info in self.available():
            if info.tells and info.id not in self._built:
                self._build(info.id)

    def refresh_current(self) -> None:
        """Have the place in view ask its server again."""
        if self.current is not None:
            self.current.refresh()

    def filter_current(self) -> None:
        """Put the focus on the filter of the place in view."""
        if self.current is not None:
            self.current.focus_filter()

    @property
    def first_id(self) -> str:
        """The place to show where none is remembered."""
        return next((info.id for info in self.available()), "")

    def show_first(self, remembered: str) -> None:
        """Show the remembered place, or where it is not available the first one."""
        if not self.show_place(remembered):
            self.show_place(self.first_id)

    def set_backend(self, backend: Backend | None) -> None:
        """Have every place show the data of this backend."""
        self._backend = backend
        for place in self._built.values():
            place.set_backend(backend)

    @property
    def unsaved(self) -> bool:
        """Whether a place has something typed that is not saved yet."""
        return any(place.unsaved for place in self._built.values())

    def unsaved_texts(self) -> list[str]:
        """What was typed and would be lost if the window closed now, that of the place in view first."""
        return [text for _, place in self.built() if (text := place.unsaved_text())]

    async def save_typed(self) -> None:
        """Let every place store what is typed: half a second of typing."""
        await _all(place.save_typed() for place in self._built.values())

    async def flush(self) -> None:
        """Let every place write what it still holds back, also a deletion that could be undone."""
        await _all(place.flush() for place in self._built.values())

    def _build(self, place_id: str) -> Place:
        place = self._built[place_id] = self._infos[place_id].make(self._context)
        self.addWidget(place)
        # Connected before it learns of the backend, because it may answer with signals at once.
        self.made.emit(place_id, place)
        place.set_backend(self._backend)
        return place


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    import asyncio

    # Each with a limit of its own: one that hangs must not cost the others their text.
    limited = [asyncio.wait_for(work, FLUSH_SECONDS) for work in works]
    for failure in await asyncio.gather(*limited, return_exceptions=True):
        if isinstance(failure, BaseException):
            log.warning("a place could not write what it held back: %s", type(failure).__name__)
