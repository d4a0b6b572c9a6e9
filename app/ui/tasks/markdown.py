"""Shows the Markdown of a task's description, and opens links of tasks."""

from __future__ import annotations

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

from app.ui.tasks.wording import keep_line_breaks
from app.ui.widgets.prose import Prose, is_web


class MarkdownView(Prose):
    """A description, whose lines end where they were ended: people write them without knowing Markdown."""

    def prepared(self, text: str) -> str:
        return keep_line_breaks(text)


def open_web_link(address: str) -> None:
    """Open a link in the browser if it is http or https; ignore any other."""
    if is_web(address):
        QDesktopServices.openUrl(QUrl(address))
