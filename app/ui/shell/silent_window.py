"""Says in a window of its own that the Burrow which is open does not answer; the process has no other window."""

from __future__ import annotations

import sys

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QApplication, QMessageBox


def say_silent(words: str) -> None:
    """Show `words` until the user has read them."""
    app = QApplication(sys.argv[:1])
    app.setApplicationName("Burrow")
    app.setDesktopFileName("burrow")
    title = QCoreApplication.translate("SilentWindow", "Burrow does not answer")
    box = QMessageBox(QMessageBox.Icon.Warning, title, title, QMessageBox.StandardButton.Close)
    box.setInformativeText(words)
    box.finished.connect(app.quit)
    box.open()
    app.exec()
