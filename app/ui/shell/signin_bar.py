"""The sign-in bar: a renewal that failed, a vault that fails, a browser that is open. There is only this one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication

from app.core.auth.status import CredentialState
from app.ui.shell.vault_words import VaultPhase, other_stores, phase_of, vault_words
from app.ui.widgets.feedback import Banner

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.core.auth.oauth.sign_in import BrowserSignIn
    from app.core.auth.status import CredentialStatus
    from app.core.errors import BurrowError

BACK_SHOWN_MS = 3000
# The counts of a sentence arrive one after the other: it is announced once, with the last of them.
SAY_AFTER_MS = 300


class SignInBar(Banner):
    """Emits `sign_in_wanted()`, `details_wanted()`, and `store_wanted(kind)` when the person chooses a store.

    `said(text, assertive)` is to be announced.
    """

    sign_in_wanted = Signal()
    details_wanted = Signal()
    store_wanted = Signal(str)
    said = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sign_in: BrowserSignIn | None = None
        self._status: CredentialStatus | None = None
        self._failure: BurrowError | None = None
        self._generation = 0
        self._waiting = self._calls = 0
        self._sent = self._repeated = 0
        self._needed = False
        self._shown = ""
        self._fade = QTimer(self, singleShot=True, interval=BACK_SHOWN_MS)
        self._fade.timeout.connect(self._end_of_back)
        self._said = ""
        self._assertive = False
        self._say_soon = QTimer(self, singleShot=True, interval=SAY_AFTER_MS)
        self._say_soon.timeout.connect(lambda: self.said.emit(self.text(), self._assertive))

    def set_status(self, status: CredentialStatus | None, generation: int = 0) -> None:
        """Show a credential's status; `generation` is that of its token. None: there is no backend."""
        self._status, self._generation = status, generation
        if status is None:
            self._sign_in, self._failure, self._needed = None, None, False
        self._show()

    def set_waiting_work(self, changes: int, calls: int = 0) -> None:
        """Set how many changes and tool calls wait for the sign-in."""
        self._waiting, self._calls = changes, calls
        self._show()

    def add_sent(self) -> None:
        """Count a change that had waited and was sent."""
        self._sent += 1
        self._show_more()

    def add_repeated(self) -> None:
        """Count a call that had waited and was answered."""
        self._repeated += 1
        self._show_more()

    def show_browser(self, sign_in: BrowserSignIn) -> None:
        """Say that the browser is open for this sign-in."""
        self._sign_in, self._failure = sign_in, None
        self._show()

    def leave_browser(self, sign_in: BrowserSignIn, status: CredentialStatus) -> None:
        """Stop waiting for this sign-in, however it ended, unless another one has replaced it."""
        if self._sign_in is sign_in:
            self._sign_in = None
            self.set_status(status)

    def sign_in_ended(self, failure: BurrowError | None = None) -> None:
        """The sign-in succeeded or failed. One that the person cancelled is not a failure."""
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
        elif status.vault_failing:
            self._show_vault(status)
        elif status.state is CredentialState.NEEDS_SIGN_IN:
            self._needed, self._sent, self._repeated = True, 0, 0
            self._show_needed(status)
        elif self._failure is not None and status.state is not CredentialState.SIGNED_IN:
            self._show_needed(status)
        elif self._needed and status.state is CredentialState.SIGNED_IN:
            self._needed = False
            self._failure = None
            self._show_back()
        elif not self._fade.isActive():
            self._put("", "")

    def _put(self, key: str, words: str) -> bool:
        """Remember what is shown; returns whether it changed."""
        if key != "back":
            self._fade.stop()
        if key + words == self._shown:
            return False
        self._shown = key + words
        if not key:
            self._said = ""
            self._say_soon.stop()
            self.clear()
        return bool(key)

    def _say(self, key: str, *, assertive: bool = False) -> None:
        """Announce what is shown, once for each `key`: a count that changes later is not announced again."""
        if key != self._said:
            self._said, self._assertive = key, assertive
            self._say_soon.start()

    def _show_needed(self, status: CredentialStatus) -> None:
        if self._failure is not None:
            words = self.tr("Signing in did not work. {0} Drafts are kept.").format(self._failure.cause)
        else:
            words = self._kept()
        key = "failed" if self._failure is not None else "needed"
        if not self._put(key, words):
            return
        sign_in = (self.tr("Sign in"), self.sign_in_wanted.emit)
        self.show_message(words, "attention", sign_in, [(self.tr("Details"), self.details_wanted.emit)], glyph="key")
        self.setToolTip(status.reason or "")
        self._say(key, assertive=True)

    def _show_browser(self, sign_in: BrowserSignIn) -> None:
        words = self.tr("Waiting for your browser…")
        if self._put("browser", f"{words}{id(sign_in)}"):
            actions = [
                (self.tr("Open again"), lambda: _open_again(sign_in)),
                (self.tr("Copy link"), lambda: QGuiApplication.clipboard().setText(sign_in.url)),
                (self.tr("Cancel"), sign_in.cancel),
            ]
            self.show_message(words, "info", None, actions, glyph="external")
            self._say(f"browser{id(sign_in)}")

    def _kept(self) -> str:
        """The sentence that says what is kept, with counts of what waits."""
        changes, calls = self._waiting, self._calls
        one_change, one_call = self.tr("1 waiting change"), self.tr("1 waiting call")
        parts = [
            one_change if changes == 1 else self.tr("{0} waiting changes").format(changes),
            one_call if calls == 1 else self.tr("{0} waiting calls").format(calls),
        ]
        words = {
            (False, False): self.tr("Sign in again to keep going. Your drafts are kept."),
            (True, False): self.tr("Sign in again to keep going. Your draft and {0} are kept."),
            (False, True): self.tr("Sign in again to keep going. Your draft and {1} are kept."),
            (True, True): self.tr("Sign in again to keep going. Your draft, {0} and {1} are kept."),
        }
        return words[bool(changes), bool(calls)].format(*parts)

    def _show_vault(self, status: CredentialStatus) -> None:
        words = vault_words(status, self._generation)
        if not self._put("vault", words):
            return
        again = (self.tr("Try again"), lambda: self.store_wanted.emit(status.store))
        others = [(name, partial(self.store_wanted.emit, store)) for store, name in other_stores(status)]
        self.show_message(words, "attention", again, others, glyph="lock")
        self.setToolTip(status.reason or "")
        self._say(words, assertive=phase_of(status, self._generation) is not VaultPhase.RENEWED)

    def _show_more(self) -> None:
        if self._fade.isActive():
            self._show_back()

    def _show_back(self) -> None:
        parts = [self.tr("Signed in.")]
        if self._sent:
            one = self.tr("Sent 1 message.")
            parts.append(one if self._sent == 1 else self.tr("Sent {0} messages.").format(self._sent))
        if self._repeated:
            one = self.tr("Repeated 1 call.")
            parts.append(one if self._repeated == 1 else self.tr("Repeated {0} calls.").format(self._repeated))
        words = " ".join(parts)
        if self._put("back", words):
            self.show_message(words, "good")
            self._fade.start()
            self._say(words)

    def _end_of_back(self) -> None:
        self._shown = ""
        self._show()
        if not self._shown:
            self.clear()


def _open_again(sign_in: BrowserSignIn) -> None:
    sign_in.open_again()
