"""Closing the window: what is typed is saved first, and the user is asked if it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.plain_text import PlainTextEdit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.errors import BurrowError
    from app.core.storage import Draft
    from app.core.storage.drafts import Drafts
    from app.ui.bridge import Bridge
    from app.ui.shell.place_stack import PlaceStack

WIDTH = 460
PREVIEW = 120


class ClosingGuard(QObject):
    """Says whether the window may close, and closes it once it may."""

    def __init__(self, window: QWidget, stack: PlaceStack, drafts: Drafts, bridge: Bridge) -> None:
        super().__init__(window)
        self._window, self._stack, self._drafts, self._bridge = window, stack, drafts, bridge
        self._allowed = False
        self.dialog: UnsavedDialog | None = None

    def allows(self) -> bool:
        """Whether nothing would be lost now. If not, the window is closed later, or the user is asked."""
        if self._allowed or not (self._drafts.unsaved or self._stack.unsaved):
            return True
        try:
            self._bridge.spawn(self, self._save(), done=self._saved, failed=self._ask, key="closing")
        except RuntimeError:
            # The loop has ended: nothing can be saved any more.
            return True
        return False

    async def _save(self) -> None:
        await self._stack.save_typed()
        await self._drafts.retry()

    def _saved(self, _nothing: None) -> None:
        left = self._stack.unsaved_texts()
        if left:
            # Not what failed to be stored, but what nothing stores: only the user can say what becomes of it.
            self._open(self.tr("What you typed is not finished"), "", left)
        else:
            self._close()

    def _ask(self, error: BurrowError) -> None:
        texts = [typed for draft in self._drafts.unsaved if (typed := words_of(draft))]
        why = f"{error.cause} {error.advice}".strip()
        self._open(self.tr("What you typed could not be saved"), why, [*self._stack.unsaved_texts(), *texts])

    def _open(self, title: str, why: str, texts: Sequence[str]) -> None:
        if self.dialog is None:
            self.dialog = UnsavedDialog(title, why, texts, self._window)
            self.dialog.accepted.connect(self._close)
            self.dialog.finished.connect(self._answered)
            self.dialog.open()

    def _close(self) -> None:
        self._allowed = True
        self._window.close()

    def _answered(self, _result: int) -> None:
        self.dialog = None


def words_of(draft: Draft) -> str:
    """What was typed into a draft, a line for each field. What is about the text begins with an underscore."""
    return "\n".join(text for name, text in draft.fields.items() if text and not name.startswith("_"))


class UnsavedDialog(QDialog):
    """Accepted: close all the same. Rejected: stay. The text can be read and copied before either."""

    def __init__(self, title: str, why: str, texts: Sequence[str], parent: QWidget | None) -> None:
        """`why` says what failed, if anything did; `texts` are what would be lost."""
        super().__init__(parent)
        # Drafts and places may tell of the same text.
        self.text = "\n\n".join(dict.fromkeys(texts))
        self.setWindowTitle(title)
        current = theme()
        self.setMinimumWidth(current.px(WIDTH))
        box = QVBoxLayout(self)
        box.setContentsMargins(*([current.px(tokens.SPACE_4)] * 4))
        box.setSpacing(current.px(tokens.SPACE_3))
        box.addWidget(Text(title, "section", wrap=True))
        words = f"{why} {self.tr('If you close Burrow now, it is lost.')}".strip()
        box.addWidget(Text(words, tone="muted", wrap=True, selectable=True))
        self.preview = PlainTextEdit()
        self.preview.set_text(self.text)
        self.preview.setReadOnly(True)
        self.preview.setTabChangesFocus(True)
        self.preview.setAccessibleName(self.tr("What you typed"))
        self.preview.setFixedHeight(current.px(PREVIEW))
        box.addWidget(self.preview)
        self.preview.setVisible(bool(self.text))
        box.addStretch(1)
        self.stay_button = PrimaryButton(self.tr("Stay"), clicked=self.reject)
        self.copy_button = QuietButton(self.tr("Copy text"), "copy", clicked=self.copy)
        self.copy_button.setEnabled(bool(self.text))
        self.close_button = QuietButton(self.tr("Close anyway"), clicked=self.accept)
        row = QHBoxLayout()
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addWidget(self.copy_button)
        row.addStretch(1)
        row.addWidget(self.close_button)
        row.addWidget(self.stay_button)
        box.addLayout(row)
        self.stay_button.setDefault(True)
        self.stay_button.setFocus()

    def copy(self) -> None:
        """Put what was typed on the clipboard."""
        QGuiApplication.clipboard().setText(self.text)
