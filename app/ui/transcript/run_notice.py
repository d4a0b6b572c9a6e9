"""RunNoticeCard: what a run on this machine needs the person for, in words, with what can be done as buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.marks import revealed_name
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.feedback import InlineCard, clear_layout
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QResizeEvent

    from app.ui.widgets.feedback import BoxTone

SCRIPT_HEIGHT = 160
LONGEST_NAME = 60


class LocalAction(NamedTuple):
    """A button: its id, its words, and what it does beyond them."""

    id: str
    words: str
    about: str = ""
    icon: str = "play"


class LocalNotice(NamedTuple):
    """`lines` are output of the agent. `script` is shown to the letter, because the person decides about it."""

    title: str
    text: str = ""
    advice: str = ""
    actions: tuple[LocalAction, ...] = ()
    tone: BoxTone = "attention"
    lines: tuple[str, ...] = ()
    script: str = ""


@runtime_checkable
class NoticingConversation(Protocol):
    """A conversation that may need the person for something else than an answer."""

    @property
    def notice(self) -> LocalNotice | None:
        """What to say now."""

    @property
    def actions(self) -> Sequence[LocalAction]:
        """Commands that the repository offers."""

    async def act(self, action: str) -> None:
        """Do what a button of the notice, or an action, stands for."""


def noticing(conversation: object) -> NoticingConversation | None:
    """A conversation, if it is such a one."""
    return conversation if isinstance(conversation, NoticingConversation) else None


class RunNoticeCard(QWidget):
    """`wanted(id)`: a button was pressed. Hidden without notice and actions."""

    wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._notice: LocalNotice | None = None
        self._actions: tuple[LocalAction, ...] = ()
        self._script: QWidget | None = None
        self.card = InlineCard()
        self.row = QWidget()
        self.row.setAccessibleName(self.tr("Commands of the repository"))
        self._buttons = FlowLayout(self.row)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_2))
        self._box.addWidget(self.card)
        self._box.addWidget(self.row)
        self.row.setVisible(False)
        self.setVisible(False)

    def show_notice(self, notice: LocalNotice | None, actions: Sequence[LocalAction]) -> None:
        """Show these. What is the same already keeps its focus."""
        if notice != self._notice:
            self._notice = notice
            self._show(notice)
        if tuple(actions) != self._actions:
            self._actions = tuple(actions)
            self._fill()
        self.setVisible(notice is not None or bool(self._actions))

    def minimumSizeHint(self) -> QSize:
        # By itself it is that of wrapped text in a narrow column.
        hint = super().minimumSizeHint()
        return QSize(hint.width(), min(hint.height(), self._box.heightForWidth(self.width())))

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def _show(self, notice: LocalNotice | None) -> None:
        if self._script is not None:
            self._box.removeWidget(self._script)
            self._script.hide()
            self._script.deleteLater()
            self._script = None
        if notice is None:
            self.card.clear()
            return
        acts = [(each.words, self._presser(each.id)) for each in notice.actions]
        detail = "\n".join(map(revealed_name, notice.lines))
        self.card.show_note(notice.title, notice.text, notice.advice, acts, tone=notice.tone, detail=detail)
        if notice.script:
            # Few runs have one.
            from app.ui.widgets.exact_text import ExactText

            script = ExactText(self.tr("Setup script"))
            script.setMaximumHeight(theme().px(SCRIPT_HEIGHT))
            script.set_source(notice.script, len(notice.script))
            self._script = script
            self._box.insertWidget(0, script)

    def _fill(self) -> None:
        clear_layout(self._buttons)
        for each in self._actions:
            words = revealed_name(each.words[:LONGEST_NAME]).replace("&", "&&")
            button = QuietButton(words, each.icon, kind="flat", clicked=self._presser(each.id))
            button.setToolTip(plain_tip(revealed_name(each.about)))
            button.setAccessibleDescription(each.about)
            self._buttons.addWidget(button)
        self.row.setVisible(bool(self._actions))

    def _presser(self, action: str) -> Callable[[], None]:
        return lambda: self.wanted.emit(action)
