"""The first page: one sentence, the ways to start, and what is shown while the browser is open.

It is also the page on which one more account of a host is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from app.core.errors import Rejected
from app.core.hosts import parse_host
from app.ui.signin.wording import words_of
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import Segmented
from app.ui.widgets.feedback import InlineCard, ProgressLine, clear_layout
from app.ui.widgets.fields import FieldError
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.row_button import RowButton
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QKeyEvent, QShowEvent

    from app.core.auth.oauth.sign_in import BrowserSignIn
    from app.core.auth.vault.base import StoreKind
    from app.core.errors import BurrowError
    from app.core.hosts import Host
    from app.core.known_accounts import KnownAccount

OWN = "own"


class FirstRun(QScrollArea):
    """Shows either the choices or what is in progress.

    `on_workspace()`: the user wants the embedded workspace. `on_host(text)`: sign in to `us`, `eu` or an origin that
    `parse_host` has checked. `on_key(text, key)`: the same with a personal API key. `on_leave()`: go back.
    `on_account(account)`: go on as an account that is signed in to. `on_servers_only()`: go on without an account.
    Whoever made the page then calls `busy`, `waiting`, `failed` or `idle`.
    """

    def __init__(
        self,
        on_workspace: Callable[[], None],
        on_host: Callable[[str], None],
        on_key: Callable[[str, str], None],
        on_leave: Callable[[], None] | None = None,
        on_account: Callable[[KnownAccount], None] | None = None,
        on_servers_only: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(self.tr("Welcome to Burrow"))
        self._on_host, self._on_key, self._on_account = on_host, on_key, on_account
        self._sign_in: BrowserSignIn | None = None
        self._adding: Host | None = None
        self._accounts: tuple[KnownAccount, ...] = ()
        # The last attempt, unless it needs a key: a key is not kept.
        self._again: Callable[[], None] | None = None
        self.account_buttons: list[RowButton] = []
        self.try_button = PrimaryButton(self.tr("Try it here"), "home", clicked=lambda: self._attempt(on_workspace))
        self.try_button.setAccessibleDescription(self.tr("A workspace on this computer, without an account"))
        self.back_button = QuietButton("", "back", kind="flat", clicked=on_leave)
        self.back_button.setVisible(False)
        current = theme()
        inner = self._inner = QWidget()
        theme().changed.connect(self._fit)
        self._fit()
        column = QVBoxLayout(inner)
        column.setContentsMargins(*([current.px(tokens.SPACE_5)] * 4))
        column.setSpacing(current.px(tokens.SPACE_4))
        column.addStretch(2)
        column.addWidget(self.back_button)
        self._title = Text("", "title", wrap=True)
        self._sentence = Text("", "lead", "muted", wrap=True)
        column.addWidget(self._title)
        column.addWidget(self._sentence)
        self._waiting = self._build_waiting()
        self._card = InlineCard()
        column.addWidget(self._card)
        column.addWidget(self._waiting)
        self._choices = QWidget()
        choices = QVBoxLayout(self._choices)
        choices.setContentsMargins(0, 0, 0, 0)
        choices.setSpacing(current.px(tokens.SPACE_4))
        self._accounts_card = self._build_accounts()
        self._try_card = self._build_try()
        choices.addWidget(self._accounts_card)
        choices.addWidget(self._try_card)
        choices.addWidget(self._build_sign_in())
        words = self.tr("Use MCP servers without an account")
        self.servers_button = QuietButton(words, "servers", clicked=on_servers_only)
        self.servers_button.setAccessibleDescription(self.tr("Add servers of your own and try their tools"))
        choices.addWidget(self.servers_button, alignment=Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._choices)
        column.addStretch(3)
        whole = QWidget()
        row = QHBoxLayout(whole)
        row.setContentsMargins(0, 0, 0, 0)
        row.addStretch(1)
        row.addWidget(inner, 20)
        row.addStretch(1)
        self.setWidget(whole)
        self._pick_host("us")
        self._show_purpose()
        self.set_can_leave(False)

    def _fit(self) -> None:
        self._inner.setMaximumWidth(theme().px(tokens.READING_WIDTH))

    def set_can_leave(self, can_leave: bool, account: str = "") -> None:
        """Say whether there is something to go back to: the places, or an account."""
        self.back_button.setText(self.tr("Back to {0}").format(account) if account else self.tr("Back"))
        self.back_button.setVisible(can_leave)

    def offer_hosts(self) -> None:
        """Offer every way to start."""
        if self._adding is not None:
            self._adding = None
            self._show_purpose()

    def add_account_at(self, host: Host, before: str) -> None:
        """Offer to sign in to one more account of a host. `before` is the account to go back to."""
        self.set_can_leave(True, before)
        self.offer_accounts(())
        if self._adding != host:
            self._adding = host
            self._show_purpose()

    def offer_accounts(self, accounts: Sequence[KnownAccount]) -> None:
        """Offer to go on as one of these accounts."""
        if self._accounts == tuple(accounts):
            return
        from app.core.known_accounts import distinct_places

        self._accounts = tuple(accounts)
        clear_layout(self._account_box)
        places = distinct_places(self._accounts)
        self.account_buttons = [self._account_button(account, places[account.key]) for account in self._accounts]
        for button in self.account_buttons:
            self._account_box.addWidget(button)
        self._accounts_card.setVisible(bool(accounts))

    def say_where_kept(self, usual: StoreKind | None) -> None:
        """Say where the sign-in will be kept, if that is not the usual place; None where it is not known yet."""
        words = {
            "file": self.tr("Kept in a private file, like your other sign-ins."),
            "memory": self.tr("Forgotten when you quit, like your other sign-ins."),
        }
        self._kept.setText(words.get(usual.value, "") if usual is not None else "")
        self._kept.setVisible(bool(self._kept.text()))

    def focus_first(self) -> None:
        """Put the focus on the button that is used first: an account, else the main way to start."""
        usual = self.try_button if self._adding is None else self.sign_in_button
        target = self.account_buttons[0] if self.account_buttons else usual
        # A button that was just added is shown in a later turn of the loop, and takes no focus before that.
        target.setVisible(True)
        target.setFocus(Qt.FocusReason.OtherFocusReason)

    def idle(self) -> None:
        """Show the choices."""
        self._sign_in = None
        self._progress.stop()
        self._waiting.setVisible(False)
        self._card.clear()
        self._choices.setVisible(True)

    def busy(self, words: str) -> None:
        """Show that something is in progress that needs nothing from the user."""
        self._sign_in = None
        self._under_way(words, "")

    def waiting(self, sign_in: BrowserSignIn) -> None:
        """Show that the browser is open."""
        self._sign_in = sign_in
        hint = self.tr("Approve the sign-in there. This page continues by itself.")
        if self._adding is not None:
            hint += " " + self.tr("To add another person, copy the link into a private browser window.")
        self._under_way(self.tr("Waiting for your browser…"), hint)

    def failed(self, error: BurrowError) -> None:
        """Show the choices with the error, at its field when it names one. Cancelling is not an error."""
        self.idle()
        if error.facts.code == "cancelled":
            return
        if isinstance(error, Rejected) and error.facts.attr == "host" and self._address.isVisibleTo(self):
            self._address_error.say(error.cause)
            self._address.setFocus()
        elif isinstance(error, Rejected) and error.facts.attr == "key":
            self._show_key(True)
            self._key_error.say(error.cause)
            self._key.setFocus()
        else:
            words = words_of(error)
            again = [(self.tr("Try again"), self._again)] if self._again is not None and error.retryable else []
            self._card.show_note(words.title, error.cause, words.advice, again, tone="bad")

    def shown_error(self) -> str:
        """The text of the error that is shown, for tests."""
        for label in (self._address_error, self._key_error):
            if label.isVisibleTo(self):
                return label.text()
        return self._card.text() if self._card.isVisibleTo(self) else ""

    def _show_purpose(self) -> None:
        """What the page is for: to start, or to add an account to a host."""
        host = self._adding
        if host is None:
            self._title.setText(self.tr("Burrow"))
            self._sentence.setText(self.tr("Give tasks to agents, watch them work, and try the tools they may use."))
            self._sign_in_title.setText(self.tr("Sign in to PostHog"))
            self.setAccessibleName(self.tr("Welcome to Burrow"))
        else:
            self._title.setText(self.tr("Add an account"))
            self._sentence.setText(self.tr("The others stay signed in. Switch between them in the account menu."))
            self._sign_in_title.setText(self.tr("Sign in to {0}").format(host.name))
            self.setAccessibleName(self.tr("Add an account: {0}").format(host.name))
        self._try_card.setVisible(host is None)
        self.servers_button.setVisible(host is None)
        self._host.setVisible(host is None)
        self._address.setVisible(host is None and self._host.value() == OWN)
        self._address_error.say("")
        self._browser_hint.setVisible(host is not None)

    def _build_accounts(self) -> QWidget:
        card, box = _card()
        box.addWidget(Text(self.tr("Continue as"), "section"))
        self._account_box = QVBoxLayout()
        self._account_box.setSpacing(theme().px(tokens.SPACE_1))
        box.addLayout(self._account_box)
        card.setVisible(False)
        return card

    def _account_button(self, account: KnownAccount, place: str) -> RowButton:
        def go_on() -> None:
            use = self._on_account
            if use is not None:
                self._attempt(lambda: use(account))

        button = RowButton("user", "chevron-right", kind="quiet", keeps_tail=True, clicked=go_on)
        name = f"{account.name} ({place})"
        button.set_words(account.name, self.tr("Continue as {0}").format(name), place, name)
        return button

    def _build_try(self) -> QWidget:
        card, box = _card()
        box.addWidget(Text(self.tr("Try it here"), "section"))
        words = self.tr(
            "A small workspace on this computer: real tasks, real tools, no account. Nothing leaves this computer."
        )
        box.addWidget(Text(words, tone="muted", wrap=True))
        box.addWidget(self.try_button)
        return card

    def _build_sign_in(self) -> QWidget:
        card, box = _card()
        self._sign_in_title = Text("", "section", wrap=True)
        box.addWidget(self._sign_in_title)
        options = [("us", self.tr("US cloud"), "", "accent"), ("eu", self.tr("EU cloud"), "", "accent")]
        self._host = Segmented([*options, (OWN, self.tr("Your server"), "", "accent")], self.tr("Server"))
        self._host.chosen.connect(self._pick_host)
        self._address = LineEdit()
        self._address.setPlaceholderText("https://posthog.example.com")
        self._address.setAccessibleName(self.tr("Address of your server"))
        self._address.textEdited.connect(lambda _text: self._address_error.say(""))
        self._address.returnPressed.connect(self._start)
        self._address_error: FieldError = FieldError(self._address)
        self.sign_in_button = QuietButton(self.tr("Sign in with browser"), "external", clicked=self._start)
        self.key_toggle = QuietButton(self.tr("Use a personal API key"), "key", clicked=self._toggle_key)
        self._key = LineEdit()
        self._key.setEchoMode(QLineEdit.EchoMode.Password)
        self._key.setPlaceholderText("phx_…")
        self._key.setAccessibleName(self.tr("Personal API key"))
        self._key.textEdited.connect(lambda _text: self._key_error.say(""))
        self._key.returnPressed.connect(self._start_with_key)
        self._key_error: FieldError = FieldError(self._key)
        self.key_button = QuietButton(self.tr("Sign in with the key"), clicked=self._start_with_key)
        host_row = QHBoxLayout()
        host_row.addWidget(self._host)
        host_row.addStretch()
        box.addLayout(host_row)
        box.addWidget(self._address)
        box.addWidget(self._address_error)
        buttons = FlowLayout()
        buttons.addWidget(self.sign_in_button)
        buttons.addWidget(self.key_toggle)
        box.addLayout(buttons)
        words = self.tr(
            "The browser signs in as whoever is signed in there. "
            "To add another person, copy the link into a private browser window."
        )
        self._browser_hint = Text(words, "caption", "muted", wrap=True)
        box.addWidget(self._browser_hint)
        self._key_part = QWidget()
        key_box = QVBoxLayout(self._key_part)
        key_box.setContentsMargins(0, 0, 0, 0)
        key_box.setSpacing(theme().px(tokens.SPACE_1))
        row = QHBoxLayout()
        row.setSpacing(theme().px(tokens.SPACE_2))
        row.addWidget(self._key, 1)
        row.addWidget(self.key_button)
        key_box.addLayout(row)
        key_box.addWidget(self._key_error)
        hint = self.tr(
            "Create one in PostHog under Settings, Personal API keys. "
            "Burrow stores it like a sign-in and never renews it."
        )
        key_box.addWidget(Text(hint, "caption", "muted", wrap=True))
        box.addWidget(self._key_part)
        self._kept = Text("", "caption", "muted", wrap=True)
        self._kept.setVisible(False)
        box.addWidget(self._kept)
        self._show_key(False)
        return card

    def _build_waiting(self) -> QWidget:
        card, box = _card()
        card.setVisible(False)
        self._waiting_words = Text("", "section", wrap=True)
        self._waiting_hint = Text("", tone="muted", wrap=True)
        self._progress = ProgressLine(self.tr("Signing in"))
        self.again_button = QuietButton(self.tr("Open again"), "external", clicked=self._open_again)
        self.link_button = QuietButton(self.tr("Copy link"), "link", clicked=self._copy_link)
        self.cancel_button = QuietButton(self.tr("Cancel"), clicked=self._cancel)
        self._browser_buttons = QWidget()
        row = FlowLayout(self._browser_buttons)
        for button in (self.again_button, self.link_button, self.cancel_button):
            row.addWidget(button)
        for part in (self._waiting_words, self._waiting_hint, self._progress, self._browser_buttons):
            box.addWidget(part)
        return card

    def _under_way(self, words: str, hint: str) -> None:
        # The button that was pressed is hidden below, and the focus with it.
        had_focus = self.isAncestorOf(QApplication.focusWidget() or self)
        self._card.clear()
        self._waiting_words.setText(words)
        self._waiting_hint.setText(hint)
        self._waiting_hint.setVisible(bool(hint))
        self._browser_buttons.setVisible(self._sign_in is not None)
        self._waiting.setVisible(True)
        self._waiting.setAccessibleName(words)
        self._choices.setVisible(False)
        self._progress.start()
        if had_focus and self._sign_in is not None:
            self.again_button.setFocus()

    def _pick_host(self, value: str) -> None:
        self._host.set_value(value)
        self._address.setVisible(value == OWN)
        self._address_error.say("")
        if value == OWN:
            self._address.setFocus()

    def _host_text(self) -> str | None:
        """The chosen host; None when the typed address is not valid, which the field then says."""
        if self._adding is not None:
            return self._adding.origin
        value = self._host.value() or "us"
        if value != OWN:
            return value
        try:
            host = parse_host(self._address.text())
        except Rejected as refusal:
            self._address_error.say(refusal.cause)
            self._address.setFocus()
            return None
        return host.origin

    def _start(self) -> None:
        host = self._host_text()
        if host is not None:
            self._attempt(lambda: self._on_host(host))

    def _attempt(self, attempt: Callable[[], None]) -> None:
        self._again = attempt
        attempt()

    def _start_with_key(self) -> None:
        host, key = self._host_text(), self._key.text().strip()
        if not key:
            self._key_error.say(self.tr("Paste the key first."))
            self._key.setFocus()
        elif host is not None:
            # A secret does not stay on the screen.
            self._key.clear()
            self._again = None
            self._on_key(host, key)

    def _toggle_key(self) -> None:
        self._show_key(not self._key_part.isVisibleTo(self._key_part.parentWidget() or self))
        self._key.setFocus()

    def _show_key(self, shown: bool) -> None:
        self._key_part.setVisible(shown)

    def _open_again(self) -> None:
        if self._sign_in is not None:
            self._sign_in.open_again()

    def _copy_link(self) -> None:
        if self._sign_in is not None:
            QGuiApplication.clipboard().setText(self._sign_in.url)

    def _cancel(self) -> None:
        if self._sign_in is not None:
            self._sign_in.cancel()
        self.idle()

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.window().focusWidget() is None:
            self.focus_first()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._sign_in is not None:
            self._cancel()
        else:
            super().keyPressEvent(event)


def _card() -> tuple[QFrame, QVBoxLayout]:
    card = QFrame()
    card.setProperty("card", "true")
    box = QVBoxLayout(card)
    box.setContentsMargins(*([theme().px(tokens.SPACE_4)] * 4))
    box.setSpacing(theme().px(tokens.SPACE_2))
    return card, box
