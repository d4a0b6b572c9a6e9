"""Links that macOS gives to the application that runs, as an event instead of another start (`QFileOpenEvent`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QFileOpenEvent

from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtCore import QCoreApplication


class OpenedUrls(QObject):
    """Calls `take` with each link as it was given."""

    def __init__(self, take: Callable[[str], None], parent: QObject) -> None:
        super().__init__(parent)
        self._take = take

    @guarded(False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if not isinstance(event, QFileOpenEvent):
            return False
        # Not `toString`, which decodes what the link has encoded.
        self._take(bytes(event.url().toEncoded().data()).decode("utf-8", "replace"))
        return True


def take_opened_urls(app: QCoreApplication, take: Callable[[str], None]) -> None:
    """Have `take` called on macOS, from now on. Elsewhere links come as arguments."""
    if sys.platform == "darwin":
        app.installEventFilter(OpenedUrls(take, app))
