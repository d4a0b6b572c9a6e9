"""The sign-in bar: every sign-in that needs the user, each once. There is only this one bar."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app.ui.shell.signin_row import RowPhase, SignInRow
from app.ui.shell.signin_words import Waiting
from app.ui.theme import theme
from app.ui.widgets.fitted_scroll import FittedScroll

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.errors import BurrowError
    from app.core.sign_ins import PendingSignIn, SignIn

BACK_SHOWN_MS = 3000
# Several sign-ins may end at once, and the counts of a sentence arrive one after the other: all is announced once.
SAY_AFTER_MS = 300
# More rows than these scroll, in at most this height and this share of the window: the places keep room.
ROWS_IN_FULL = 4
HIGHEST = 240
LARGEST_SHARE = 0.45


class SignInBar(QFrame):
    """A row for each sign-in that needs the user, that waits for the browser, or that has just begun to work again.

    `sign_in_wanted(key)`, `details_wanted(key)` and `store_wanted(key, kind)` name a sign-in by `SignIn.key`.
    `said(text, assertive)` is to be announced.
    """

    sign_in_wanted = Signal(str)
    details_wanted = Signal(str)
    store_wanted = Signal(str, str)
    said = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self.setAccessibleName(self.tr("Sign-ins"))
        self._rows: dict[str, SignInRow] = {}
        self._waiting: dict[str, Waiting] = {}
        self._to_say: dict[SignInRow, bool] = {}
        self._say_soon = QTimer(self, singleShot=True, interval=SAY_AFTER_MS)
        self._say_soon.timeout.connect(self._say)
        self._box: QVBoxLayout | None = None

    @property
    def rows(self) -> list[SignInRow]:
        """The rows that show something, from top to bottom."""
        return [row for row in self._rows.values() if row.phase is not RowPhase.NOTHING]

    def text(self) -> str:
        """The sentences shown."""
        return " ".join(row.text() for row in self.rows)

    def show_sign_ins(self, sign_ins: Iterable[SignIn]) -> None:
        """Show how these sign-ins stand now, in this order; others are no longer in use."""
        former, self._rows = self._rows, {}
        for sign_in in sign_ins:
            name = identity(sign_in)
            row = former.get(name)
            # The same row, so that its buttons keep the focus and its browser stays waited for.
            if row is not None and row.can_show(sign_in):
                self._rows[name] = former.pop(name)
                row.sign_in = sign_in
            elif sign_in.needs_user:
                self._rows[name] = self._new_row(sign_in)
        for row in former.values():
            self._remove(row)
        self._show()

    def set_waiting_work(self, key: str, changes: int, calls: int = 0) -> None:
        """Set how many changes and tool calls wait for a sign-in."""
        self._waiting[key] = Waiting(changes, calls)
        self._show()

    def add_sent(self) -> None:
        """Count a change that had waited for the account's sign-in and was sent."""
        for row in self.rows:
            if row.phase is RowPhase.BACK and row.sign_in.server_id is None:
                row.add_sent()
        self._show()

    def add_repeated(self) -> None:
        """Count a call that had waited and was answered, for a sign-in whose calls are not all repeated yet."""
        # A place does not say whose call it was: it is counted where most are left.
        back = [row for row in self.rows if row.phase is RowPhase.BACK]
        if back:
            max(back, key=lambda row: row.calls_left).add_repeated()
            self._show()

    def show_browser(self, sign_in: SignIn, pending: PendingSignIn) -> None:
        """Say that the browser is open for this sign-in."""
        row = self._rows.get(identity(sign_in))
        if row is None:
            row = self._rows[identity(sign_in)] = self._new_row(sign_in)
        row.wait_for(pending)
        self._show()

    def leave_browser(self, sign_in: SignIn, pending: PendingSignIn) -> None:
        """Stop waiting for this sign-in, however it ended, unless another one has replaced it."""
        row = self._rows.get(identity(sign_in))
        if row is not None:
            row.leave(pending)
            self._show()

    def sign_in_ended(self, sign_in: SignIn, failure: BurrowError | None = None) -> None:
        """The sign-in succeeded or failed. One that the user cancelled is not a failure."""
        row = self._rows.get(identity(sign_in))
        if row is None and failure is not None:
            row = self._rows[identity(sign_in)] = self._new_row(sign_in)
        if row is not None:
            row.end(failure)
            self._show()

    def _column(self) -> QVBoxLayout:
        """The column of rows, made for the first one; many rows scroll."""
        if self._box is None:
            column = QWidget()
            self._box = QVBoxLayout(column)
            area = QVBoxLayout(self)
            area.addWidget(FittedScroll(column, most=self._highest))
            for box in (self._box, area):
                box.setContentsMargins(0, 0, 0, 0)
                box.setSpacing(0)
        return self._box

    def _highest(self) -> int:
        if len(self.rows) <= ROWS_IN_FULL:
            return self.window().height()
        return min(theme().px(HIGHEST), round(self.window().height() * LARGEST_SHARE))

    def _new_row(self, sign_in: SignIn) -> SignInRow:
        row = SignInRow(sign_in, BACK_SHOWN_MS)
        row.sign_in_wanted.connect(self.sign_in_wanted)
        row.details_wanted.connect(self.details_wanted)
        row.store_wanted.connect(self.store_wanted)
        row.faded.connect(self._show)
        row.speaking.connect(lambda assertive: self._say_later(row, assertive))
        return row

    def _remove(self, row: SignInRow) -> None:
        self._to_say.pop(row, None)
        self._column().removeWidget(row)
        row.hide()
        row.deleteLater()

    def _show(self) -> None:
        for row in self._rows.values():
            row.waiting = self._waiting.get(row.sign_in.key, row.waiting)
            row.follow()
        shown = self.rows
        for place, row in enumerate(self._rows.values()):
            if self._column().indexOf(row) != place:
                self._column().insertWidget(place, row)
            row.show_phase(named=len(shown) > 1)
            if row.phase is RowPhase.NOTHING:
                self._to_say.pop(row, None)
        self._order_buttons()
        self.setVisible(bool(shown))

    def _order_buttons(self) -> None:
        """Have Tab go from row to row: a button that was just made comes last otherwise."""
        buttons = [button for row in self.rows for button in row.buttons()]
        for button, following in pairwise(buttons):
            QWidget.setTabOrder(button, following)

    def _say_later(self, row: SignInRow, assertive: bool) -> None:
        self._to_say[row] = assertive
        self._say_soon.start()

    def _say(self) -> None:
        told, self._to_say = self._to_say, {}
        words = " ".join(row.text() for row in self.rows if row in told)
        if words:
            self.said.emit(words, any(told.values()))


def identity(sign_in: SignIn) -> str:
    """What tells sign-ins apart for the user. A server keeps it when a new sign-in changes its credential."""
    return sign_in.server_id or sign_in.key
