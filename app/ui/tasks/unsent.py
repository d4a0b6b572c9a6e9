"""The page of a task that the server may not have yet: its state, and what can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.tasks.description import DescriptionView
from app.ui.tasks.wording import SendState, send_state, title_of
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import ElidedLabel, StatusWord, Text

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent

    from app.ui.tasks.rows import PendingTask
    from app.ui.widgets.feedback import Action, BoxTone


class UnsentTask(QWidget):
    """Its signals are about the task that is shown (`pending_id`)."""

    check_list = Signal()
    send_again = Signal()
    undo = Signal()
    discard = Signal()
    sign_in = Signal()
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._item: PendingTask | None = None
        self.title = Text(role="title", wrap=True, selectable=True)
        self._state = StatusWord(role="strong")
        self._repository = ElidedLabel(tone="muted")
        self.card = InlineCard()
        self._description = DescriptionView(self.tr("Description"))
        self._area = ScrollColumn(self.tr("Task not on the server yet"))
        for widget in (self.title, self._state, self._repository, self.card, self._description):
            self._area.box.addWidget(widget)
        self._area.box.addStretch()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._area)

    @property
    def pending_id(self) -> str | None:
        return self._item.id if self._item is not None else None

    def show_pending(self, item: PendingTask) -> None:
        """Show a task and its state."""
        if item == self._item:
            return
        self._item = item
        self.title.setText(title_of(item.new))
        self.setWindowTitle(self.title.text())
        self._state.set_state(send_state(item.state))
        self._repository.setText(item.new.repository or "")
        self._repository.setVisible(bool(item.new.repository))
        self._description.set_text(item.new.description)
        self._description.setVisible(item.new.description.strip() != title_of(item.new))
        title, cause, actions, tone = self._words(item)
        self.card.show_note(title, cause, actions=actions, tone=tone)

    def say_checked(self, cause: str, actions: list[Action]) -> None:
        """Show what checking the list has found about a task of unknown outcome."""
        self.card.show_note(self.tr("Sent, outcome unknown"), cause, actions=actions)

    def unknown_actions(self) -> list[Action]:
        return [
            (self.tr("Check the list"), self.check_list.emit),
            (self.tr("Send again"), self.send_again.emit),
            (self.tr("Discard"), self.discard.emit),
        ]

    def clear(self) -> None:
        """Forget the task."""
        self._item = None
        self.title.setText("")
        self.setWindowTitle("")
        self._description.set_text("")
        self.card.clear()

    def focus_first(self) -> None:
        self._area.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _words(self, item: PendingTask) -> tuple[str, str, list[Action], BoxTone]:
        undo = (self.tr("Undo"), self.undo.emit)
        if item.state is SendState.SENDING:
            return "", self.tr("The server has not confirmed it yet."), [], "info"
        if item.state is SendState.SIGN_IN:
            return (
                "",
                self.tr("It is kept on this computer and sent once you are signed in with the same account."),
                [(self.tr("Sign in"), self.sign_in.emit), undo],
                "attention",
            )
        if item.state is SendState.CONNECTION:
            return (
                "",
                self.tr("It is kept on this computer and sent as soon as the server can be reached."),
                [(self.tr("Send now"), self.send_again.emit), undo],
                "attention",
            )
        if item.state is SendState.UNKNOWN:
            return (
                self.tr("Sent, outcome unknown"),
                self.tr("{0} The task may already exist; sending it again could create it twice.").format(
                    item.error.cause
                    if item.error is not None and item.error.facts.status is not None
                    else self.tr("The connection ended before the server answered.")
                ),
                self.unknown_actions(),
                "attention",
            )
        cause = item.error.cause if item.error is not None else ""
        return (
            self.tr("Not sent"),
            cause,
            [
                (self.tr("Edit"), self.undo.emit),
                (self.tr("Send again"), self.send_again.emit),
                (self.tr("Discard"), self.discard.emit),
            ],
            "bad",
        )

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self.left.emit()
        else:
            super().keyPressEvent(event)
