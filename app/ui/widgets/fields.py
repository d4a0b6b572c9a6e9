"""Fields: a filter, editors for code and JSON, the error of a field, names beside values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QTextOption
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app.ui.theme import icons, theme, tokens
from app.ui.widgets.feedback import repolish
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.plain_text import PlainTextEdit
from app.ui.widgets.text import ElidedLabel, Text
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent, QPaintEvent

    from app.ui.theme.tokens import TextRole


class FilterField(LineEdit):
    """A filter. Emits `changed(text)` 150 ms after the last key. Esc clears it; when it is empty, Esc is passed on.

    Emits `down()` on Down and Enter, so that the list can take the focus.
    """

    changed = Signal(str)
    down = Signal()

    def __init__(self, placeholder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(placeholder)
        self._emitted = ""
        self._timer = QTimer(self, singleShot=True, interval=tokens.FILTER_DEBOUNCE_MS)
        self._timer.timeout.connect(self._emit_changed)
        self.textChanged.connect(lambda _text: self._timer.start())
        self._apply_theme()
        theme().changed.connect(self._apply_theme)

    def clear_now(self) -> None:
        """Empty the field and emit `changed` at once."""
        self.clear()
        self._emit_changed()

    def set_text_quietly(self, text: str) -> None:
        """Set the text without emitting `changed`."""
        self._emitted = text.strip()
        self.setText(text)
        # `setText` has started it.
        self._timer.stop()

    def _apply_theme(self) -> None:
        self.setTextMargins(theme().px(tokens.ICON + tokens.SPACE_1), 0, 0, 0)

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        current = theme()
        side, left = current.px(tokens.ICON), current.px(tokens.SPACE_2)
        at = self.width() - left - side if self.isRightToLeft() else left
        painter = QPainter(self)
        icons.paint_icon(painter, "search", QRectF(at, (self.height() - side) / 2, side, side), current.colour("muted"))
        painter.end()

    def _emit_changed(self) -> None:
        self._timer.stop()
        text = self.text().strip()
        if text != self._emitted:
            self._emitted = text
            self.changed.emit(text)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key == Qt.Key.Key_Escape:
            if self.text():
                self.clear_now()
            else:
                event.ignore()
        elif key in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._emit_changed()
            self.down.emit()
        else:
            super().keyPressEvent(event)


class CodeEdit(PlainTextEdit):
    """Monospace text. Tab leaves the field unless `tabs`; Esc is passed on."""

    def __init__(
        self,
        name: str,
        *,
        read_only: bool = False,
        wrap: bool = False,
        tabs: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setReadOnly(read_only)
        self.setTabChangesFocus(not tabs)
        wanted = QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere if wrap else QTextOption.WrapMode.NoWrap
        self.setWordWrapMode(wanted)
        # By itself a read-only text can be selected with the mouse only.
        if read_only:
            self.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
        self._apply_theme()
        theme().changed.connect(self._apply_theme)

    def _apply_theme(self) -> None:
        self.setFont(theme().font("mono"))
        self.setTabStopDistance(self.fontMetrics().horizontalAdvance("  "))


class JsonEdit(QWidget):
    """A JSON editor. A line below it says whether the text is valid, or where the error is.

    Emits `checked(ok)` 150 ms after the last key. An empty text counts as `{}`. `read` gives the value of a text or
    raises ValueError. Where the error has `line` and `column`, or `lineno` and `colno`, they are shown.
    """

    checked = Signal(bool)

    def __init__(self, name: str, *, read: Callable[[str], object] = json.loads, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.edit = CodeEdit(name)
        self._read = read
        self._line = Text(role="caption", tone="muted", wrap=True)
        self._ok = True
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        box.addWidget(self.edit, 1)
        box.addWidget(self._line)
        self._timer = QTimer(self, singleShot=True, interval=tokens.FILTER_DEBOUNCE_MS)
        self._timer.timeout.connect(self.check)
        self.edit.textChanged.connect(self._timer.start)
        self.setFocusProxy(self.edit)
        self.check()

    def text(self) -> str:
        """The text of the editor."""
        return self.edit.text()

    def set_value(self, value: object) -> None:
        """Show a value, indented."""
        self.edit.set_text(json.dumps(value, indent=2, ensure_ascii=False))
        self.check()

    def value(self) -> object:
        """The value. Raises ValueError with the position of the error. An empty text is an empty object."""
        # White space before the value counts for the place of an error.
        text = self.text()
        return self._read(text) if text.strip(" \t\r\n") else {}

    def check(self) -> bool:
        """Check the text now; returns whether it is valid."""
        self._timer.stop()
        try:
            self.value()
        except (ValueError, RecursionError) as error:
            self._ok = False
            self._line.setText(self._problem(error))
            self._line.set_tone("bad")
        else:
            self._ok = True
            self._line.setText(self.tr("Valid JSON"))
            self._line.set_tone("muted")
        self.edit.setAccessibleDescription(self._line.text())
        self.checked.emit(self._ok)
        return self._ok

    def _problem(self, error: Exception) -> str:
        line, column = getattr(error, "lineno", 0), getattr(error, "colno", 0)
        line, column = getattr(error, "line", line), getattr(error, "column", column)
        said = str(getattr(error, "msg", error))
        if not line:
            return self.tr("Not JSON: {0}").format(said)
        return self.tr("Line {0}, column {1}: {2}").format(line, column, said)

    def line(self) -> str:
        """The text of the line below."""
        return self._line.text()


class FieldError(Text):
    """The error under a field. It is also the field's accessible description."""

    def __init__(self, field: QWidget, parent: QWidget | None = None) -> None:
        super().__init__("", "caption", "bad", wrap=True, parent=parent)
        self._field = field
        self.setVisible(False)

    def say(self, text: str) -> None:
        """Show an error; empty hides it."""
        self.setText(text)
        self.setVisible(bool(text))
        self._field.setProperty("wrong", "true" if text else "false")
        self._field.setAccessibleDescription(text)
        repolish(self._field)


class KeyValueGrid(QWidget):
    """Names in the muted tone beside values that can be selected; long values wrap, paths elide."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        current = theme()
        self._grid.setHorizontalSpacing(current.px(tokens.SPACE_4))
        self._grid.setVerticalSpacing(current.px(6))
        self._grid.setColumnStretch(1, 1)
        self._lines: dict[str, tuple[QLabel, Text]] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)

    def add(self, name: str, value: str | QWidget, *, path: bool = False, mono: bool = False) -> QWidget:
        """Add a line; returns the widget that shows the value."""
        shown = value if isinstance(value, QWidget) else self._label(value, path=path, mono=mono)
        label = QLabel(name)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setForegroundRole(label.palette().ColorRole.PlaceholderText)
        label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        label.setBuddy(shown)
        if not shown.accessibleName():
            shown.setAccessibleName(f"{name}: {value}" if isinstance(value, str) else name)
        place = self._grid.rowCount()
        self._grid.addWidget(label, place, 0, Qt.AlignmentFlag.AlignTop)
        self._grid.addWidget(shown, place, 1)
        return shown

    def put(self, name: str, value: str, tooltip: str = "") -> None:
        """Set the value of a line, which is added if there is none of that name. An empty value hides it.

        An unchanged value keeps its selection.
        """
        if name not in self._lines:
            shown = self.add(name, value)
            label = self._grid.itemAtPosition(self._grid.rowCount() - 1, 0)
            assert label is not None
            self._lines[name] = cast("QLabel", label.widget()), cast("Text", shown)
        label_widget, text = self._lines[name]
        if text.text() != value:
            text.setText(value)
            text.setAccessibleName(f"{name}: {value}")
        text.setToolTip(plain_tip(tooltip))
        for part in (label_widget, text):
            part.setVisible(bool(value))

    def label_width(self) -> int:
        """The width of the widest name that `put` has shown."""
        shown = [label for label, _ in self._lines.values() if not label.isHidden()]
        return max((label.sizeHint().width() for label in shown), default=0)

    def set_label_width(self, width: int) -> None:
        """Set the least width of the names, to line up the values with those of another grid."""
        self._grid.setColumnMinimumWidth(0, width)

    def clear(self) -> None:
        """Remove every line."""
        self._lines.clear()
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()

    def _label(self, value: str, *, path: bool, mono: bool) -> QWidget:
        role: TextRole = "mono" if mono else "body"
        return ElidedLabel(value, role) if path else Text(value, role, wrap=True, selectable=True)
