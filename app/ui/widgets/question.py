"""A question in its place, before something that takes effect on many things or cannot be repeated safely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget
from shiboken6 import isValid

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import DeliberateButton, QuietButton
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent


class YesButton(DeliberateButton):
    """Answers a question about something that destroys."""

    def __init__(self, text: str = "", *, clicked: Callable[[], None] | None = None) -> None:
        super().__init__(text, kind="danger", clicked=clicked)


class InlineQuestion(QFrame):
    """A question with two answers. Hidden until `ask`; `answered(bool)` when it is answered or withdrawn.

    The focus goes to the answer that changes nothing, and back to where it was. Esc is that answer too.
    """

    answered = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self.setProperty("bar", "attention")
        self._act: Callable[[], None] | None = None
        self._back: QWidget | None = None
        self._text = Text(wrap=True)
        self.yes = YesButton(clicked=self._accept)
        self.no = QuietButton(self.tr("Cancel"), clicked=self.withdraw)
        current = theme()
        box = QVBoxLayout(self)
        box.setContentsMargins(*(current.px(m) for m in (tokens.SPACE_4, tokens.SPACE_2, tokens.SPACE_3, 6)))
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addWidget(self._text)
        buttons = FlowLayout()
        buttons.addWidget(self.no)
        buttons.addWidget(self.yes)
        box.addLayout(buttons)

    @property
    def open(self) -> bool:
        """Whether it waits for an answer."""
        return self._act is not None

    @property
    def text(self) -> str:
        """The question."""
        return self._text.text()

    def ask(self, text: str, yes: str, act: Callable[[], None]) -> None:
        """Ask; `yes` are the words of the button that calls `act`. A question that is open is withdrawn first."""
        self.withdraw()
        self._act = act
        self._back = self.window().focusWidget()
        self._text.setText(text)
        self.yes.setText(yes)
        self.setAccessibleName(text)
        self.no.setAccessibleDescription(text)
        self.setVisible(True)
        self.no.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def withdraw(self) -> None:
        """Change nothing."""
        self._end(accepted=False)

    def _accept(self) -> None:
        self._end(accepted=True)

    def _end(self, *, accepted: bool) -> None:
        act, self._act = self._act, None
        if act is None:
            return
        has_focus = self.window().focusWidget() in (self.yes, self.no)
        # Before it hides: Qt gives the focus of a hidden widget to any other one.
        if has_focus and self._back is not None and isValid(self._back):
            self._back.setFocus(Qt.FocusReason.OtherFocusReason)
        self._back = None
        self.setVisible(False)
        if accepted:
            act()
        self.answered.emit(accepted)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.withdraw()
        else:
            super().keyPressEvent(event)
