"""Feedback within a page: banner, cards for errors and notes, empty states, progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.theme.icons import paint_icon
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from PySide6.QtGui import QHideEvent, QPaintEvent, QResizeEvent, QShowEvent

BoxTone = Literal["attention", "bad", "good", "info"]
Action = tuple[str, Callable[[], None]]

GLYPHS: dict[str, str] = {"attention": "warning", "bad": "cross", "good": "check", "info": "info"}


class DisplayableError(Protocol):
    """What an error needs to be shown. The errors of the core have it."""

    @property
    def title(self) -> str: ...
    @property
    def cause(self) -> str: ...
    @property
    def advice(self) -> str: ...


class Glyph(QWidget):
    """An icon that assistive technology ignores."""

    def __init__(self, name: str, tone: str = "muted", size: int = tokens.ICON, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._tone, self._size = name, tone, size
        self._fit()
        theme().changed.connect(self._fit)

    def set_drawing(self, name: str, tone: str) -> None:
        """Change icon and tone."""
        self._name, self._tone = name, tone
        self.update()

    def _fit(self) -> None:
        side = theme().px(self._size)
        self.setFixedSize(side, side)

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_icon(painter, self._name, QRectF(self.rect()), theme().colour(self._tone))
        painter.end()


class Banner(QFrame):
    """A bar with icon, sentence and buttons. Hidden until `show_message`."""

    # The width that the sentence needs at least to have the buttons beside it.
    LEAST_WORDS = 260

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self._glyph = Glyph("warning", "attention")
        self._text = Text(wrap=True)
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        current = theme()
        self._row_of_buttons = QWidget()
        self._buttons = FlowLayout(self._row_of_buttons)
        words = QHBoxLayout()
        words.setSpacing(current.px(tokens.SPACE_2))
        words.addWidget(self._glyph)
        words.addWidget(self._text, 1)
        self._row = row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        row.setContentsMargins(
            *(current.px(m) for m in (tokens.SPACE_4, tokens.SPACE_2, tokens.SPACE_4, tokens.SPACE_2))
        )
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addLayout(words, 1)
        row.addWidget(self._row_of_buttons, 0, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Put the buttons below the words where both do not fit side by side."""
        room = self.width() - self._width_of_buttons()
        beside = room >= theme().px(self.LEAST_WORDS)
        wanted = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        if self._row.direction() != wanted:
            self._row.setDirection(wanted)

    def _width_of_buttons(self) -> int:
        # Not the hint of their layout: it leaves out buttons that were just made, which are shown in the next turn.
        widths = [button.sizeHint().width() for button in self._shown_buttons()]
        return sum(widths) + self._buttons.spacing() * max(0, len(widths) - 1)

    def _shown_buttons(self) -> list[QPushButton]:
        found = (item.widget() for place in range(self._buttons.count()) if (item := self._buttons.itemAt(place)))
        return [button for button in found if isinstance(button, QPushButton)]

    def show_message(
        self,
        text: str,
        tone: BoxTone = "attention",
        primary: Action | None = None,
        secondary: Sequence[Action] = (),
        *,
        glyph: str = "",
    ) -> None:
        """Show a sentence with buttons. The focus stays; from a former button it moves to the one that replaces it."""
        had_focus = self._focused()
        self._glyph.set_drawing(glyph or GLYPHS[tone], tone)
        self._text.setText(text)
        self.setProperty("bar", tone)
        self.setAccessibleName(text)
        clear_layout(self._buttons)
        if primary is not None:
            self._buttons.addWidget(PrimaryButton(primary[0], clicked=primary[1]))
        for words, act in secondary:
            self._buttons.addWidget(QuietButton(words, clicked=act))
        repolish(self)
        self._fit()
        self.setVisible(True)
        if had_focus is not None:
            self._focus_again(had_focus)

    def _focused(self) -> str | None:
        """The words of the button that has the focus."""
        buttons = self._row_of_buttons.findChildren(QPushButton)
        return next((button.text() for button in buttons if button.hasFocus()), None)

    def _focus_again(self, words: str) -> None:
        shown = self._shown_buttons()
        target = next((button for button in shown if button.text() == words), next(iter(shown), None))
        if target is not None:
            # A layout shows a new widget only in the next turn of the loop, and a hidden one takes no focus.
            target.setVisible(True)
            target.setFocus(Qt.FocusReason.OtherFocusReason)

    def say(self, text: str) -> None:
        """Change the sentence. The buttons stay as they are, with the focus."""
        self._text.setText(text)
        self.setAccessibleName(text)

    def text(self) -> str:
        """The sentence shown."""
        return self._text.text()

    def clear(self) -> None:
        """Hide."""
        self.setVisible(False)


class InlineCard(QFrame):
    """An error or a note in its place: title, cause, advice, actions. Hidden until `show_note`; `shown(bool)` tells."""

    shown = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        current = theme()
        self._glyph = Glyph("warning", "attention")
        self._title = Text(role="strong", wrap=True)
        self._cause = Text(wrap=True, selectable=True)
        self._advice = Text(tone="muted", wrap=True)
        self._detail = Text(role="mono", tone="muted", wrap=True, selectable=True)
        self._buttons = FlowLayout()
        words = QVBoxLayout()
        words.setSpacing(current.px(tokens.SPACE_1))
        for label in (self._title, self._cause, self._advice, self._detail):
            words.addWidget(label)
        words.addSpacing(current.px(tokens.SPACE_1))
        words.addLayout(self._buttons)
        row = QHBoxLayout(self)
        row.setContentsMargins(
            *(current.px(m) for m in (tokens.SPACE_3, tokens.SPACE_3, tokens.SPACE_3, tokens.SPACE_2))
        )
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addWidget(self._glyph, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)

    def show_note(
        self,
        title: str,
        cause: str = "",
        advice: str = "",
        actions: Sequence[Action] = (),
        *,
        tone: BoxTone = "attention",
        detail: str = "",
    ) -> None:
        """Show the parts that are not empty; the first action is the main one. `detail` is set in monospace."""
        self._glyph.set_drawing(GLYPHS[tone], tone)
        self.setProperty("card", tone)
        for label, text in (
            (self._title, title),
            (self._cause, cause),
            (self._advice, advice),
            (self._detail, detail),
        ):
            label.setText(text)
            label.setVisible(bool(text))
        self.setAccessibleName(" ".join(part for part in (title, cause, advice) if part))
        clear_layout(self._buttons)
        for words, act in actions:
            self._buttons.addWidget(QuietButton(words, clicked=act))
        repolish(self)
        self.setVisible(True)

    def show_error(
        self, trouble: DisplayableError, actions: Sequence[Action] = (), *, tone: BoxTone = "bad", detail: str = ""
    ) -> None:
        """Show an error of the core in its own words."""
        cause = trouble.cause if trouble.cause != trouble.title else ""
        self.show_note(trouble.title, cause, trouble.advice, actions, tone=tone, detail=detail)

    def text(self) -> str:
        """Everything that is shown, for tests and copying."""
        return self.accessibleName()

    def setVisible(self, visible: bool) -> None:
        super().setVisible(visible)
        self.shown.emit(visible)

    def clear(self) -> None:
        """Hide."""
        self.setVisible(False)


class EmptyState(QWidget):
    """Says in the middle of an empty area why it is empty, and what can be done."""

    def __init__(
        self,
        title: str = "",
        text: str = "",
        actions: Sequence[Action] = (),
        *,
        glyph: str = "",
        primary: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        current = theme()
        self._glyph = Glyph(glyph or "info", "muted", 28)
        self._title = Text(role="section", wrap=True)
        self._text = Text(tone="muted", wrap=True)
        self._buttons = FlowLayout(centred=True)
        box = QVBoxLayout(self)
        box.setContentsMargins(*([current.px(tokens.SPACE_5)] * 4))
        box.setSpacing(current.px(tokens.SPACE_2))
        box.addStretch(2)
        box.addWidget(self._glyph, 0, Qt.AlignmentFlag.AlignHCenter)
        for label in (self._title, self._text):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            box.addWidget(label)
        box.addSpacing(current.px(tokens.SPACE_2))
        box.addLayout(self._buttons)
        box.addStretch(3)
        self.show_state(title, text, actions, glyph=glyph, primary=primary)

    def show_state(
        self, title: str, text: str = "", actions: Sequence[Action] = (), *, glyph: str = "", primary: bool = False
    ) -> None:
        """Show another text. With `primary` the first action is a filled button."""
        self._glyph.setVisible(bool(glyph))
        self._glyph.set_drawing(glyph or "info", "muted")
        self._title.setText(title)
        self._title.setVisible(bool(title))
        self._text.setText(text)
        self._text.setVisible(bool(text))
        self.setAccessibleName(f"{title} {text}".strip())
        clear_layout(self._buttons)
        for number, (words, act) in enumerate(actions):
            make = PrimaryButton if primary and number == 0 else QuietButton
            self._buttons.addWidget(make(words, clicked=act))

    def say(self, title: str) -> None:
        """Change the title only: the buttons stay, and with them the focus."""
        self._title.setText(title)
        self.setAccessibleName(f"{title} {self._text.text()}".strip())


class ProgressLine(QWidget):
    """A 2 px progress line. It appears after 150 ms, and keeps its room when idle.

    When idle it has no accessible name: assistive technology would read that something is loading.
    """

    STEP_MS = 40

    def __init__(self, name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(tokens.SELECTION_BAR)
        self._name = name or self.tr("In progress")
        self._phase = 0.0
        self._fraction: float | None = None
        self._running = False
        self._delay = QTimer(self, singleShot=True, interval=tokens.SHOW_PROGRESS_AFTER_MS)
        self._delay.timeout.connect(self._begin)
        self._timer = QTimer(self, interval=self.STEP_MS)
        self._timer.timeout.connect(self._step)

    @property
    def active(self) -> bool:
        """Whether something is in progress, shown yet or not."""
        return self._running or self._delay.isActive()

    def start(self) -> None:
        """Show that something of unknown length is in progress."""
        self._fraction = None
        if not self.active:
            self._delay.start()

    def set_fraction(self, fraction: float | None) -> None:
        """Show how much is done, 0 to 1; None for unknown."""
        self._fraction = fraction
        self.update()

    def stop(self) -> None:
        """Show nothing: it is done, failed or cancelled."""
        self._delay.stop()
        self._timer.stop()
        self._running = False
        self._fraction = None
        self.setAccessibleName("")
        self.update()

    def _begin(self) -> None:
        self._running = True
        self.setAccessibleName(self._name)
        self._phase = 0.0
        if self.isVisible():
            self._timer.start()
        self.update()

    def _step(self) -> None:
        self._phase = (self._phase + 0.02) % 1.0
        self.update()

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._running:
            self._timer.start()

    @guarded()
    def hideEvent(self, event: QHideEvent) -> None:
        # Nobody sees it move.
        self._timer.stop()
        super().hideEvent(event)

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._running:
            return
        painter = QPainter(self)
        width = self.width()
        accent = theme().colour("accent")
        if self._fraction is not None:
            painter.fillRect(QRectF(0, 0, width * min(max(self._fraction, 0.0), 1.0), self.height()), accent)
        else:
            length = width * 0.25
            painter.fillRect(QRectF(self._phase * (width + length) - length, 0, length, self.height()), accent)
        painter.end()


def repolish(widget: QWidget) -> None:
    """Apply the stylesheet again after a property changed."""
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)
    widget.update()


def clear_layout(layout: QLayout) -> None:
    """Remove every widget of a layout.

    They are destroyed in a later turn of the loop, because this may run in a signal of one of them. Until then they are
    hidden.
    """
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
