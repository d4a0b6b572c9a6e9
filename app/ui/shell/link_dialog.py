"""LinkDialog: asks before something is done that a link or another start of Burrow wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.marks import revealed
from app.ui.shell.fitted_dialog import FittedDialog
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.guard import guarded
from app.ui.widgets.plain_text import PlainTextEdit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

WIDTH = 480
PREVIEW = 160
# Whoever makes a link knows when it opens: a click or a key that was meant for what was there before must not agree.
UNSEEN_MS = 700


class LinkDialog(FittedDialog):
    """Accepted: do it. The focus is on the answer that changes nothing: the dialog comes unasked, while keys are typed.
    Nobody can agree before it has been in view for `UNSEEN_MS`.

    All texts are shown as they are, without markup.
    """

    def __init__(self, title: str, words: str, yes: str, parent: QWidget, *, text: str = "", named: str = "") -> None:
        """`text` is shown with a scroll bar, under the accessible name `named`."""
        super().__init__(WIDTH, parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        current = theme()
        box = self.box
        box.addWidget(Text(title, "section", wrap=True))
        self.words = Text(words, tone="muted", wrap=True, selectable=True)
        box.addWidget(self.words)
        self.preview = PlainTextEdit(parent=self)
        # First: what is shown has its edge from then on.
        self.preview.setReadOnly(True)
        self.preview.setVisible(bool(text))
        if text:
            self.preview.set_text(revealed(text))
            self.preview.setTabChangesFocus(True)
            self.preview.setAccessibleName(named)
            self.preview.setMinimumHeight(current.px(PREVIEW))
            box.addWidget(self.preview, 1)
        else:
            box.addStretch(1)
        self.yes_button = QuietButton(yes, clicked=self.accept)
        self.yes_button.setEnabled(False)
        self._seen = QTimer(self, singleShot=True, interval=UNSEEN_MS)
        self._seen.timeout.connect(lambda: self.yes_button.setEnabled(True))
        self.no_button = PrimaryButton(self.tr("Cancel"), clicked=self.reject)
        row = QHBoxLayout()
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addStretch(1)
        row.addWidget(self.yes_button)
        row.addWidget(self.no_button)
        box.addLayout(row)
        self.no_button.setDefault(True)
        self.no_button.setFocus()
        show_focus_ring(self)

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._seen.start()
