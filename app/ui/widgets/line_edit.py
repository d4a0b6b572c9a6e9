"""LineEdit: a field of one line that takes text of any length."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit, QWidget

# By itself a line takes 32,767 characters and cuts the rest without a word.
UNLIMITED = 2**31 - 1


class LineEdit(QLineEdit):
    """A line that never cuts what is pasted. What is too long is for the form to say."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMaxLength(UNLIMITED)
        self.setText(text)
