"""A field of the form: label, editor, and whether the argument is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QCompleter, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.core.mcp.forms.fields import FieldKind
from app.core.mcp.forms.model import FieldEntry, Presence
from app.ui.servers.wording import tr
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.choices import Segmented, Select
from app.ui.widgets.feedback import clear_layout
from app.ui.widgets.fields import CodeEdit, FieldError
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QKeyEvent

    from app.core.mcp.forms.fields import Choice, Field

# A longer list of choices can be searched by typing.
FEW_CHOICES = 7
TALL_LINES = 4
JSON_LINES = 5


class FieldRow(QWidget):
    """A field of the form. `changed(FieldEntry)` carries its new content."""

    changed = Signal(object)

    def __init__(self, field: Field, entry: FieldEntry, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = field
        self._entry = entry
        current = theme()
        self._name = f"{field.label}, {field.summary}" + (self.tr(", required") if field.required else "")
        label = Text(field.label, "strong")
        kind = Text(self._kind_words(), "caption", "muted")
        self._actions = QHBoxLayout()
        self._actions.setSpacing(current.px(tokens.SPACE_1))
        head = QHBoxLayout()
        head.setSpacing(current.px(tokens.SPACE_2))
        head.addWidget(label)
        head.addWidget(kind)
        head.addStretch()
        head.addLayout(self._actions)
        self._editor_room = QVBoxLayout()
        self._editor_room.setContentsMargins(0, 0, 0, 0)
        # The row itself while the argument has no editor, because it is left out or null.
        self.editor: QWidget = self
        self.error = FieldError(self)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addLayout(head)
        if field.description:
            box.addWidget(Text(field.description, "caption", "muted", wrap=True, selectable=True))
        box.addLayout(self._editor_room)
        hints = "  ·  ".join(field.hints)
        if hints:
            box.addWidget(Text(hints, "caption", "muted", wrap=True))
        self._error_room = box
        box.addWidget(self.error)
        self._build()

    @property
    def entry(self) -> FieldEntry:
        """The content of the field."""
        return self._entry

    def set_presence(self, presence: Presence) -> None:
        """Send the value, send null, or leave the argument out. The typed text is kept."""
        self._change_entry(presence=presence)
        self._build()
        if presence is Presence.VALUE and self.editor is not self:
            self.editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def say(self, problem: str) -> None:
        """Show a problem; empty for none."""
        self.error.say(problem)

    def _kind_words(self) -> str:
        words = self.field.name if self.field.title and self.field.title != self.field.name else ""
        parts = (words, self.field.summary, self.tr("required") if self.field.required else "")
        return "  ·  ".join(part for part in parts if part)

    def _change_entry(
        self, *, presence: Presence | None = None, text: str | None = None, items: tuple[str, ...] | None = None
    ) -> None:
        was = self._entry
        self._entry = FieldEntry(
            # Whoever types a value wants it to be sent.
            presence or Presence.VALUE,
            was.text if text is None else text,
            was.items if items is None else items,
            was.as_json,
        )
        self.error.say("")
        self.changed.emit(self._entry)

    def _build(self) -> None:
        clear_layout(self._editor_room)
        clear_layout(self._actions)
        field, presence = self.field, self._entry.presence
        # A required argument always has its editor: it starts absent, but cannot be left out.
        left_out = presence is Presence.ABSENT and not field.required
        if left_out or presence is Presence.NULL:
            words = self.tr("— not sent —") if left_out else self.tr("null")
            note = Text(words, tone="muted")
            self._editor_room.addWidget(note)
            self.editor = self
        else:
            self.editor = self._make_editor()
            self._editor_room.addWidget(self.editor)
        self._add_buttons(left_out, presence)
        self._replace_error()

    def _add_buttons(self, left_out: bool, presence: Presence) -> None:
        named = self.field.label
        if left_out or presence is Presence.NULL:
            self._button(self.tr("Set"), self.tr("Set {0}").format(named), Presence.VALUE)
        if self.field.nullable and presence is not Presence.NULL:
            self._button(self.tr("null"), self.tr("Send null for {0}").format(named), Presence.NULL)
        if not self.field.required and not left_out:
            self._button(self.tr("Leave out"), self.tr("Leave {0} out").format(named), Presence.ABSENT)

    def _button(self, text: str, name: str, presence: Presence) -> None:
        button = QuietButton(text, kind="flat", clicked=lambda: self.set_presence(presence))
        button.setAccessibleName(name)
        self._actions.addWidget(button)

    def _replace_error(self) -> None:
        """Tie the error to the new editor: assistive technology reads it as that editor's description."""
        said = self.error.text()
        self._error_room.removeWidget(self.error)
        self.error.deleteLater()
        self.error = FieldError(self.editor)
        self._error_room.addWidget(self.error)
        if said:
            self.error.say(said)

    def _make_editor(self) -> QWidget:
        field, entry = self.field, self._entry
        if entry.as_json or field.kind is FieldKind.JSON:
            return self._code(entry.text, JSON_LINES)
        if field.kind is FieldKind.LIST:
            return ListEditor(field, entry.items, lambda items: self._change_entry(items=items), self._name)
        return scalar_editor(
            field.kind,
            field.choices,
            entry,
            self._name,
            lambda text: self._change_entry(text=text),
            tall=field.multiline,
        )

    def _code(self, text: str, lines: int) -> QWidget:
        edit = CodeEdit(self._name)
        edit.setPlainText(text)
        edit.setFixedHeight(edit.fontMetrics().lineSpacing() * lines + theme().px(tokens.SPACE_4))
        edit.setToolTip(plain_tip(self.field.why))
        edit.setPlaceholderText("JSON")
        edit.textChanged.connect(lambda: self._change_entry(text=edit.toPlainText()))
        return edit


def scalar_editor(
    kind: FieldKind | None,
    choices: Sequence[Choice],
    entry: FieldEntry,
    name: str,
    put: Callable[[str], None],
    *,
    tall: bool = False,
) -> QWidget:
    """The editor of one plain value. It calls `put` with the text that the form model expects."""
    if kind is FieldKind.BOOLEAN:
        return _yes_or_no(entry, name, put)
    if kind is FieldKind.CONST:
        return Text(choices[0].label if choices else entry.text, selectable=True)
    if kind is FieldKind.CHOICE:
        return _choice(choices, entry, name, put)
    if kind is FieldKind.TEXT and (tall or "\n" in entry.text):
        edit = CodeEdit(name, wrap=True)
        edit.setPlainText(entry.text)
        edit.setFixedHeight(edit.fontMetrics().lineSpacing() * TALL_LINES + theme().px(tokens.SPACE_4))
        edit.textChanged.connect(lambda: put(edit.toPlainText()))
        return edit
    line = QLineEdit(entry.text)
    line.setAccessibleName(name)
    # Qt's own limit of 32,767 characters would cut off a longer value without a word.
    line.setMaxLength(1_000_000)
    if kind in {FieldKind.INTEGER, FieldKind.NUMBER}:
        line.setMaximumWidth(theme().px(240))
    line.textChanged.connect(put)
    return line


def _yes_or_no(entry: FieldEntry, name: str, put: Callable[[str], None]) -> QWidget:
    choice = Segmented([("true", tr("Yes"), "", "accent"), ("false", tr("No"), "", "accent")], name)
    choice.set_value(entry.text or None)
    choice.chosen.connect(put)
    return choice


def _choice(choices: Sequence[Choice], entry: FieldEntry, name: str, put: Callable[[str], None]) -> QWidget:
    select = Select(name, [(choice.key, choice.label) for choice in choices])
    select.setCurrentIndex(select.findData(entry.text))
    select.setMaximumWidth(theme().px(360))
    select.setMinimumContentsLength(12)
    select.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    if len(choices) > FEW_CHOICES:
        select.setEditable(True)
        select.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        completer = select.completer()
        if completer is not None:
            completer.setFilterMode(Qt.MatchFlag.MatchContains)
            completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        if entry.text and select.currentIndex() < 0:
            select.setEditText(entry.text)
        # A text that names no choice is kept: the model says what is wrong with it when the tool is called.
        keys = {choice.label: choice.key for choice in choices}
        select.editTextChanged.connect(lambda text: put(keys.get(text) or text))
        edit = select.lineEdit()
        if edit is not None:
            edit.setAccessibleName(name)
    else:
        select.setPlaceholderText(select.tr("Choose…"))
        select.currentIndexChanged.connect(lambda at: put(str(select.itemData(at))))
    return select


class ListEditor(QWidget):
    """Plain values one below the other: add, remove, move with Alt+Up and Alt+Down, paste one on each line."""

    def __init__(self, field: Field, items: tuple[str, ...], put: Callable[[tuple[str, ...]], None], name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self._field, self._put, self._name = field, put, name
        self._items = list(items)
        self._editors: list[QWidget] = []
        self._rows = QVBoxLayout()
        self._rows.setSpacing(theme().px(tokens.SPACE_1))
        self._add = QuietButton(self.tr("Add item"), "plus", clicked=self.add_item)
        self._add.setAccessibleName(self.tr("Add an item to {0}").format(field.label))
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        box.addLayout(self._rows)
        box.addWidget(self._add)
        self.setFocusProxy(self._add)
        self._build()

    def add_item(self) -> None:
        """Add an empty item."""
        self._items.append("")
        self._tell(build=True)
        self._editors[-1].setFocus(Qt.FocusReason.OtherFocusReason)

    def remove_item(self, place: int) -> None:
        """Remove an item."""
        if 0 <= place < len(self._items):
            del self._items[place]
            self._tell(build=True)
            near = self._editors[min(place, len(self._editors) - 1)] if self._editors else self._add
            near.setFocus(Qt.FocusReason.OtherFocusReason)

    def move_item(self, place: int, by: int) -> None:
        """Swap an item with its neighbour."""
        other = place + by
        if 0 <= place < len(self._items) and 0 <= other < len(self._items):
            self._items[place], self._items[other] = self._items[other], self._items[place]
            self._tell(build=True)
            self._editors[other].setFocus(Qt.FocusReason.OtherFocusReason)

    def _set(self, place: int, text: str) -> None:
        # Several lines were pasted: each becomes an item.
        if "\n" in text:
            self._items[place : place + 1] = [line for line in text.splitlines() if line.strip()]
            self._tell(build=True)
        else:
            self._items[place] = text
            self._tell()

    def _setter(self, place: int) -> Callable[[str], None]:
        return lambda text: self._set(place, text)

    def _remover(self, place: int) -> Callable[[], None]:
        return lambda: self.remove_item(place)

    def _tell(self, *, build: bool = False) -> None:
        self._put(tuple(self._items))
        if build:
            self._build()

    def _build(self) -> None:
        clear_layout(self._rows)
        self._editors = []
        for place, text in enumerate(self._items):
            name = self.tr("{0}, item {1}").format(self._field.label, place + 1)
            editor = scalar_editor(
                self._field.item,
                self._field.choices,
                FieldEntry(Presence.VALUE, text),
                name,
                self._setter(place),
            )
            remove = IconButton(self.tr("Remove {0}").format(name), "cross", clicked=self._remover(place))
            line = QWidget()
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            row.addWidget(editor, 1)
            row.addWidget(remove)
            self._editors.append(editor)
            self._rows.addWidget(line)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}
        by = moves.get(Qt.Key(event.key()))
        place = next((n for n, e in enumerate(self._editors) if e.hasFocus()), -1)
        if by is not None and place >= 0 and event.modifiers() == Qt.KeyboardModifier.AltModifier:
            self.move_item(place, by)
        else:
            super().keyPressEvent(event)
