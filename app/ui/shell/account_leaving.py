"""The question before an account is left: what is under way for it, and what that means for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.ui.shell.leaving import WorkQuestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtWidgets import QWidget

    from app.core.busy import Busy, Work
    from app.ui.bridge import Bridge
    from app.ui.shell.leave_dialog import LeaveDialog, LeaveWords
    from app.ui.widgets.feedback import Banner


class AccountLeaving(WorkQuestion):
    """Asks before the user signs out or switches to another account, as `Leaving` does before Burrow ends.

    One question at a time: a later one takes the place of an earlier one. `place` puts the bar that says what is waited
    for into the window.
    """

    def __init__(self, window: QWidget, busy: Busy, bridge: Bridge, *, place: Callable[[QWidget], object]) -> None:
        super().__init__(window, busy, bridge, place)
        self._go: Callable[[], object] = lambda: None
        self._words: LeaveWords | None = None
        # Whether work counts that is kept on disk.
        self._kept = True

    def sign_out(self, go: Callable[[], object]) -> None:
        """Call `go`, which signs out: at once, or when the user agrees to what it means."""
        self._ask(go, sign_out_words, kept=True)

    def switch(self, go: Callable[[], object]) -> None:
        """Call `go`, which uses another account or none: at once, or when the user agrees to what it means.

        What waits on disk waits there until the account is used again, so it is no reason to ask.
        """
        self._ask(go, switch_words, kept=False)

    def stay(self) -> None:
        """Leave nothing after all."""
        self._take_bar()
        self._words = None
        dialog, self.dialog = self.dialog, None
        if dialog is not None:
            dialog.reject()

    def _works(self) -> Sequence[Work]:
        return [work for work in self._busy.of_account() if self._kept or not work.kept]

    def _ask(self, go: Callable[[], object], words: Callable[[], LeaveWords], *, kept: bool) -> None:
        self.stay()
        self._kept = kept
        works = self._works()
        if not works:
            go()
            return
        from app.ui.shell.closing import UnsavedText
        from app.ui.shell.leave_dialog import LeaveDialog

        self._go, self._words = go, words()
        dialog = self.dialog = LeaveDialog(UnsavedText(), works, self._window, words=self._words)
        dialog.accepted.connect(self._leave)
        dialog.wait_wanted.connect(self._wait)
        dialog.finished.connect(lambda _result: self._answered(dialog))
        self._look.start()
        dialog.open()

    def _answered(self, dialog: LeaveDialog) -> None:
        if self.dialog is dialog:
            self.dialog = None
            if not self.waiting:
                self._look.stop()

    def _leave(self) -> None:
        go = self._go
        self.dialog = None
        self.stay()
        go()

    def _go_on(self) -> None:
        self._leave()

    def _show_waiting(self, bar: Banner, count: int) -> None:
        words = self._words
        assert words is not None, "it is set with the question"
        text = words.waiting if count == 1 else words.waiting_for_more.format(count)
        if bar.text() != text:
            bar.show_message(text, "info", secondary=[(words.now, self._leave), (_tr("Stay"), self.stay)])


def sign_out_words() -> LeaveWords:
    """What is said before the user signs out."""
    from app.ui.shell.leave_dialog import LeaveWords

    return LeaveWords(
        title=_tr("Sign out while this is under way?"),
        later=_tr("Sign out when it is done"),
        anyway=_tr("Sign out anyway"),
        plainly=_tr("Sign out"),
        free=_tr("You can sign out now. Nothing is lost."),
        waiting=_tr("Burrow signs out when this is done: 1 thing under way."),
        waiting_for_more=_tr("Burrow signs out when this is done: {0} things under way."),
        now=_tr("Sign out now"),
    )


def switch_words() -> LeaveWords:
    """What is said before another account is used."""
    from app.ui.shell.leave_dialog import LeaveWords

    return LeaveWords(
        title=_tr("Switch account while this is under way?"),
        later=_tr("Switch when it is done"),
        anyway=_tr("Switch anyway"),
        plainly=_tr("Switch"),
        free=_tr("You can switch now. Nothing is lost."),
        waiting=_tr("Burrow switches when this is done: 1 thing under way."),
        waiting_for_more=_tr("Burrow switches when this is done: {0} things under way."),
        now=_tr("Switch now"),
    )


def _tr(text: str) -> str:
    return QCoreApplication.translate("AccountLeaving", text)
