"""The navigation rail: the places with their counts. It is one focus stop; arrow keys move in it.

In a narrow window it shows icons only; their words are in the tooltips and in what is read aloud.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QSizePolicy, QVBoxLayout, QWidget

from app.ui.theme import State, theme, tokens
from app.ui.widgets.lists import ListTable
from app.ui.widgets.rows import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.ui.place_info import PlaceInfo
    from app.ui.shell.corner import StatusCorner

MOST_SHOWN = 9


class Rail(QFrame):
    """Places above, the status corner below. `chosen(id)` when the user selects a place."""

    chosen = Signal(str)

    def __init__(self, corner: StatusCorner, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("pane", "rail")
        self._entries: tuple[PlaceInfo, ...] = ()
        self._counts: dict[str, int] = {}
        self._corner = corner
        self.narrow = False
        self.list = ListTable(self.tr("Places"), align_glyphs=True)
        self.list.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.list.picked.connect(self._pick)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, theme().px(tokens.SPACE_3), 1, 0)
        box.setSpacing(0)
        box.addWidget(self.list, 1)
        box.addWidget(corner)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self._fit()
        theme().changed.connect(self._fit)

    def set_places(self, entries: Sequence[PlaceInfo]) -> None:
        """Show these places."""
        self._entries = tuple(entries)
        self._show()

    def set_count(self, place: str, count: int) -> None:
        """Show how many items of a place need the user; 0 shows nothing."""
        if self._counts.get(place) != count:
            self._counts[place] = count
            self._show()

    def set_current(self, place: str) -> None:
        """Select a place without emitting `chosen`."""
        self.list.select_key(place, quiet=True)

    def set_narrow(self, narrow: bool) -> None:
        """Show icons only, or words too."""
        if narrow != self.narrow:
            self.narrow = narrow
            self._corner.set_narrow(narrow)
            self._fit()
            self._show()

    def _show(self) -> None:
        self.list.set_rows(
            [
                Row(
                    entry.id,
                    "" if self.narrow else entry.label,
                    state=State(entry.icon, "", "muted"),
                    trailing=self._count(entry),
                    accessible=self._spoken(entry),
                    tooltip=self._tooltip(entry),
                )
                for entry in self._entries
            ]
        )

    def _count(self, entry: PlaceInfo) -> str:
        count = self._counts.get(entry.id, 0)
        return f"{MOST_SHOWN}+" if self.narrow and count > MOST_SHOWN else str(count or "")

    def _tooltip(self, entry: PlaceInfo) -> str:
        return f"{self._spoken(entry) if self.narrow else entry.label} ({entry.keys})"

    def _spoken(self, entry: PlaceInfo) -> str:
        count = self._counts.get(entry.id)
        return f"{entry.label}, {count}" if count else entry.label

    def _pick(self, key: str) -> None:
        if key:
            self.chosen.emit(key)

    def _fit(self) -> None:
        self.setFixedWidth(theme().px(tokens.RAIL_NARROW if self.narrow else tokens.RAIL))
