"""LabelledField: a label, a text field, and its error, as one widget of a form."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.fields import FieldError
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.plain_text import PlainTextEdit
from app.ui.widgets.text import Text


class LabelledField(QWidget):
    """A label, a text field, and its error. `beside` is a button at the end of the field."""

    def __init__(
        self, label: str, hint: str = "", *, secret: bool = False, tall: bool = False, beside: QWidget | None = None
    ) -> None:
        super().__init__()
        self.label = label
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        caption = Text(label, "strong")
        self.edit: QLineEdit | PlainTextEdit
        if tall:
            self.edit = PlainTextEdit()
            self.edit.setTabChangesFocus(True)
            self.edit.setFixedHeight(theme().px(64))
        else:
            self.edit = LineEdit()
            if secret:
                self.edit.setEchoMode(QLineEdit.EchoMode.Password)
        self.edit.setAccessibleName(label)
        caption.setBuddy(self.edit)
        self.error = FieldError(self.edit)
        box.addWidget(caption)
        if beside is None:
            box.addWidget(self.edit)
        else:
            row = QHBoxLayout()
            row.setSpacing(theme().px(tokens.SPACE_2))
            row.addWidget(self.edit, 1)
            row.addWidget(beside)
            box.addLayout(row)
        if hint:
            box.addWidget(Text(hint, "caption", "muted", wrap=True))
        box.addWidget(self.error)

    @property
    def text(self) -> str:
        """What is sent: without blanks around it."""
        return self.raw.strip()

    @property
    def raw(self) -> str:
        """What was typed."""
        return self.edit.text() if isinstance(self.edit, QLineEdit) else self.edit.toPlainText()

    def set_text(self, text: str) -> None:
        """Replace what was typed."""
        if isinstance(self.edit, QLineEdit):
            self.edit.setText(text)
        else:
            self.edit.setPlainText(text)

    def clear(self) -> None:
        """Empty the field."""
        self.edit.clear()
        self.error.say("")
