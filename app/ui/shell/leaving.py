"""The one way to end Burrow: what is typed is saved, and the user is asked if something would be lost or broken off.

A signal of the system (`app/ui/loop.py`) ends it without a question, as other programs end; what is typed is saved then
too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEventLoop, QObject, QTimer

from app.ui.shell.closing import TypedText, UnsavedText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtWidgets import QWidget

    from app.core.busy import Busy, Work
    from app.core.errors import BurrowError
    from app.core.storage.drafts import Drafts
    from app.ui.bridge import Bridge
    from app.ui.shell.leave_dialog import LeaveDialog
    from app.ui.shell.place_stack import PlaceStack
    from app.ui.widgets.feedback import Banner

# A source of work need not tell that it changed.
LOOK_MS = 500


class WorkQuestion(QObject):
    """A question about work that is under way, or the bar of who waits until none is; both follow the work.

    `dialog` and `bar` are None while there is none. `place` puts the bar into the window.
    """

    def __init__(self, window: QWidget, busy: Busy, bridge: Bridge, place: Callable[[QWidget], object]) -> None:
        super().__init__(window)
        self._window, self._busy, self._place = window, busy, place
        self._look = QTimer(self, interval=LOOK_MS)
        self._look.timeout.connect(self._follow)
        self.dialog: LeaveDialog | None = None
        self.bar: Banner | None = None
        bridge.listen(self, busy.changed, self._follow)

    @property
    def waiting(self) -> bool:
        """Whether it goes on by itself as soon as nothing is under way. `bar` says so then."""
        return self.bar is not None

    def _works(self) -> Sequence[Work]:
        """What the question is about."""
        raise NotImplementedError

    def _go_on(self) -> None:
        """Nothing is waited for any more."""
        raise NotImplementedError

    def _show_waiting(self, bar: Banner, count: int) -> None:
        """Say that so many things are waited for."""
        raise NotImplementedError

    def _wait(self) -> None:
        from app.ui.widgets.feedback import Banner

        dialog = self.dialog
        self.bar = Banner()
        self._place(self.bar)
        if dialog is not None:
            dialog.reject()
        self._look.start()
        self._follow()

    def _take_bar(self) -> None:
        self._look.stop()
        if self.bar is not None:
            self.bar.setVisible(False)
            self.bar.deleteLater()
            self.bar = None

    def _follow(self, _nothing: None = None) -> None:
        """Show what is under way now; go on if that is what was waited for."""
        if self.dialog is None and self.bar is None:
            return
        works = self._works()
        if self.dialog is not None:
            self.dialog.show_works(works)
        elif not works:
            self._go_on()
        elif self.bar is not None:
            self._show_waiting(self.bar, len(works))


class Leaving(WorkQuestion):
    """Says whether the window may close, asks, and closes it.

    `again` has the arguments of the next start, None where Burrow is not to start again.

    Two functions may be replaced. `hides` is asked when the window is closed by its title bar: it returns True where it
    has hidden the window instead. `show_window` brings the window into view before a question.
    """

    def __init__(
        self,
        window: QWidget,
        stack: PlaceStack,
        drafts: Drafts,
        busy: Busy,
        bridge: Bridge,
        *,
        place: Callable[[QWidget], object],
    ) -> None:
        """`place` puts the bar that says what is waited for into the window."""
        super().__init__(window, busy, bridge, place)
        self._bridge = bridge
        self._typed = TypedText(stack, drafts)
        self._allowed = False
        self.hides: Callable[[], bool] = lambda: False
        self.show_window: Callable[[], object] = lambda: _raise(window)
        self.again: tuple[str, ...] | None = None

    def closes(self) -> bool:
        """The window is asked to close: whether it may, now."""
        if not self._allowed:
            if self.hides():
                return False
            self._allowed = not (self._typed.unsaved or self._busy.interrupted()) and self.dialog is None
            if not self._allowed:
                self.leave()
        return self._allowed

    def leave(self, *, asks: bool = True, again: Sequence[str] | None = None) -> None:
        """End Burrow. Where something would be lost, the user is asked first; with `asks` also where work is under way.

        What is typed is saved before that, so the window may close later. With `again` Burrow is started again after
        the end, with these arguments besides its own.
        """
        self.again = None if again is None else tuple(again)
        if self.dialog is not None:
            _raise(self.dialog)
        elif not (self._typed.unsaved or (asks and self._busy.interrupted())):
            self._end()
        else:
            try:
                begun = not self._bridge.spawn(
                    self,
                    self._typed.save(),
                    done=lambda unsaved: self._saved(unsaved, asks),
                    failed=self._not_saved,
                    key="leaving",
                ).cancelled
            except RuntimeError:
                begun = False
            if not begun:
                # The loop ends or has ended: nothing can be saved or waited for any more.
                self._end()

    async def save(self) -> None:
        """Store what is typed, as far as that is possible now."""
        await self._typed.save()

    def agrees_to_end(self) -> bool:
        """The system ends the session and waits: ask, in a Qt loop of its own, whether it may break work off."""
        from app.ui.shell.leave_dialog import LeaveDialog

        self.show_window()
        dialog = LeaveDialog(UnsavedText(), self._busy.interrupted(), self._window, waits=False)
        waiting, look = QEventLoop(), QTimer(dialog, interval=LOOK_MS)
        look.timeout.connect(lambda: dialog.show_works(self._busy.interrupted()))
        look.start()
        answers: list[int] = []
        dialog.finished.connect(answers.append)
        dialog.finished.connect(waiting.quit)
        dialog.open()
        waiting.exec()
        return answers == [LeaveDialog.DialogCode.Accepted]

    def stay(self) -> None:
        """Do not quit when the work is done after all."""
        self.again = None
        self._take_bar()

    def _saved(self, unsaved: UnsavedText, asks: bool) -> None:
        if unsaved or (asks and self._busy.interrupted()):
            self._ask(unsaved)
        else:
            self._end()

    def _not_saved(self, error: BurrowError) -> None:
        self._ask(UnsavedText((), error.cause))

    def _ask(self, unsaved: UnsavedText) -> None:
        from app.ui.shell.leave_dialog import LeaveDialog

        if self.dialog is not None:
            return
        self._take_bar()
        self.show_window()
        dialog = self.dialog = LeaveDialog(unsaved, self._busy.interrupted(), self._window)
        dialog.accepted.connect(self._end)
        dialog.rejected.connect(self._stayed)
        dialog.wait_wanted.connect(self._wait)
        dialog.finished.connect(self._answered)
        self._look.start()
        dialog.open()

    def _answered(self, _result: int) -> None:
        self.dialog = None
        if not self.waiting:
            self._look.stop()

    def _stayed(self) -> None:
        if not self.waiting:
            self.again = None

    def _works(self) -> Sequence[Work]:
        return self._busy.interrupted()

    def _go_on(self) -> None:
        self._take_bar()
        self.leave(again=self.again)

    def _show_waiting(self, bar: Banner, count: int) -> None:
        once = self.tr("Burrow quits when this is done: 1 thing under way.")
        words = once if count == 1 else self.tr("Burrow quits when this is done: %n things under way.", "", count)
        if bar.text() != words:
            bar.show_message(
                words, "info", secondary=[(self.tr("Quit now"), self._quit_now), (self.tr("Stay"), self.stay)]
            )

    def _quit_now(self) -> None:
        self.leave(asks=False, again=self.again)

    def _end(self) -> None:
        self._allowed = True
        self._take_bar()
        self._window.close()


def _raise(widget: QWidget) -> None:
    widget.raise_()
    widget.activateWindow()
