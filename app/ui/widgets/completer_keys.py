"""CompleterKeys: keys of the form and of the window that the popup of a completer would keep to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QApplication

from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent
    from PySide6.QtWidgets import QCompleter, QWidget

COMMAND = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
MODIFIERS = frozenset(
    {Qt.Key.Key_Control, Qt.Key.Key_Shift, Qt.Key.Key_Alt, Qt.Key.Key_Meta, Qt.Key.Key_AltGr, Qt.Key.Key_Super_L}
)


class CompleterKeys(QObject):
    """While suggestions are shown, a shortcut closes them and does what it does without them.

    Qt hands such a key to the field alone, not to what the field is in, and finds no shortcut of the window behind a
    popup.
    """

    def __init__(self, completer: QCompleter, field: QWidget) -> None:
        super().__init__(field)
        popup = completer.popup()
        assert popup is not None, "it makes one"
        self._field, self._popup = field, popup
        popup.installEventFilter(self)

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind not in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress) or not is_command(cast("QKeyEvent", event)):
            return False
        # Shortcuts are looked for after this.
        self._popup.hide()
        if kind == QEvent.Type.ShortcutOverride:
            return False
        QApplication.sendEvent(self._field, event)
        return True


def is_command(event: QKeyEvent) -> bool:
    """Whether a key is no typing and no way through a list: a function key, or one with Ctrl, Alt or Meta."""
    pressed = event.modifiers() & COMMAND
    if not pressed:
        return Qt.Key.Key_F1 <= event.key() <= Qt.Key.Key_F35
    # AltGr, which Windows tells as Ctrl and Alt.
    types = bool(event.text()) and event.text().isprintable()
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    third = pressed & both == both or bool(event.modifiers() & Qt.KeyboardModifier.GroupSwitchModifier)
    return event.key() not in MODIFIERS and not (types and third)
