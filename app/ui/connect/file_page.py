"""What adding a snippet to the program's file would change, before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QSyntaxHighlighter, QTextCharFormat
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.marks import revealed, revealed_name
from app.ui.connect.facts import PreviewOutdated
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import Select
from app.ui.widgets.feedback import InlineCard, ProgressLine
from app.ui.widgets.fields import CodeEdit
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.leavable import LeavablePage
from app.ui.widgets.scrolling import LowArea, LowColumn
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QTextDocument

    from app.core.errors import BurrowError
    from app.ui.connect.facts import FilePreview
    from app.ui.theme.tokens import Tone

LINES = 5


class DiffColours(QSyntaxHighlighter):
    """Added and removed lines in a tone; their signs say it without colour."""

    def __init__(self, document: QTextDocument) -> None:
        super().__init__(document)
        theme().changed.connect(self.rehighlight)

    @guarded()
    def highlightBlock(self, text: str) -> None:
        tones: dict[str, Tone] = {"+": "good", "-": "bad", "@": "muted"}
        tone = tones.get(text[:1])
        if tone is not None:
            form = QTextCharFormat()
            form.setForeground(theme().colour(tone))
            self.setFormat(0, len(text), form)


class FilePage(LeavablePage):
    """Emits `write_wanted(FilePreview)`, `again_wanted()` when the preview is to be made again, and `left()`."""

    write_wanted = Signal(object)
    again_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._preview: FilePreview | None = None
        self._outdated = False
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        self.title = Text(self.tr("Add to file"), "section")
        self.files = Select(self.tr("File"))
        # On Linux its name is what is chosen, and no caption says what it chooses.
        self.files.setAccessibleDescription(self.tr("File"))
        self.files.activated.connect(lambda _row: self.again_wanted.emit())
        self.path = ElidedLabel("", "mono")
        self.words = Text("", tone="muted", wrap=True)
        self.progress = ProgressLine(self.tr("Reading the file"))
        self.card = InlineCard()
        self.diff = CodeEdit(self.tr("Changes of the file"), read_only=True)
        self.diff.setMinimumHeight(self.diff.fontMetrics().lineSpacing() * LINES)
        self._colours = DiffColours(self.diff.document())
        self.write_button = PrimaryButton(self.tr("Write"), keys="Ctrl+Return", clicked=self.write)
        self.again_button = QuietButton(self.tr("Look again"), "refresh", clicked=self.again_wanted.emit)
        self.cancel_button = QuietButton(self.tr("Cancel"), keys="Esc", clicked=self.left.emit)
        column = LowColumn()
        column.box.setContentsMargins(wide, gap, wide, gap)
        column.box.setSpacing(gap)
        for part in (self.title, self.files, self.path, self.words, self.card):
            column.box.addWidget(part)
        column.box.addWidget(self.diff, 1)
        # Without changes to show, the words stay at the top.
        column.box.addStretch()
        buttons = FlowLayout()
        for button in (self.write_button, self.again_button, self.cancel_button):
            buttons.addWidget(button)
        foot = QHBoxLayout()
        foot.setContentsMargins(wide, gap, wide, gap)
        foot.addLayout(buttons)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self.progress)
        box.addWidget(LowArea(self.tr("Add to file"), column), 1)
        box.addLayout(foot)

    def chosen(self, files: Sequence[str]) -> str:
        """The file that is chosen among these, at first the likeliest."""
        current = self.files.currentData()
        return current if current in files else files[0]

    def show_loading(self, files: Sequence[str], file: str) -> None:
        """The preview is being made."""
        self.files.clear()
        for each in files:
            self.files.addItem(revealed_name(each), each)
        self.files.setCurrentIndex(self.files.findData(file))
        self.files.setVisible(len(files) > 1)
        self.path.setVisible(len(files) == 1)
        self.path.setText(revealed_name(file))
        self._preview = None
        self.write_button.setEnabled(False)
        self.again_button.setVisible(False)
        self.progress.start()
        # What a file that changed showed before stays until the new changes are there.
        if not self._outdated:
            self.card.clear()
            self.words.setText("")
            self.diff.setPlainText("")
        self.diff.setVisible(True)
        # To be read first. Tab goes on to the answers.
        self.diff.setFocus(Qt.FocusReason.OtherFocusReason)

    def show_preview(self, preview: FilePreview) -> None:
        """Show what would change."""
        self.progress.stop()
        self._preview = preview
        self.diff.setPlainText(revealed(preview.diff))
        self.diff.setVisible(bool(preview.diff))
        self.write_button.setEnabled(bool(preview.diff))
        if not preview.diff:
            self.words.setText(self.tr("The file has this entry already. There is nothing to write."))
            self.cancel_button.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        if preview.new:
            words = self.tr("There is no such file yet. It is made with this entry.")
        else:
            words = self.tr("Nothing else of the file is changed, and a copy of it is made beside it first.")
        self.words.setText(f"{words} {preview.note}".strip())
        if self._outdated:
            self.card.show_note(
                self.tr("The file has changed meanwhile"),
                self.tr("Nothing was written. These are the changes to the file as it is now."),
            )
        self._outdated = False

    def show_error(self, error: BurrowError) -> None:
        """The file could not be read or written."""
        self.progress.stop()
        if isinstance(error, PreviewOutdated):
            self._outdated = True
            self.again_wanted.emit()
            return
        self._outdated = False
        self.write_button.setEnabled(False)
        self.diff.setVisible(bool(self.diff.toPlainText()))
        self.again_button.setVisible(True)
        self.card.show_error(error)
        self.again_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def write(self) -> None:
        """Write what is shown."""
        if self._preview is not None and self.write_button.isEnabled():
            self.write_button.setEnabled(False)
            self.progress.start()
            self.write_wanted.emit(self._preview)
