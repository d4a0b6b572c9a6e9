"""The editors of an object and of a list of objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.servers.entries_editor import EntriesEditor
from app.ui.servers.nested_json import json_of, problem_of, summary
from app.ui.theme import theme, tokens
from app.ui.translation import translate
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.focus_chain import order_after, reveal
from app.ui.widgets.guard import guarded
from app.ui.widgets.head_row import HeadRow
from app.ui.widgets.lazy_column import LazyColumn
from app.ui.widgets.text import ElidedLabel

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent

    from app.core.mcp.forms.model import FieldEntry, FormDraft, FormModel

    # The row for the field at a place of a model, with its content and the text that the tool proposes.
    MakeRow = Callable[[FormModel, int, FieldEntry, str], "MemberRow"]

CHUNK, FIELD_HEIGHT, CARD_HEIGHT = 4, 84, 38
# Values found wrong after which no more items are opened.
OPENED = 20


class MemberRow(QWidget):
    """A row for one member of an object. `changed(FieldEntry)` carries its new content."""

    changed = Signal(object)

    def say(self, problem: str) -> None:
        """Show a problem; empty for none."""
        raise NotImplementedError

    def take_focus(self) -> None:
        """Put the focus on the editor."""
        raise NotImplementedError


class ObjectEditor(QFrame):
    """The members of an object. Calls `put` with their draft when one changed.

    With `later` no member is made before the editor comes into view.
    """

    def __init__(
        self,
        model: FormModel,
        draft: FormDraft,
        name: str,
        put: Callable[[FormDraft], None],
        make_row: MakeRow,
        *,
        later: bool = False,
    ) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self._model, self._put, self._make_row, self._name = model, put, make_row, name
        self.draft = draft
        self._seed = model.seed()
        self._first = 0
        box = QVBoxLayout(self)
        box.setContentsMargins(theme().px(tokens.SPACE_4), 0, 0, 0)
        self._column = LazyColumn(
            len(model.fields),
            self._make,
            self._words,
            size=CHUNK,
            estimate=FIELD_HEIGHT,
            spacing=tokens.SPACE_3,
            later=later,
        )
        box.addWidget(self._column)

    def find_problems(self) -> int:
        """Say at each member what is wrong with it. Returns how many are wrong; the first takes the next focus."""
        problems = [problem_of(item, self.draft.entry(item.name)) for item in self._model.fields]
        wrong = [place for place, problem in enumerate(problems) if problem]
        for place in wrong:
            self._row(place).say(problems[place])
        self._first = wrong[0] if wrong else 0
        return len(wrong)

    def take_focus(self) -> None:
        """Put the focus on the first member that is wrong, else on the first one."""
        if self._model.fields:
            self._row(self._first).take_focus()

    def _row(self, place: int) -> MemberRow:
        row = self._column.part(place)
        assert isinstance(row, MemberRow)
        return row

    def _words(self, first: int, last: int) -> str:
        return self.tr("{0}, members {1} to {2}").format(self._name, first, last)

    def _make(self, place: int) -> QWidget:
        item = self._model.fields[place]
        default = self._seed.entry(item.name).text
        row = self._make_row(self._model, place, self.draft.entry(item.name), default)
        row.changed.connect(lambda entry: self._typed(item.name, entry))
        return row

    def _typed(self, name: str, entry: FieldEntry) -> None:
        self.draft = replace(self.draft, entries={**self.draft.entries, name: entry})
        self._put(self.draft)


class RecordsEditor(EntriesEditor["FormDraft"]):
    """A list of objects as cards. Calls `put` with their JSON text.

    On the line of a card: Enter opens it, Alt+Up and Alt+Down move it, Ctrl+D duplicates it, Delete removes it.
    """

    def __init__(
        self,
        model: FormModel,
        drafts: list[FormDraft],
        name: str,
        put: Callable[[str], None],
        make_row: MakeRow,
    ) -> None:
        self._model, self._make_row = model, make_row
        self._wrong: int | None = None
        super().__init__(drafts, name, put, translate("RecordsEditor", "Add item"), CARD_HEIGHT)

    @property
    def drafts(self) -> list[FormDraft]:
        """The items, in their order."""
        return self._entries

    def card(self, place: int) -> RecordCard:
        """The card of an item. Raises `IndexError`."""
        card = self._column.part(place)
        assert isinstance(card, RecordCard)
        return card

    def add(self) -> None:
        """Add an item, open, with the focus on its first member."""
        self.insert(len(self.drafts), self._model.seed())
        card = self.card(len(self.drafts) - 1)
        card.open()
        card.take_focus()

    def duplicate(self, place: int) -> None:
        """Add a copy of an item below it."""
        self.insert(place + 1, self.drafts[place])

    def move_item(self, place: int, by: int) -> None:
        """Swap an item with its neighbour."""
        other = place + by
        if 0 <= place < len(self.drafts) and 0 <= other < len(self.drafts):
            drafts, texts = self.drafts, self._texts
            drafts[place], drafts[other] = drafts[other], drafts[place]
            texts[place], texts[other] = texts[other], texts[place]
            self._column.swap(min(place, other))
            self._changed()
            self._focus(other)
            self._offer.clear()

    def find_problems(self) -> int:
        """Open the first items with something wrong and say what. Returns how many values in them are wrong."""
        wrong = 0
        for place, draft in enumerate(self.drafts):
            if any(problem_of(item, draft.entry(item.name)) for item in self._model.fields):
                self._wrong = place if not wrong else self._wrong
                wrong += self.card(place).open().find_problems()
            if wrong >= OPENED:
                break
        return wrong

    def take_focus(self) -> None:
        """Put the focus on the first value that was found wrong, else on the first item."""
        if self._wrong is not None and self._wrong < len(self.drafts):
            self.card(self._wrong).take_focus()
        else:
            self._focus(0)

    def _focus(self, place: int) -> None:
        if 0 <= place < len(self._column):
            line = self.card(place).line
            line.setFocus(Qt.FocusReason.OtherFocusReason)
            reveal(line)
        else:
            self._add.setFocus(Qt.FocusReason.OtherFocusReason)

    def _text(self, entry: FormDraft) -> str:
        return json_of(self._model, entry)

    def _removed_words(self, place: int, entry: FormDraft) -> str:
        return self.tr("Item {0} removed").format(QLocale().toString(place + 1))

    def _words(self, first: int, last: int) -> str:
        return self.tr("{0}, items {1} to {2}").format(self._name, first, last)

    def _make(self, place: int) -> QWidget:
        card = RecordCard(self._model, self.drafts[place], self._make_row)
        card.set_number(place, self._name)
        card.changed.connect(lambda: self._edited(card))
        card.removed.connect(lambda: self.remove(self._column.place_of(card)))
        card.duplicated.connect(lambda: self.duplicate(self._column.place_of(card)))
        card.moved.connect(lambda by: self.move_item(self._column.place_of(card), by))
        return card

    def _edited(self, card: RecordCard) -> None:
        place = self._column.place_of(card)
        self._set(place, card.draft)
        self._tell()

    def _changed(self) -> None:
        for place, card in self._column.made_from(0):
            assert isinstance(card, RecordCard)
            card.set_number(place, self._name)
        self._tell()

    def _tell(self) -> None:
        self._wrong = None
        self._put(f"[{', '.join(self._texts)}]")


class _CardLine(QuietButton):
    """The button that opens a card. It leaves Alt with an arrow key to the card; Qt would move the focus."""

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.modifiers() & Qt.KeyboardModifier.AltModifier:
            event.ignore()
        else:
            super().keyPressEvent(event)


class RecordCard(QFrame):
    """An item of a list of objects: a line that sums it up, and its members once it is opened."""

    changed = Signal()
    removed = Signal()
    duplicated = Signal()
    moved = Signal(int)

    def __init__(
        self,
        model: FormModel,
        draft: FormDraft,
        make_row: MakeRow,
    ) -> None:
        super().__init__()
        self.setProperty("card", "true")
        self.draft = draft
        self._model, self._make_row, self._name = model, make_row, ""
        self._editor: ObjectEditor | None = None
        current = theme()
        self.line = _CardLine("", "chevron-right", kind="flat", clicked=self.toggle)
        self._summary = ElidedLabel("", tone="muted", mode=Qt.TextElideMode.ElideRight)
        self._tools = (
            IconButton(self.tr("Move up"), "chevron-up", keys="Alt+Up", clicked=lambda: self.moved.emit(-1)),
            IconButton(self.tr("Move down"), "chevron-down", keys="Alt+Down", clicked=lambda: self.moved.emit(1)),
            IconButton(self.tr("Duplicate"), "copy", keys="Ctrl+D", clicked=self.duplicated.emit),
            IconButton(self.tr("Remove"), "cross", keys="Delete", clicked=self.removed.emit),
        )
        buttons = QWidget()
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for tool in self._tools:
            row.addWidget(tool)
        self._box = QVBoxLayout(self)
        small = current.px(tokens.SPACE_1)
        self._box.setContentsMargins(small, small, small, small)
        self._box.addWidget(HeadRow([self.line, self._summary], buttons, gap=0))
        self._show_summary()

    def set_number(self, place: int, name: str) -> None:
        """Say which item of which list it is."""
        number = QLocale().toString(place + 1)
        self._name = self.tr("{0}, item {1}").format(name, number)
        self.line.setText(number)
        self._name_parts()

    def open(self) -> ObjectEditor:
        """Show the members."""
        if self._editor is None:
            self._editor = ObjectEditor(self._model, self.draft, self._name, self._typed, self._make_row)
            self._box.addWidget(self._editor)
            order_after(self._tools[-1], [self._editor])
        self._editor.setVisible(True)
        self.line.set_icon_name("chevron-down")
        self._name_parts()
        return self._editor

    def toggle(self) -> None:
        """Show or hide the members."""
        if self._editor is None or self._editor.isHidden():
            self.open()
        else:
            self._editor.setVisible(False)
            self.line.set_icon_name("chevron-right")
            self._name_parts()

    def take_focus(self) -> None:
        """Put the focus on the first member, or on the line while the item is closed."""
        if self._editor is None or self._editor.isHidden():
            self.line.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self._editor.take_focus()

    def _typed(self, draft: FormDraft) -> None:
        self.draft = draft
        self._show_summary()
        self.changed.emit()

    def _show_summary(self) -> None:
        words = summary(self._model, self.draft)
        self._summary.setText(words or self.tr("Empty"))
        self._name_parts()

    def _name_parts(self) -> None:
        opened = self._editor is not None and not self._editor.isHidden()
        state = self.tr("open") if opened else self.tr("closed")
        self.line.setAccessibleName(f"{self._name}, {self._summary.text()}, {state}")
        for tool in self._tools:
            tool.setAccessibleName(f"{tool.toolTip()}: {self._name}")

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, modifiers = event.key(), event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        on_head = QApplication.focusWidget() in (self.line, *self._tools)
        alt = modifiers == Qt.KeyboardModifier.AltModifier
        if on_head and alt and key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.moved.emit(-1 if key == Qt.Key.Key_Up else 1)
        elif on_head and key == Qt.Key.Key_D and modifiers == Qt.KeyboardModifier.ControlModifier:
            self.duplicated.emit()
        elif on_head and key == Qt.Key.Key_Delete and not modifiers and not event.isAutoRepeat():
            self.removed.emit()
        else:
            super().keyPressEvent(event)
