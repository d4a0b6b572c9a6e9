"""Lets Qt recognise the repeats of a held key under X.

X reports a repeat as a release and a press. Qt takes these for a repeat if the press is already in its queue when it
handles the release. Often it arrives a fraction of a millisecond later; then each repeat counts as another press, and
a held Delete is many. `QKeyEvent.isAutoRepeat` and `QShortcut.autoRepeat` depend on it.
"""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractNativeEventFilter, QByteArray
from PySide6.QtGui import QGuiApplication

from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtCore import QCoreApplication

KEY_RELEASE = 3
# The highest bit of the type says that another client sent the event.
TYPE_BITS = 0x7F
# X sends both events at once: this is for the thread that reads them.
WAIT_SECONDS = 0.001


class HeldKeys(QAbstractNativeEventFilter):
    """Waits with each release of a key until the press that belongs to it would be there."""

    @guarded(default=(False, 0))
    def nativeEventFilter(self, kind: QByteArray | bytes | bytearray | memoryview, message: int) -> tuple[bool, int]:
        # The type is the first byte of every event of X.
        if ctypes.c_uint8.from_address(int(message)).value & TYPE_BITS == KEY_RELEASE:
            time.sleep(WAIT_SECONDS)
        return False, 0


def recognise_held_keys(app: QCoreApplication) -> HeldKeys | None:
    """Install the filter where it is needed. It works as long as what is returned is kept."""
    if QGuiApplication.platformName() != "xcb":
        return None
    held = HeldKeys()
    app.installNativeEventFilter(held)
    return held
