"""The Raw page of a result: the message that held it, as it was received."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.servers.blocks import SHOWN_CHARACTERS, size_words
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable


class RawPage(QWidget):
    """Shows the bytes of an answer as text, the beginning first. `save(name, data)` saves all of them."""

    def __init__(self, save: Callable[[str, bytes], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._save, self._body = save, b""
        self.text = ExactText(self.tr("Raw result"), fitted=False)
        self.text.completed.connect(self._completed)
        self._note = Text("", "caption", "muted", wrap=True)
        self.more = QuietButton(self.tr("Show all"), "chevron-down", clicked=self._show_all)
        keep = QuietButton(self.tr("Save full answer…"), "download", clicked=self._save_body)
        line = QHBoxLayout()
        line.setSpacing(theme().px(tokens.SPACE_2))
        line.addWidget(self._note, 1)
        line.addWidget(self.more)
        line.addWidget(keep)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        box.addLayout(line)
        box.addWidget(self.text, 1)

    def show_body(self, body: bytes, *, exact: bool) -> None:
        """Show an answer. `exact`: these are its own bytes, else Burrow has written its value again."""
        self._body = body
        self.text.set_source(body.decode("utf-8", "replace"), SHOWN_CHARACTERS)
        whole = size_words(len(body))
        cut = not self.text.complete and len(self.text.source) > SHOWN_CHARACTERS
        words = self.tr("The first {0} of {1}").format(size_words(SHOWN_CHARACTERS), whole) if cut else whole
        if not exact:
            words = f"{words}  ·  {self.tr('Written again from its value: the bytes were not kept.')}"
        self._note.setText(words)
        self.more.setVisible(cut)

    def clear(self) -> None:
        """Show nothing."""
        self._body = b""
        self.text.set_source("", 0)

    def _show_all(self) -> None:
        self.text.setFocus()
        self.more.hide()
        self.text.show_all()

    def _completed(self) -> None:
        if self.more.isHidden() and len(self.text.source) > SHOWN_CHARACTERS:
            self._note.setText(self.tr("All of {0}").format(size_words(len(self._body))))

    def _save_body(self) -> None:
        self._save("result.json", self._body)
