"""A row of the sign-in bar: one sign-in that needs the user, waits for the browser, or works again."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPushButton

from app.core.auth.status import CANCELLED, CredentialState
from app.ui.shell import signin_words
from app.ui.shell.signin_words import Waiting
from app.ui.shell.vault_words import VaultPhase, other_stores, phase_of, vault_words
from app.ui.widgets.feedback import Banner
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.core.errors import BurrowError
    from app.core.sign_ins import PendingSignIn, SignIn


class RowPhase(Enum):
    """What a row shows. `BACK` is shown for a few seconds after a sign-in that was needed."""

    NOTHING = "nothing"
    BROWSER = "browser"
    VAULT = "vault"
    NEEDED = "needed"
    FAILED = "failed"
    BACK = "back"


class SignInRow(Banner):
    """The bar calls `follow` for all rows, then `show_phase`: the number of rows decides whether each is named.

    `sign_in_wanted(key)`, `details_wanted(key)` and `store_wanted(key, kind)` name the sign-in by `SignIn.key`.
    `faded()` when the time of `BACK` is over. `speaking(assertive)` when the sentence is to be announced.
    """

    sign_in_wanted = Signal(str)
    details_wanted = Signal(str)
    store_wanted = Signal(str, str)
    faded = Signal()
    speaking = Signal(bool)

    def __init__(self, sign_in: SignIn, back_shown_ms: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sign_in = sign_in
        self.phase = RowPhase.NOTHING
        self.waiting = Waiting()
        self._pending: PendingSignIn | None = None
        self._failure: BurrowError | None = None
        # Whether this sign-in was needed since it last worked.
        self._needed = False
        self._sent = self._repeated = 0
        self._shown: tuple[object, ...] = ()
        self._spoken = ""
        self._fade = QTimer(self, singleShot=True, interval=back_shown_ms)
        self._fade.timeout.connect(self.faded)

    @property
    def calls_left(self) -> int:
        """How many of the calls that waited were not repeated yet."""
        return self.waiting.calls - self._repeated

    def can_show(self, sign_in: SignIn) -> bool:
        """Whether this row may go on with `sign_in`.

        An account that was opened anew gets another row: this one may wait for the browser of the former credential.
        """
        return sign_in.server_id is not None or self.sign_in.credential is sign_in.credential

    def add_sent(self) -> None:
        """Count a change that had waited and was sent."""
        self._sent += 1

    def add_repeated(self) -> None:
        """Count a call that had waited and was answered."""
        self._repeated += 1

    def wait_for(self, pending: PendingSignIn) -> None:
        """The browser is open for this sign-in."""
        self._pending, self._failure = pending, None

    def leave(self, pending: PendingSignIn) -> None:
        """Stop waiting for this sign-in, however it ended, unless another one has replaced it."""
        if self._pending is pending:
            self._pending = None

    def end(self, failure: BurrowError | None) -> None:
        """The sign-in succeeded or failed. One that the user cancelled is not a failure."""
        cancelled = failure is not None and failure.facts.code == CANCELLED
        self._pending, self._failure = None, None if cancelled else failure

    def follow(self) -> None:
        """Choose what to show from how the credential stands now."""
        self.phase = self._next_phase()
        if self.phase is not RowPhase.BACK:
            self._fade.stop()

    def _next_phase(self) -> RowPhase:
        """The first that applies. While the browser is open, what the credential says meanwhile does not matter."""
        status = self.sign_in.status
        if self._pending is not None:
            return RowPhase.BROWSER
        if status.vault_failing:
            return RowPhase.VAULT
        if status.state is CredentialState.SIGNED_IN:
            self._failure = None
            # Only after a sign-in that was needed: a status changes with every renewal.
            if self._needed:
                self._needed = False
                self._fade.start()
            return RowPhase.BACK if self._fade.isActive() else RowPhase.NOTHING
        if self.sign_in.needs_user:
            self._needed, self._sent, self._repeated = True, 0, 0
        # Signed out, or not known yet: a failed attempt is all there is to say.
        elif self._failure is None:
            return RowPhase.NOTHING
        return RowPhase.NEEDED if self._failure is None else RowPhase.FAILED

    def show_phase(self, *, named: bool) -> None:
        """Show it; `named` says whether another sign-in is in the bar too. The user's own servers are always named."""
        title = self.sign_in.title if named or self.sign_in.server_id is not None else ""
        {
            RowPhase.NOTHING: self._show_nothing,
            RowPhase.BROWSER: self._show_browser,
            RowPhase.VAULT: self._show_vault,
            RowPhase.NEEDED: self._show_needed,
            RowPhase.FAILED: self._show_needed,
            RowPhase.BACK: self._show_back,
        }[self.phase](title)
        for button in self.buttons():
            button.setAccessibleName(signin_words.about(title, button.text()))

    def buttons(self) -> list[QPushButton]:
        """The buttons from left to right."""
        found = (item.widget() for place in range(self._buttons.count()) if (item := self._buttons.itemAt(place)))
        return [button for button in found if isinstance(button, QPushButton)]

    def _show_nothing(self, _title: str) -> None:
        self._shown, self._spoken = (), ""
        self.clear()

    def _show_needed(self, title: str) -> None:
        drafts = self.sign_in.server_id is None
        if self._failure is not None:
            words = signin_words.failed(title, self._failure.cause, drafts=drafts)
        else:
            again = self.sign_in.status.state is CredentialState.NEEDS_SIGN_IN
            words = signin_words.needed(title, self.waiting, drafts=drafts) if again else signin_words.asked_for(title)
        if self._differs(words, self.sign_in.credential is None):
            sign_in = (self.tr("Sign in"), lambda: self.sign_in_wanted.emit(self.sign_in.key))
            details = (self.tr("Details"), lambda: self.details_wanted.emit(self.sign_in.key))
            others = [details] if self.sign_in.credential is not None else []
            self.show_message(words, "attention", sign_in, others, glyph="key")
            self.setToolTip(plain_tip(self.sign_in.status.reason or ""))
        self._speak(self.phase.value, assertive=True)

    def _show_browser(self, title: str) -> None:
        words, pending = signin_words.in_browser(title), self._pending
        assert pending is not None
        if self._differs(words, pending):
            actions = [
                (self.tr("Open again"), lambda: pending.open_again()),
                (self.tr("Copy link"), lambda: QGuiApplication.clipboard().setText(pending.url)),
                (self.tr("Cancel"), lambda: pending.cancel()),
            ]
            self.show_message(words, "info", None, actions, glyph="external")
            self.setToolTip("")
        self._speak(f"browser {id(pending)}")

    def _show_vault(self, title: str) -> None:
        status, credential = self.sign_in.status, self.sign_in.credential
        grant = None if credential is None else credential.grant
        generation = 0 if grant is None else grant.tokens.generation
        words = signin_words.about(title, vault_words(status, generation))
        if self._differs(words):
            wanted = partial(self._want_store, status.store)
            others = [(name, partial(self._want_store, store)) for store, name in other_stores(status)]
            self.show_message(words, "attention", (self.tr("Try again"), wanted), others, glyph="lock")
            self.setToolTip(plain_tip(status.reason or ""))
        self._speak(words, assertive=phase_of(status, generation) is not VaultPhase.RENEWED)

    def _show_back(self, title: str) -> None:
        words = signin_words.back(title, self._sent, self._repeated)
        if self._differs(words):
            self.show_message(words, "good")
            self.setToolTip("")
            # What has gone out since is read for as long as the first words were.
            self._fade.start()
        self._speak(words)

    def _want_store(self, kind: str) -> None:
        self.store_wanted.emit(self.sign_in.key, kind)

    def _differs(self, *shown: object) -> bool:
        """Remember what is shown. Returns whether it differs from what was shown before."""
        before, self._shown = self._shown, (self.phase, *shown)
        return before != self._shown

    def _speak(self, key: str, *, assertive: bool = False) -> None:
        """Announce the sentence once for each `key`: a count that changes later is not announced again."""
        if key != self._spoken:
            self._spoken = key
            self.speaking.emit(assertive)
