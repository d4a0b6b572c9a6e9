"""When to save what is being typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

# With the time that writing takes, a process that is killed loses half a second of text at most.
SAVE_WITHIN_MS = 400


class SaveSoon(QTimer):
    """Calls `save` once, soon after the first of any number of changes."""

    def __init__(self, save: Callable[[], object], parent: QObject) -> None:
        super().__init__(parent, singleShot=True, interval=SAVE_WITHIN_MS)
        self.timeout.connect(save)

    def changed(self) -> None:
        """Something changed."""
        # Not started again by each key: who types without a pause would never be saved.
        if not self.isActive():
            self.start()
