"""AskCard: what the agent asks before it goes on, with its answers as buttons and number keys.

It takes no focus. Enter never allows, and right after a question has appeared nothing does: what was pressed then was
meant for something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QElapsedTimer, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.transcript.answers import (
    REJECTS,
    RunAnswer,
    consequence,
    option_words,
)
from app.ui.transcript.cards import card_of
from app.ui.transcript.parts_view import PartsView
from app.ui.transcript.question_form import QuestionForm
from app.ui.widgets.buttons import DeliberateButton, PrimaryButton, QuietButton
from app.ui.widgets.column import FittedColumn
from app.ui.widgets.feedback import Glyph, InlineCard, clear_layout
from app.ui.widgets.fitted_scroll import FittedScroll
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.focus_chain import holds_focus
from app.ui.widgets.guard import guarded
from app.ui.widgets.submit_key import is_submit
from app.ui.widgets.text import Text
from app.ui.widgets.text_field import TextField

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent

    from app.core.runs.items import Permission, PermissionOption
    from app.ui.widgets.feedback import DisplayableError

# How long after a question has appeared nothing is answered.
ARM_MS = 600
# Of the height of the page.
LARGEST_SHARE = 0.4
# In pixels of the design, in a low window.
LEAST_DETAILS = 32


class AskCard(QFrame):
    """Shows one permission. `answered(RunAnswer)`, `dismissed(Permission)`. Hidden until `show_permission`.

    `focus_lost()`: it has the focus, and cannot keep it.
    """

    answered = Signal(object)
    dismissed = Signal(object)
    focus_lost = Signal()

    def __init__(self, room: Callable[[], int], parent: QWidget | None = None) -> None:
        """`room` is asked for the height of the page in pixels."""
        super().__init__(parent)
        self._room = room
        # In words, the mode that an option sets besides. Whoever knows the run sets it.
        self.mode_of: Callable[[Permission, PermissionOption], str] = lambda _permission, _option: ""
        # The ids of options that are not offered, such as those of modes that the user has not switched on.
        self.withheld: Callable[[str], bool] = lambda _mode: False
        self.setVisible(False)
        self.setProperty("card", "attention")
        self.permission: Permission | None = None
        self._form: QuestionForm | None = None
        self._since = QElapsedTimer()
        # The option that waits for a text.
        self._texted: PermissionOption | None = None
        current = theme()
        gap = current.px(tokens.SPACE_2)
        self.title = Text(role="strong", wrap=True, selectable=True)
        self.count = Text("", "caption", "muted")
        self.parts = PartsView(self.tr("What the agent wants to do"))
        self._content = FittedColumn()
        self._column = QVBoxLayout(self._content)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.parts)
        self.details = FittedScroll(self._content, least=current.px(LEAST_DETAILS), most=self._most)
        self.about = Text("", "caption", "muted", wrap=True)
        self.text = TextField(self.tr("What the agent should do instead"), lines=1, most=6)
        self.text.setPlaceholderText(self.tr("What the agent should do instead"))
        self.card = InlineCard()
        self.answers = QWidget()
        self._flow = FlowLayout(self.answers)
        self.buttons: list[QuietButton | PrimaryButton] = []
        self.dismiss = QuietButton(self.tr("Dismiss"), kind="flat", clicked=self._dismiss)
        self.dismiss.setToolTip(self.tr("Refuse, and stop the turn"))
        self.dismiss.setAccessibleDescription(self.tr("Refuse, and stop the turn"))
        head = QHBoxLayout()
        head.setSpacing(gap)
        head.addWidget(Glyph("question", "attention"), 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self.title, 1)
        head.addWidget(self.count, 0, Qt.AlignmentFlag.AlignTop)
        box = QVBoxLayout(self)
        side = current.px(tokens.SPACE_3)
        box.setContentsMargins(side, side, side, gap)
        box.setSpacing(gap)
        box.addLayout(head)
        for part in (self.details, self.about, self.text, self.card, self.answers):
            box.addWidget(part)

    def show_permission(self, permission: Permission | None, waiting: int = 1) -> None:
        """Show what is asked, of `waiting` in all; None hides."""
        if permission is None:
            self._hide()
            return
        self.count.setText(self.tr("1 of {0}").format(waiting) if waiting > 1 else "")
        if self.permission is not None and _asked(self.permission) == _asked(permission):
            self.permission = permission
            self.setVisible(True)
            return
        self.permission, self._texted = permission, None
        self._since.start()
        self.set_busy(False)
        self.card.clear()
        shown = card_of(permission)
        self.title.setText(shown.title)
        self.setAccessibleName(self.tr("The agent asks: {0}").format(shown.title))
        self._fill(permission)
        self.text.set_text("")
        self.setVisible(True)

    def set_busy(self, busy: bool) -> None:
        """Whether the answer is on its way."""
        if busy:
            self._give_focus()
        for button in (*self.buttons, self.dismiss):
            button.setEnabled(not busy)

    def show_error(self, error: DisplayableError) -> None:
        """The answer did not arrive. It can be given again."""
        self.set_busy(False)
        self.card.show_error(error)

    def press_number(self, number: int) -> bool:
        """Answer by number, from 1. Returns whether there is that answer."""
        if self.isHidden():
            return False
        if self._form is not None:
            return self._form.choose(number)
        if not 1 <= number <= len(self.buttons) or not self.buttons[number - 1].isEnabled():
            return False
        self.buttons[number - 1].click()
        return True

    def focus_first(self) -> None:
        """Put the focus on the first answer."""
        if self._form is not None:
            self._form.focus_first()
        elif self.buttons:
            self.buttons[0].setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _fill(self, permission: Permission) -> None:
        clear_layout(self._flow)
        self.buttons.clear()
        if self._form is not None:
            self._column.removeWidget(self._form)
            self._form.hide()
            self._form.deleteLater()
            self._form = None
        asks = bool(permission.questions)
        offered = [option for option in permission.options if not self.withheld(option.option_id)]
        self.parts.setVisible(not asks)
        if asks:
            self._form = QuestionForm(permission.questions, self.title.text())
            self._form.changed.connect(self._form_changed)
            self._column.addWidget(self._form)
            self._form.show()
            submit = PrimaryButton(self.tr("Answer"), keys="Ctrl+Return", clicked=self._submit)
            submit.setEnabled(False)
            self._add(submit)
        else:
            self.parts.show_card(card_of(permission))
            for number, option in enumerate(offered, start=1):
                self._add(self._option_button(number, option))
        self.dismiss = QuietButton(self.tr("Dismiss"), kind="flat", clicked=self._dismiss)
        self.dismiss.setToolTip(self.tr("Refuse, and stop the turn"))
        self.dismiss.setAccessibleDescription(self.tr("Refuse, and stop the turn"))
        self._flow.addWidget(self.dismiss)
        self.dismiss.show()
        about = [] if asks else [self._consequence(permission, option) for option in offered]
        self.about.setText("\n".join(line for line in about if line))
        self.about.setVisible(bool(self.about.text()))
        self.text.setVisible(False)
        self.details.updateGeometry()

    def _add(self, button: QuietButton | PrimaryButton) -> None:
        self.buttons.append(button)
        self._flow.addWidget(button)
        # A layout shows a new widget only in the next turn of the loop.
        button.show()

    def _option_button(self, number: int, option: PermissionOption) -> QuietButton:
        words = option_words(option)
        shown = f"{number}  {words}" if number <= 9 else words
        button = DeliberateButton(
            shown.replace("&", "&&"),
            kind="danger" if option.kind in REJECTS else "quiet",
            keys=str(number) if number <= 9 else "",
            clicked=lambda: self._choose(option),
        )
        hints = [option.description, self._consequence(self.permission, option) if self.permission is not None else ""]
        button.setAccessibleDescription(" ".join(hint for hint in hints if hint))
        return button

    def _consequence(self, permission: Permission, option: PermissionOption) -> str:
        return consequence(permission, option, self.mode_of(permission, option))

    def _choose(self, option: PermissionOption) -> None:
        permission = self.permission
        if permission is None or (option.kind not in REJECTS and self._since.elapsed() < ARM_MS):
            return
        if option.wants_text and not self.text.text().strip():
            self._texted = option
            self.text.setVisible(True)
            self.text.setAccessibleDescription(option_words(option))
            self.text.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        self._answer(RunAnswer(permission, option.option_id, self.text.text().strip()))

    def _form_changed(self) -> None:
        if self._form is not None and self.buttons:
            self.buttons[0].setEnabled(self._form.complete)

    def _submit(self) -> None:
        permission, form = self.permission, self._form
        if permission is None or form is None or not form.complete or self._since.elapsed() < ARM_MS:
            return
        self._answer(RunAnswer(permission, answers=form.answers()))

    def _answer(self, answer: RunAnswer) -> None:
        self.card.clear()
        self.set_busy(True)
        self.answered.emit(answer)

    def _dismiss(self) -> None:
        if self.permission is not None:
            self.set_busy(True)
            self.dismissed.emit(self.permission)

    def _hide(self) -> None:
        self.permission = None
        self._give_focus()
        self.setVisible(False)

    def _give_focus(self) -> None:
        """Qt would give it to the next control: the same key pressed twice would do something else."""
        if holds_focus(self):
            self.focus_lost.emit()

    def _most(self) -> int:
        return max(theme().px(LEAST_DETAILS), round(self._room() * LARGEST_SHARE))

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        number = event.key() - Qt.Key.Key_0
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        if is_submit(event) and self._form is not None:
            self._submit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._texted is not None and self.text.hasFocus():
            self._choose(self._texted)
        elif plain and 1 <= number <= 9 and not event.isAutoRepeat() and self.press_number(number):
            event.accept()
        else:
            super().keyPressEvent(event)


def _asked(permission: Permission) -> tuple[object, ...]:
    """What a person reads before an answer. Where it is another one, what was pressed for the former does not count."""
    asked = (permission.title, permission.kind, permission.plan, permission.input, permission.parts)
    return (permission.request_id, *asked, permission.options, permission.questions)
