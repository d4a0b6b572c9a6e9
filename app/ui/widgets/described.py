"""A description that others wrote: its beginning, all of it on request, as text or as Markdown."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.marks import revealed
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.choices import CheckBox
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.prose import Prose, looks_like_markdown
from app.ui.widgets.text import Text

# A label lays its whole text out at once; a server may describe a tool with megabytes.
BEGINNING = 1_500
FIRST_OF_ALL = 200 * 1024


class Described(QWidget):
    """Emits `formatted_changed(on)` when the person chose how Markdown is shown. Hidden while there is no text."""

    formatted_changed = Signal(bool)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._text = name, ""
        self._plain = Text("", wrap=True, selectable=True)
        self._prose: Prose | None = None
        self._whole: ExactText | None = None
        self.formatted = CheckBox(self.tr("Formatted"))
        self.formatted.setToolTip(self.tr("Show Markdown as headings, lists and tables"))
        self.formatted.toggled.connect(self._toggled)
        self.more = QuietButton(self.tr("Show all"), "chevron-down", kind="flat", clicked=self.show_all)
        self.more.setAccessibleName(self.tr("Show all of {0}").format(name))
        controls = QHBoxLayout()
        controls.setSpacing(theme().px(tokens.SPACE_3))
        controls.addWidget(self.formatted)
        controls.addWidget(self.more)
        controls.addStretch()
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_1))
        self._box.addWidget(self._plain)
        self._box.addLayout(controls)
        self.setVisible(False)

    def text(self) -> str:
        """The whole text as it was given."""
        return self._text

    def set_text(self, text: str) -> None:
        """Show a text from its beginning. If it is shown already, it stays as it is."""
        if text == self._text:
            return
        self._text = text
        self._drop_whole()
        self._show()

    def set_formatted(self, on: bool) -> None:
        """Show Markdown as such, or as text, without emitting `formatted_changed`."""
        self.formatted.blockSignals(True)
        self.formatted.setChecked(on)
        self.formatted.blockSignals(False)
        self._show()

    def show_all(self) -> None:
        """Show the whole text, in steps if it is long."""
        self._whole = ExactText(self._name)
        self._whole.set_source(self._text, FIRST_OF_ALL)
        self._whole.show_all()
        self._box.insertWidget(0, self._whole)
        self._show()
        self._whole.setFocus()

    def _toggled(self, on: bool) -> None:
        self._show()
        self.formatted_changed.emit(on)

    def _show(self) -> None:
        markdown = looks_like_markdown(self._text)
        formatted = markdown and self.formatted.isChecked() and self._whole is None
        long = len(self._text) > BEGINNING
        beginning = self._text[:BEGINNING].rstrip()
        self.setVisible(bool(self._text.strip()))
        self.formatted.setVisible(markdown and self._whole is None)
        self.more.setVisible(long and not formatted and self._whole is None)
        self._plain.setVisible(not formatted and self._whole is None)
        self._plain.setText(revealed(f"{beginning}…" if long else self._text.strip()))
        if formatted and self._prose is None:
            self._prose = Prose(self._name)
            self._box.insertWidget(0, self._prose)
        if self._prose is not None:
            self._prose.setVisible(formatted)
            if formatted:
                self._prose.set_text(self._text)

    def _drop_whole(self) -> None:
        if self._whole is not None:
            self._whole.hide()
            self._whole.deleteLater()
            self._whole = None
