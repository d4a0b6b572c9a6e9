"""A description that others wrote: its beginning, all of it on request, as text or as Markdown."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.marks import revealed
from app.ui.theme import theme, tokens
from app.ui.widgets.bounded_text import FoldedText
from app.ui.widgets.choices import CheckBox
from app.ui.widgets.prose import Prose, looks_like_markdown


class Described(QWidget):
    """Emits `formatted_changed(on)` when the person chose how Markdown is shown. Hidden while there is no text."""

    formatted_changed = Signal(bool)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._text = name, ""
        self.plain = FoldedText(name)
        self._prose: Prose | None = None
        self.formatted = CheckBox(self.tr("Formatted"))
        self.formatted.setToolTip(self.tr("Show Markdown as headings, lists and tables"))
        self.formatted.toggled.connect(self._toggled)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_1))
        self._box.addWidget(self.plain)
        self._box.addWidget(self.formatted)
        self.setVisible(False)

    def text(self) -> str:
        """The whole text as it was given."""
        return self._text

    def set_text(self, text: str) -> None:
        """Show another text from its beginning."""
        self._text = text
        self.plain.set_text(revealed(text))
        self._show()

    def set_formatted(self, on: bool) -> None:
        """Show Markdown as such, or as text, without emitting `formatted_changed`."""
        self.formatted.blockSignals(True)
        self.formatted.setChecked(on)
        self.formatted.blockSignals(False)
        self._show()

    def _toggled(self, on: bool) -> None:
        self._show()
        self.formatted_changed.emit(on)

    def _show(self) -> None:
        markdown = looks_like_markdown(self._text)
        formatted = markdown and self.formatted.isChecked()
        self.setVisible(bool(self._text))
        self.formatted.setVisible(markdown)
        self.plain.setVisible(bool(self._text) and not formatted)
        if formatted and self._prose is None:
            self._prose = Prose(self._name)
            self._box.insertWidget(0, self._prose)
        if self._prose is not None:
            self._prose.setVisible(formatted)
            if formatted:
                self._prose.set_text(self._text)
