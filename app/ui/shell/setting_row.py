"""One setting: its name, what it does, its control, and a button that brings the default back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QBoxLayout, QLabel, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import IconButton
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QResizeEvent

NAME_WIDTH = 240
# Narrower than this, in pixels of the design, the control stands below the name.
SIDE_BY_SIDE = 500


class SettingRow(QWidget):
    """`reset` is called by the button, which is there while the value is not the default."""

    def __init__(self, name: str, hint: str, control: QWidget, reset: Callable[[], None] | None = None) -> None:
        super().__init__()
        current = theme()
        self.name, self.hint, self.control = name, hint, control
        self._label = QLabel(name)
        self._label.setBuddy(control)
        self._words = QWidget(self)
        words = QVBoxLayout(self._words)
        words.setContentsMargins(0, 0, 0, 0)
        words.setSpacing(0)
        words.addWidget(self._label)
        self.note = Text(hint, "caption", "muted", wrap=True)
        # First: without a parent it would be shown as a window.
        words.addWidget(self.note)
        words.addStretch(1)
        self.note.setVisible(bool(hint))
        if hint:
            control.setAccessibleDescription(hint)
        self.reset_button = IconButton(self.tr("Reset {0}").format(name), "undo", clicked=reset)
        keeps_room = self.reset_button.sizePolicy()
        keeps_room.setRetainSizeWhenHidden(True)
        self.reset_button.setSizePolicy(keeps_room)
        self.reset_button.setVisible(False)
        side = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        side.setSpacing(current.px(tokens.SPACE_2))
        side.addWidget(control, 0, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        side.addWidget(self.reset_button, 0, Qt.AlignmentFlag.AlignTop)
        side.addStretch(1)
        self._box = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._box.setContentsMargins(0, current.px(tokens.SPACE_1), 0, current.px(tokens.SPACE_1))
        self._box.setSpacing(current.px(tokens.SPACE_3))
        self._box.addWidget(self._words)
        self._box.addLayout(side, 1)
        self._fit()

    def set_changed(self, changed: bool) -> None:
        """Say whether the value is not the default. The focus stays in the row."""
        if not changed and self.reset_button.hasFocus():
            self.control.setFocus(Qt.FocusReason.OtherFocusReason)
        self.reset_button.setVisible(changed)

    def set_hint(self, hint: str) -> None:
        """Say something else about the setting."""
        self.note.setText(hint)
        self.note.setVisible(bool(hint))
        self.control.setAccessibleDescription(hint)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        beside = self.width() >= theme().px(SIDE_BY_SIDE)
        direction = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        self._box.setDirection(direction)
        # The name stands beside the middle of its control, or of the first line of one.
        line = min(self.control.sizeHint().height(), theme().px(tokens.CONTROL))
        self._label.setMinimumHeight(line if beside else 0)
        width = theme().px(NAME_WIDTH)
        self._words.setMinimumWidth(width if beside else 0)
        self._words.setMaximumWidth(width if beside else 16_777_215)
