"""A drop-down list over choices that a server searches and pages (`paged_popup.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal

from app.ui.widgets.paged_popup import PagedPopup
from app.ui.widgets.popup_select import PopupSelect
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtWidgets import QWidget

    from app.ui.widgets.paged_popup import ChoiceSource, PagedChoice


class PagedSelect(PopupSelect):
    """A drop-down list over a `ChoiceSource`. `chosen(value)` when the user chose.

    What was chosen stays shown whether the source knows it or not. `first` are choices that are there always. With
    `free` a text that `free` accepts can be chosen although no source lists it.
    """

    chosen = Signal(str)
    OPENING_KEYS = (Qt.Key.Key_Down, Qt.Key.Key_Up)

    def __init__(
        self,
        name: str,
        source: ChoiceSource,
        *,
        first: Sequence[PagedChoice] = (),
        free: Callable[[str], bool] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(name, parent=parent)
        self.source, self._first, self._free = source, first, free
        self._value = ""
        self.popup: PagedPopup | None = None
        self.addItem("", "")
        self.set_value("")

    @property
    def value(self) -> str:
        return self._value

    def set_value(self, value: str, text: str = "") -> None:
        """Show a value, without `chosen`. Its words are looked for where `text` is empty."""
        self._value = value
        known = (*self._first, *self.source.known())
        words = text or next((each.text for each in known if each.value == value), value)
        self.setItemText(0, words)
        self.setToolTip(plain_tip(words))

    def _open(self, text: str) -> None:
        self.popup = PagedPopup(self.source, self.accessibleName(), self._first, self._free, self)
        self.popup.chosen.connect(self._choose)
        self.popup.open_below(self, self._value, text)

    def _choose(self, value: str, text: str) -> None:
        self.set_value(value, text)
        self.setFocus(Qt.FocusReason.PopupFocusReason)
        self.chosen.emit(value)
