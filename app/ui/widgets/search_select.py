"""A drop-down list for many choices, whose popup has a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QListView, QWidget

from app.ui.theme import theme
from app.ui.widgets.filter_popup import ChoiceRows, FilterPopup
from app.ui.widgets.popup_select import PopupSelect
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable


class SearchSelect(PopupSelect):
    """A list whose popup is filtered by typing. What is chosen is a place in the list, never a text.

    Typing opens the popup. Nothing is chosen before Enter or a click. `text(place)` is asked only for what is shown.
    """

    def __init__(
        self, name: str, count: int, text: Callable[[int], str], placeholder: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(name, parent=parent)
        self.setPlaceholderText(placeholder)
        # A drop-down list lays out its own view, although the popup is another, whenever it gets a font or a style.
        view = QListView()
        view.setUniformItemSizes(True)
        view.setLayoutMode(QListView.LayoutMode.Batched)
        self.setView(view)
        choices = ChoiceRows(text, self)
        self.setModel(choices)
        # Only now: a drop-down list chooses the first entry that its model has.
        choices.put(range(count))

    def _open(self, text: str) -> None:
        popup = ChoicePopup(self.count(), self.itemText, self.accessibleName(), self)
        popup.chosen.connect(self._choose)
        popup.open_below(self, self.currentIndex(), text)

    def _choose(self, place: int) -> None:
        self.setCurrentIndex(place)
        self.activated.emit(place)
        self.setFocus(Qt.FocusReason.PopupFocusReason)


class ChoicePopup(FilterPopup[int]):
    """A filter above the choices that match it. `chosen(place)` counts in the whole list."""

    chosen = Signal(int)

    def __init__(self, count: int, text: Callable[[int], str], name: str, parent: QWidget) -> None:
        super().__init__(ChoiceRows(text, parent), name, parent)
        self._count, self._text = count, text
        self._model.put(range(count))
        self.filter.setPlaceholderText(self.tr("Filter"))
        self.filter.setAccessibleName(self.tr("Filter the choices of {0}").format(name))
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self._none = Text(self.tr("No choice matches"), tone="muted")
        self._none.setVisible(False)
        self.box.addWidget(self._none)

    def open_below(self, control: QWidget, place: int, text: str) -> None:
        """Show the popup below a control, with the choice at `place` as the current one."""
        self._show_below(control, min(self.ROWS, max(1, self._count)), 240)
        self._mark(place)
        if text:
            self.filter.setText(text)

    def texts(self) -> list[str]:
        """The choices that are shown."""
        return [self._text(place) for place in self._model.rows]

    def _typed(self, text: str) -> None:
        wanted, row = text.strip().casefold(), self.row
        place = self._model.rows[row] if 0 <= row < len(self._model.rows) else -1
        self._model.put([n for n in range(self._count) if wanted in self._text(n).casefold()])
        self._mark(place)
        self._none.setVisible(not self._model.rows)

    def _mark(self, place: int) -> None:
        """Make the choice at a place the current one, or the first that is shown."""
        places = self._model.rows
        if places:
            self.choose_row(places.index(place) if place in places else 0)

    def _take(self, row: int) -> None:
        if 0 <= row < len(self._model.rows):
            place = self._model.rows[row]
            self.close()
            self.chosen.emit(place)


def fit_to_contents(select: QComboBox) -> None:
    """Limit the width of a drop-down list, whose choices may be of any length."""
    select.setMaximumWidth(theme().px(360))
    select.setMinimumContentsLength(12)
    select.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
