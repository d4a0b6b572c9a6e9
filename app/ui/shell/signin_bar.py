"""The one sign-in bar (ux 6.6): for a renewal that failed, a keyring to be chosen, a browser that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication

from app.ui.widgets.places import Banner

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.core.auth.signin import SignIn
    from app.core.auth.status import SessionStatus
    from app.core.errors import BurrowError

BACK_SHOWN_MS = 3000


class SignInBar(Banner):
    """`sign_in_wanted()`; `store_wanted(kind)` for one of the three choices; `said(text, assertive)` to announce."""

    sign_in_wanted = Signal()
    store_wanted = Signal(str)
    said = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sign_in: SignIn | None = None
        self._status: SessionStatus | None = None
        self._failure: BurrowError | None = None
        self._waiting = self._sent = 0
        self._needed = False
        self._shown = ""
        self._fade = QTimer(self, singleShot=True, interval=BACK_SHOWN_MS)
        self._fade.timeout.connect(self._end_of_back)

    def set_status(self, status: SessionStatus | None) -> None:
        """Follow the session. None: there is no backend."""
        self._status = status
        if status is None:
            self._sign_in, self._failure, self._needed = None, None, False
        self._show()

    def set_waiting_work(self, count: int) -> None:
        """How many changes wait for the sign-in."""
        self._waiting = count
        self._show()

    def add_sent(self) -> None:
        """A change that had waited was sent."""
        self._sent += 1
        if self._fade.isActive():
            self._show_back()

    def show_browser(self, sign_in: SignIn) -> None:
        """A browser is open for this sign-in."""
        self._sign_in, self._failure = sign_in, None
        self._show()

    def leave_browser(self, sign_in: SignIn, status: SessionStatus) -> None:
        """This sign-in is waited for no more, however it ended, unless another took its place."""
        if self._sign_in is sign_in:
            self._sign_in = None
            self.set_status(status)

    def sign_in_ended(self, failure: BurrowError | None = None) -> None:
        """The browser came back, or signing in failed; a cancelled one is no failure."""
        self._sign_in = None
        cancelled = failure is not None and failure.facts.code == "cancelled"
        self._failure = None if cancelled else failure
        self._show()

    def _show(self) -> None:
        status = self._status
        if status is None:
            self._put("", "")
        elif self._sign_in is not None:
            self._show_browser(self._sign_in)
        elif status.trouble is not None and status.trouble.startswith("vault"):
            self._show_vault(status)
        elif status.state.value == "needs_sign_in":
            self._needed, self._sent = True, 0
            self._show_needed(status)
        elif self._failure is not None and status.state.value != "signed_in":
            self._show_needed(status)
        elif self._needed and status.state.value == "signed_in":
            self._needed = False
            self._failure = None
            self._show_back()
        elif not self._fade.isActive():
            self._put("", "")

    def _put(self, key: str, words: str) -> bool:
        """Whether something new is to be shown."""
        if key != "back":
            self._fade.stop()
        if key + words == self._shown:
            return False
        self._shown = key + words
        if not key:
            self.clear()
        return bool(key)

    def _show_needed(self, status: SessionStatus) -> None:
        if self._failure is not None:
            words = self.tr("Signing in did not work. {0} Drafts are kept.").format(self._failure.cause)
        elif self._waiting:
            one = self.tr("1 waiting change")
            kept = one if self._waiting == 1 else self.tr("{0} waiting changes").format(self._waiting)
            words = self.tr("Sign in again to keep going. Your draft and {0} are kept.").format(kept)
        else:
            words = self.tr("Sign in again to keep going. Your drafts are kept.")
        if not self._put("needed", words):
            return
        self.show_message(words, "attention", (self.tr("Sign in"), self.sign_in_wanted.emit), glyph="key")
        self.setToolTip(status.reason or "")
        self.said.emit(words, True)

    def _show_browser(self, sign_in: SignIn) -> None:
        words = self.tr("Waiting for your browser…")
        if self._put("browser", f"{words}{id(sign_in)}"):
            actions = [
                (self.tr("Open again"), lambda: _open_again(sign_in)),
                (self.tr("Copy link"), lambda: QGuiApplication.clipboard().setText(sign_in.url)),
                (self.tr("Cancel"), sign_in.cancel),
            ]
            self.show_message(words, "info", None, actions, glyph="external")
            self.said.emit(words, False)

    def _show_vault(self, status: SessionStatus) -> None:
        try_again = (self.tr("Try again"), lambda: self.store_wanted.emit("keyring"))
        memory = (self.tr("Use for this session only"), lambda: self.store_wanted.emit("memory"))
        private = (self.tr("Keep in a private file"), lambda: self.store_wanted.emit("file"))
        signed_in = status.state.value == "signed_in"
        if status.trouble == "vault-locked":
            words = self.tr("Unlock your keyring to continue.")
            if signed_in:
                words = self.tr("Signed in, but the keyring is locked: this sign-in ends with Burrow.")
        elif status.trouble == "vault-absent":
            words = self.tr("There is no keyring on this computer. Where shall the sign-in be kept?")
        else:
            words = self.tr("The keyring cannot be read. Nothing in it was changed.")
        if self._put("vault", words):
            self.show_message(words, "attention", try_again, (memory, private), glyph="lock")
            self.setToolTip(status.reason or "")
            self.said.emit(words, True)

    def _show_back(self) -> None:
        words = self.tr("Signed in.")
        if self._sent:
            one = self.tr("Sent 1 message.")
            words += " " + (one if self._sent == 1 else self.tr("Sent {0} messages.").format(self._sent))
        if self._put("back", words):
            self.show_message(words, "good")
            self._fade.start()
            self.said.emit(words, False)

    def _end_of_back(self) -> None:
        self._shown = ""
        self._show()
        if not self._shown:
            self.clear()


def _open_again(sign_in: SignIn) -> None:
    sign_in.open_again()
