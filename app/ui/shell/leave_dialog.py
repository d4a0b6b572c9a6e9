"""The question before Burrow ends or an account is left: what is under way, and what was typed and is not saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.core.busy import WorkKind
from app.marks import isolated, revealed, revealed_name
from app.ui.shell.fitted_dialog import FittedDialog
from app.ui.theme import theme, tokens
from app.ui.translation import marked, translate
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.feedback import clear_layout
from app.ui.widgets.fitted_scroll import FittedScroll
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.plain_text import PlainTextEdit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.busy import Work
    from app.ui.shell.closing import UnsavedText

WIDTH = 460
PREVIEW = 120
WORKS_LEAST, WORKS_HEIGHT = 64, 220
# More of one kind are counted.
SHOWN = 20

HEADINGS = {
    WorkKind.CALL: marked("WorkList", "Tool calls"),
    WorkKind.CLIENT: marked("WorkList", "Clients of the proxy"),
    WorkKind.DRAFT: marked("WorkList", "Typed text"),
    WorkKind.SENDING: marked("WorkList", "Being sent"),
    WorkKind.SIGN_IN: marked("WorkList", "Sign-ins"),
    WorkKind.RUN: marked("WorkList", "Runs"),
    WorkKind.FILE: marked("WorkList", "Files being written"),
}


class LeaveWords(NamedTuple):
    """What a question is about: its title, the words of its choices, what is said once nothing is under way any more,
    and the bar of who waits for that.
    """

    title: str
    later: str
    anyway: str
    plainly: str
    free: str
    waiting: str = ""
    waiting_for_more: str = ""
    now: str = ""


class LeaveDialog(FittedDialog):
    """Accepted: leave all the same. Rejected: stay. `wait_wanted()`: leave when the work is done.

    The text can be read and copied before any answer. `show_works` keeps the list as it is now.
    """

    wait_wanted = Signal()

    def __init__(
        self,
        unsaved: UnsavedText,
        works: Sequence[Work],
        parent: QWidget | None,
        *,
        waits: bool = True,
        words: LeaveWords | None = None,
    ) -> None:
        """Without `waits`, leaving later is not offered: the end of the session waits for the answer.

        Without `words` it is Burrow that ends.
        """
        super().__init__(WIDTH, parent)
        self._said = words or LeaveWords(
            title=self.tr("Quit while this is under way?"),
            later=self.tr("Quit when it is done"),
            anyway=self.tr("Quit anyway"),
            plainly=self.tr("Quit"),
            free=self.tr("Burrow can quit now. Nothing is lost."),
        )
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = unsaved.text
        self._unsaved = bool(unsaved)
        self._waits = waits
        self._works: tuple[Work, ...] | None = None
        current = theme()
        box = self.box
        self.works = WorkList(self.tr("Under way"))
        self._title = Text("", "section", wrap=True)
        self._words = Text("", tone="muted", wrap=True)
        box.addWidget(self._title)
        box.addWidget(self._words)
        box.addWidget(self.works)
        self.preview = PlainTextEdit(parent=self)
        self.preview.setVisible(False)
        self.copy_button = QuietButton(self.tr("Copy text"), "copy", clicked=self.copy, parent=self)
        self.copy_button.setVisible(False)
        if unsaved:
            self._add_text(box, unsaved)
        box.addStretch(1)
        self.stay_button = PrimaryButton(self.tr("Stay"), clicked=self.reject)
        self.wait_button = QuietButton(self._said.later, clicked=self.wait_wanted.emit)
        self.close_button = QuietButton(self._said.anyway, clicked=self.accept)
        row = QHBoxLayout()
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addStretch(1)
        row.addWidget(self.close_button)
        row.addWidget(self.wait_button)
        row.addWidget(self.stay_button)
        box.addLayout(row)
        self.stay_button.setDefault(True)
        self.stay_button.setFocus()
        self.show_works(works)
        show_focus_ring(self)

    def show_works(self, works: Sequence[Work]) -> None:
        """Show what is under way now. Nothing moves while it stays the same."""
        if tuple(works) == self._works:
            return
        before, self._works = self._works, tuple(works)
        busy = bool(works)
        self.works.show_works(works)
        self.works.setVisible(busy)
        self.wait_button.setVisible(busy and self._waits)
        if busy:
            title = self._said.title
            words = ""
        elif self._unsaved:
            title = self.tr("What you typed is not saved")
            words = self.tr("If you quit now, it is lost.")
        else:
            title = self.tr("Nothing is under way any more")
            words = self._said.free
        self._title.setText(title)
        self._words.setText(words)
        self._words.setVisible(bool(words))
        self.setWindowTitle(title)
        nothing_lost = not busy and not self._unsaved
        self.close_button.setText(self._said.plainly if nothing_lost else self._said.anyway)
        if before and not busy:
            announce(self, title)

    def copy(self) -> None:
        """Put what was typed on the clipboard."""
        QGuiApplication.clipboard().setText(self.text)

    def _add_text(self, box: QVBoxLayout, unsaved: UnsavedText) -> None:
        if unsaved.why:
            why = f"{self.tr('What you typed could not be saved.')} {unsaved.why}"
        else:
            why = self.tr("What you typed is not finished. No draft of it is kept.")
        box.addWidget(Text(why, wrap=True, selectable=True))
        preview = self.preview
        preview.set_text(self.text)
        preview.setReadOnly(True)
        preview.setTabChangesFocus(True)
        preview.setAccessibleName(self.tr("What you typed"))
        preview.setFixedHeight(theme().px(PREVIEW))
        box.addWidget(preview)
        box.addWidget(self.copy_button, 0, Qt.AlignmentFlag.AlignLeft)
        preview.setVisible(bool(self.text))
        self.copy_button.setVisible(bool(self.text))


class WorkList(FittedScroll):
    """What is under way, in groups of a kind, each with what an end means for it."""

    def __init__(self, name: str) -> None:
        content = QWidget()
        self._box = QVBoxLayout(content)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_2))
        least, most = theme().px(WORKS_LEAST), theme().px(WORKS_HEIGHT)
        super().__init__(content, least=least, most=lambda: most)
        self.setAccessibleName(name)
        # Arrow and page keys scroll it where it does not fit.
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def show_works(self, works: Sequence[Work]) -> None:
        """Show these in place of the former ones."""
        clear_layout(self._box)
        groups: dict[WorkKind, list[Work]] = {}
        for work in works:
            groups.setdefault(work.kind, []).append(work)
        for kind, members in groups.items():
            self._box.addWidget(Text(translate("WorkList", HEADINGS[kind]), "strong"))
            for work in members[:SHOWN]:
                self._box.addWidget(_lines_of(work))
            if len(members) > SHOWN:
                more = self.tr("and %n more", "", len(members) - SHOWN)
                self._box.addWidget(Text(more, tone="muted"))
        self._box.addStretch(1)
        self.updateGeometry()


def _lines_of(work: Work) -> QWidget:
    widget = QWidget()
    lines = QVBoxLayout(widget)
    lines.setContentsMargins(0, 0, 0, 0)
    lines.setSpacing(0)
    lines.addWidget(Text(isolated(revealed_name(work.what)), wrap=True, selectable=True))
    if work.consequence:
        lines.addWidget(Text(revealed(work.consequence), tone="muted", wrap=True, selectable=True))
    return widget
