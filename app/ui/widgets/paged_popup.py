"""The popup of a drop-down list whose choices come in pages from somewhere else, which also searches them.

`ChoiceSource` says where from. What is wrong with it is said inside the popup, beside what is there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.filter_popup import ChoiceRows, FilterPopup
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# So many rows before the last one the next page is asked for.
AHEAD = 10


class PagedChoice(NamedTuple):
    """One choice: what it is, and its words."""

    value: str
    text: str


class ChoicesPage(NamedTuple):
    """A part of the choices. `following` is the offset of the next part, None at the end.

    `note` is said below them, with a button for `action` (its words, what it does).
    """

    choices: Sequence[PagedChoice]
    following: int | None = None
    note: str = ""
    action: tuple[str, Callable[[], object]] | None = None


class ChoiceSource(Protocol):
    """Where choices come from. `owner` is who waits: with it the work ends; a later question replaces the earlier.

    `refreshable` says whether the list can be made anew where it comes from.
    """

    refreshable: bool

    def known(self) -> Sequence[PagedChoice]:
        """The choices that can be shown at once, before any answer."""

    def ask(
        self,
        owner: QObject,
        search: str,
        offset: int,
        done: Callable[[ChoicesPage], object],
        failed: Callable[[str], object],
    ) -> None:
        """Ask for the choices that match; one of `done` and `failed` (the cause) is called later."""

    def refresh(self, owner: QObject, done: Callable[[], object], failed: Callable[[str], object]) -> None:
        """Have the list made anew; one of `done` and `failed` (the cause) is called later."""


class PagedPopup(FilterPopup[PagedChoice]):
    """A filter above the choices of a source. `chosen(value, text)`."""

    chosen = Signal(str, str)
    ROWS = 8

    def __init__(
        self,
        source: ChoiceSource,
        name: str,
        first: Sequence[PagedChoice],
        free: Callable[[str], bool] | None,
        parent: QWidget,
    ) -> None:
        super().__init__(ChoiceRows(lambda choice: choice.text, parent), name, parent)
        self._source, self._first, self._free = source, first, free
        self._mark = ""
        self._asked = ""
        self._following: int | None = None
        self._busy = False
        # What the choices that are there were asked for with.
        self._loaded_for: str | None = None
        self._loaded: list[PagedChoice] = list(source.known())
        self.filter.setPlaceholderText(self.tr("Search"))
        self.filter.setAccessibleName(self.tr("Search the choices of {0}").format(name))
        # Each key narrows what is there at once; the source is asked when typing has paused.
        self.filter.changed.connect(self._search)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.verticalScrollBar().valueChanged.connect(lambda _value: self._more_if_near())
        self.state = Text(role="caption", tone="muted", wrap=True)
        self.again = QuietButton(self.tr("Try again"), kind="flat", clicked=self._repeat)
        self.refresh = QuietButton(self.tr("Refresh the list"), kind="flat", clicked=self._refresh)
        self._action: Callable[[], object] | None = None
        self.action = QuietButton("", kind="flat", clicked=self._act)
        for button in (self.again, self.refresh, self.action):
            button.setVisible(False)
        foot = QHBoxLayout()
        foot.setSpacing(theme().px(tokens.SPACE_2))
        foot.addWidget(self.state, 1)
        foot.addWidget(self.again)
        foot.addWidget(self.refresh)
        foot.addWidget(self.action)
        self.box.addLayout(foot)

    def open_below(self, control: QWidget, value: str, text: str) -> None:
        """Show the popup below a control, with `value` marked, and ask for the choices."""
        self._mark = value
        self._show_below(control, self.ROWS, 300)
        if text:
            self.filter.set_text_quietly(text)
        self._narrow()
        self._search(text)

    def texts(self) -> list[str]:
        """The choices that are shown."""
        return [each.text for each in self._model.rows]

    def _typed(self, _text: str) -> None:
        self._narrow()

    def _moved(self, row: int) -> None:
        self._mark = self._model.rows[row].value
        self._more_if_near()

    def _search(self, text: str) -> None:
        """Ask for the choices that match, from the first."""
        self._asked = text.strip()
        self._ask(0)

    def _ask(self, offset: int) -> None:
        self._busy = True
        self._say(self.tr("Loading more…") if offset else self.tr("Loading…"))
        self._source.ask(self, self._asked, offset, lambda page: self._came(page, offset), self._failed)

    def _came(self, page: ChoicesPage, offset: int) -> None:
        self._busy = False
        self._following, self._loaded_for = page.following, self._asked
        self._loaded = [*self._loaded, *page.choices] if offset else list(page.choices)
        self._narrow()
        count = len(self._loaded)
        if not self._model.rows:
            said = self.tr("Nothing matches “{0}”").format(self._asked) if self._asked else self.tr("There is none")
        else:
            said = self.tr("{0} and more").format(count) if page.following is not None else page.note
        self._say(said)
        if page.action is not None:
            words, self._action = page.action
            self.action.setText(words)
            self.action.setVisible(True)
            # There is nothing yet to be made anew.
            self.refresh.setVisible(False)
        if not offset:
            announce(self.filter, said or self.tr("{0} choices").format(count))
        # What is shown may not fill the list, or the mark may be at its end.
        QTimer.singleShot(0, self, self._more_if_near)

    def _failed(self, cause: str) -> None:
        self._busy = False
        self._say(cause, trouble=True)

    def _repeat(self) -> None:
        self.filter.setFocus(Qt.FocusReason.OtherFocusReason)
        self._ask((self._following or 0) if self._loaded_for == self._asked else 0)

    def _refresh(self) -> None:
        self.filter.setFocus(Qt.FocusReason.OtherFocusReason)
        self._say(self.tr("Refreshing…"))
        self._source.refresh(self, lambda: self._search(self.filter.text()), self._failed)

    def _act(self) -> None:
        act = self._action
        self.close()
        if act is not None:
            act()

    def _say(self, words: str, *, trouble: bool = False) -> None:
        self.state.setText(words)
        self.state.set_tone("bad" if trouble else "muted")
        self.again.setVisible(trouble)
        self.action.setVisible(False)
        self.refresh.setVisible(self._source.refreshable and not trouble and not self._busy)

    def _narrow(self) -> None:
        """Show of what is there what matches what is typed; nothing that it excludes can be chosen any more."""
        wanted = self.filter.text().strip()
        folded = wanted.casefold()
        # The source knows what matches: it may find more than what contains the text.
        answered = wanted == self._loaded_for
        found = [each for each in self._first if folded in each.text.casefold()]
        found += [each for each in self._loaded if answered or folded in each.text.casefold()]
        shown = list({each.value: each for each in found}.values())
        if self._free is not None and wanted and self._free(wanted) and wanted not in {each.value for each in shown}:
            shown.append(PagedChoice(wanted, self.tr("Use “{0}”").format(wanted)))
        self._model.put(shown)
        row = next((number for number, each in enumerate(shown) if each.value == self._mark), 0)
        if shown:
            self.choose_row(row)

    def _more_if_near(self) -> None:
        bar = self.list.verticalScrollBar()
        near = bar.value() >= bar.maximum() - AHEAD or self.row >= len(self._loaded) - AHEAD
        if near and self._following is not None and not self._busy and self.again.isHidden():
            self._ask(self._following)

    def _take(self, row: int) -> None:
        if 0 <= row < len(self._model.rows):
            value, text = self._model.rows[row]
            free = value if text != value and value == self.filter.text().strip() else text
            self.close()
            self.chosen.emit(value, free)
