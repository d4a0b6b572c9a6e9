"""The status corner: project, account and host, and one word of state. It is never modal and never changes size."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QPoint, Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app.core.auth.status import CredentialState, CredentialStatus
from app.ui.shell.credential_words import credential_note, credential_state, renewing_in
from app.ui.theme import theme, tokens
from app.ui.widgets.row_button import RowButton
from app.ui.widgets.text import ElidedLabel, StatusWord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtWidgets import QMenu

    from app.core.backend import Backend
    from app.core.known_accounts import KnownAccount
    from app.ui.signin.connector import HostConnector

MENU_PROJECTS = 20
MENU_ACCOUNTS = 12
# Longer names of accounts elide in the middle.
LONGEST_ACCOUNT = 340


class _AccountLabel(NamedTuple):
    """The current account: what is shown, where it is, and its whole name."""

    words: str
    where: str
    name: str


class StatusCorner(QFrame):
    """Emits a signal for each choice of its menus. `account_wanted(KnownAccount)` asks to switch to that account.

    `unsaid(words)`: what it has no room to say while it is narrow, for another place in the window; else empty.
    """

    account_wanted = Signal(object)
    all_accounts_wanted = Signal()
    addition_wanted = Signal()
    project_wanted = Signal(int)
    all_projects_wanted = Signal()
    sign_in_wanted = Signal()
    sign_out_wanted = Signal()
    details_wanted = Signal()
    host_wanted = Signal()
    mode_wanted = Signal(str)
    unsaid = Signal(str)

    def __init__(self, connector: HostConnector | None = None, parent: QWidget | None = None) -> None:
        """`connector` knows the accounts, and whether one can be added."""
        super().__init__(parent)
        self._connector = connector
        self._backend: Backend | None = None
        self._message = ""
        self._narrow = False
        # With what it is about. The corner is refreshed at every change of the status, and a label reads all accounts.
        self._label: tuple[object, _AccountLabel] | None = None
        self.project = RowButton("project", "chevron-up")
        self.project.clicked.connect(self._open_projects)
        self.account = RowButton("user", "chevron-up")
        self.account.clicked.connect(self._open_account)
        self.word = StatusWord(role="caption")
        self.note = ElidedLabel("", "caption", "muted", mode=Qt.TextElideMode.ElideRight)
        current = theme()
        box = QVBoxLayout(self)
        gap, side = current.px(tokens.SPACE_1), current.px(tokens.SPACE_2)
        box.setContentsMargins(side, gap, side, side)
        box.setSpacing(0)
        words = QVBoxLayout()
        words.setContentsMargins(side, gap, gap, 0)
        words.setSpacing(gap)
        words.addWidget(self.word)
        words.addWidget(self.note)
        box.addWidget(self.project)
        box.addWidget(self.account)
        box.addLayout(words)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self.refresh)
        self.menu: QMenu | None = None
        self.refresh()

    def set_backend(self, backend: Backend | None) -> None:
        """Show another host, account or project."""
        self._backend = backend
        self.refresh()

    def set_message(self, text: str) -> None:
        """Show a temporary message below the state; empty clears it."""
        self._message = text
        self.refresh()

    def set_narrow(self, narrow: bool) -> None:
        """Show icons only, or words too."""
        self._narrow = narrow
        self.word.set_glyph_only(narrow)
        self.refresh()

    def refresh(self) -> None:
        """Read the backend again."""
        backend = self._backend
        self.project.setVisible(backend is not None and backend.project is not None)
        without = backend is None and self._connector is not None and self._connector.without_account
        self.account.setVisible(backend is not None or without)
        status = None if backend is None else backend.credential.status
        # Before the word is chosen: a renewal that becomes two seconds old in between then either shows its word now or
        # has the timer look again. The other way round it could do neither.
        left = None if status is None else renewing_in(status)
        status = status or CredentialStatus(CredentialState.SIGNED_OUT)
        state = credential_state(status)
        self.word.set_state(state)
        self.word.setToolTip(credential_note(status) or (state.word if self._narrow else ""))
        if left:
            # No event comes when a renewal turns two seconds old.
            self._timer.start(round(left * 1000) + 10)
        self.note.setText(self._message)
        self.note.setVisible(bool(self._message) and not self._narrow)
        # The usual state is in the tooltip. Any other is worth its words.
        usual = status.state is CredentialState.SIGNED_IN and status.trouble is None
        words = [self._message] if usual else [state.word, self._message]
        self.unsaid.emit(" · ".join(filter(None, words)) if self._narrow else "")
        if without:
            self.account.set_words(self.tr("No account"), self.tr("No account. Sign in"))
        if backend is None:
            return
        if backend.project is not None:
            name = backend.project.name or str(backend.project.id)
            self.project.set_words(name, self.tr("Project: {0}. Switch project").format(name))
        label = self._label_of(backend)
        self.account.set_words(
            label.words, self.tr("Account: {0}, {1}").format(label.name, state.word), label.where, label.name
        )

    def _label_of(self, backend: Backend) -> _AccountLabel:
        """How the current account is called; read again when it is another one."""
        subject = (backend, backend.account, backend.project)
        if self._label is None or self._label[0] != subject:
            accounts = self._connector.accounts if self._connector is not None else ()
            self._label = subject, _account_label(backend, accounts, self.tr("Account"))
        return self._label[1]

    def _open_projects(self) -> None:
        from PySide6.QtGui import QAction, QActionGroup

        backend = self._backend
        if backend is None:
            return
        if len(backend.projects) > MENU_PROJECTS:
            self.all_projects_wanted.emit()
            return
        menu = self._new_menu()
        group = QActionGroup(menu)
        for project in backend.projects:
            action = QAction(project.name or str(project.id), menu, checkable=True)
            action.setChecked(backend.project is not None and project.id == backend.project.id)
            action.triggered.connect(lambda _checked=False, key=project.id: self.project_wanted.emit(key))
            group.addAction(action)
            menu.addAction(action)
        self._popup(menu, self.project)

    def _open_account(self) -> None:
        backend = self._backend
        menu = self._new_menu()
        if backend is None:
            menu.addAction(self.tr("Sign in…"), self.host_wanted.emit)
            self._list_accounts(menu, None)
            menu.addSeparator()
            self._add_appearance(menu)
        else:
            self._list_accounts(menu, backend)
            menu.addSeparator()
            menu.addAction(self.tr("Sign in again"), self.sign_in_wanted.emit)
            menu.addAction(self.tr("Sign-in details…"), self.details_wanted.emit)
            menu.addAction(self.tr("Use another server…"), self.host_wanted.emit)
            menu.addSeparator()
            self._add_appearance(menu)
            menu.addSeparator()
            menu.addAction(self.tr("Sign out"), self.sign_out_wanted.emit)
        self._popup(menu, self.account)

    def _add_appearance(self, menu: QMenu) -> None:
        from PySide6.QtGui import QAction, QActionGroup

        from app.ui.widgets.menus import CheckMenu

        looks = CheckMenu(self.tr("Appearance"), menu)
        menu.addMenu(looks)
        group = QActionGroup(looks)
        for mode, words in (
            ("system", self.tr("System")),
            ("light", self.tr("Light")),
            ("dark", self.tr("Dark")),
        ):
            action = QAction(words, looks, checkable=True)
            action.setChecked(theme().mode == mode)
            action.triggered.connect(lambda _checked=False, mode=mode: self.mode_wanted.emit(mode))
            group.addAction(action)
            looks.addAction(action)

    def _list_accounts(self, menu: QMenu, backend: Backend | None) -> None:
        """Every account, the current one checked; a heading where there is only that."""
        connector = self._connector
        accounts = () if connector is None else connector.accounts
        if backend is not None and not any(account.key != backend.credential.key for account in accounts):
            who = backend.account.email if backend.account is not None and backend.account.email else backend.host.name
            heading = menu.addAction(_menu_text(who))
            heading.setEnabled(False)
        elif len(accounts) > MENU_ACCOUNTS:
            menu.addAction(self.tr("Switch account…"), self.all_accounts_wanted.emit)
        else:
            self._add_accounts(menu, backend, accounts)
        if connector is not None and connector.can_add:
            menu.addAction(self.tr("Add account…"), self.addition_wanted.emit)

    def _add_accounts(self, menu: QMenu, backend: Backend | None, accounts: tuple[KnownAccount, ...]) -> None:
        from PySide6.QtGui import QAction, QActionGroup

        from app.core.known_accounts import distinct_names

        group = QActionGroup(menu)
        for account, name in zip(accounts, distinct_names(accounts).values(), strict=True):
            action = QAction(_menu_text(name), menu, checkable=True)
            action.setChecked(backend is not None and account.key == backend.credential.key)
            action.triggered.connect(lambda _checked=False, account=account: self.account_wanted.emit(account))
            group.addAction(action)
            menu.addAction(action)

    def _new_menu(self) -> QMenu:
        from app.ui.widgets.menus import CheckMenu

        if self.menu is not None:
            self.menu.deleteLater()
        self.menu = CheckMenu(parent=self)
        return self.menu

    def _popup(self, menu: QMenu, button: QWidget) -> None:
        menu.popup(button.mapToGlobal(QPoint(0, -menu.sizeHint().height())))


def _account_label(backend: Backend, accounts: Sequence[KnownAccount], nobody: str) -> _AccountLabel:
    """The first name, or the e-mail address where somebody else at the host has that first name too."""
    account = backend.account
    if account is None:
        return _AccountLabel(nobody, backend.host.name, f"{nobody} · {backend.host.name}")
    from app.core.known_accounts import KnownAccount, distinct_places

    # What was learnt last is not remembered yet.
    current = KnownAccount(backend.credential.key, account, backend.project)
    others = [each for each in accounts if each.key != current.key]
    namesakes = [each for each in others if (each.host, each.user.short_name) == (current.host, account.short_name)]
    where = distinct_places([current, *others])[current.key]
    several = any(each.name != current.name for each in namesakes)
    return _AccountLabel(current.name if several else account.short_name, where, f"{current.name} ({where})")


def _menu_text(name: str) -> str:
    """The text of a menu entry: an ampersand would underline a letter."""
    from PySide6.QtGui import QFontMetrics

    current = theme()
    metrics = QFontMetrics(current.font("body"))
    line = " ".join(name.split())
    return metrics.elidedText(line, Qt.TextElideMode.ElideMiddle, current.px(LONGEST_ACCOUNT)).replace("&", "&&")
