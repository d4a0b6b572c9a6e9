"""LogExport: writes the log entries behind a transcript into a file, one a line, without secrets."""

from __future__ import annotations

import contextlib
import os
import tempfile
from time import perf_counter
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, QObject, Qt, QTimer
from PySide6.QtWidgets import QFileDialog

from app.marks import revealed_name
from app.ui.transcript.copier import SLICE_SECONDS
from app.ui.widgets.announce import announce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from PySide6.QtWidgets import QWidget

    from app.ui.transcript.source import ItemSource
    from app.ui.widgets.feedback import InlineCard


class LogExport(QObject):
    """Says in `card` what became of it. A file that was there stays until the new one is whole."""

    def __init__(self, page: QWidget, card: InlineCard) -> None:
        super().__init__(page)
        self._page, self._card = page, card
        self._path = self._part = ""
        self._source: ItemSource | None = None
        self._file: TextIO | None = None
        self._lines: Iterator[str] = iter(())
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._write_more)

    def offer(self, source: ItemSource, most: int) -> None:
        """Say that a text of more than `most` characters is not copied, and offer the log instead."""
        title = self.tr("This is too long to copy")
        cause = self.tr("{0} characters at most can be copied at once. The raw log has everything.")
        action = (self.tr("Export the raw log…"), lambda: self.ask(source))
        self._card.show_note(title, cause.format(QLocale().toString(most)), actions=[action])
        announce(self._page, self._card.text())

    def ask(self, source: ItemSource) -> None:
        """Ask for the file, then write."""
        self._card.clear()
        dialog = QFileDialog(self._page, self.tr("Export the raw log"), "run.jsonl")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("jsonl")
        dialog.fileSelected.connect(lambda path: self.write(source, path))
        dialog.open()

    def write(self, source: ItemSource, path: str) -> None:
        """Write the entries in slices: a long log is read from the disk."""
        self._give_up()
        self._source, self._path, self._lines = source, path, source.raw_log()
        try:
            # Beside it, and for nobody else to read.
            handle, self._part = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".log-")
            self._file = os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="\n")
        except OSError as failure:
            self._say_failed(failure)
            return
        self._write_more()

    def _write_more(self) -> None:
        file, until = self._file, perf_counter() + SLICE_SECONDS
        if file is None:
            return
        try:
            for line in self._lines:
                file.write(f"{line}\n")
                if perf_counter() > until:
                    self._soon.start()
                    return
            file.close()
            os.replace(self._part, self._path)
        except (OSError, ValueError) as failure:
            # The run may have been left meanwhile.
            self._give_up()
            self._say_failed(failure)
            return
        self._file = None
        words = self.tr("The raw log was saved as {0}.").format(revealed_name(self._path))
        self._card.show_note(words, tone="good")
        announce(self._page, words)

    def _say_failed(self, failure: Exception) -> None:
        source, cause = self._source, getattr(failure, "strerror", None) or str(failure)
        actions = [(self.tr("Choose another place"), lambda: self.ask(source))] if source is not None else []
        self._card.show_note(self.tr("The raw log was not saved"), cause, actions=actions, tone="bad")
        announce(self._page, self._card.text())

    def _give_up(self) -> None:
        self._soon.stop()
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                os.unlink(self._part)
