"""LinkDesk: what becomes of a `burrow://` link, from wherever it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, Qt

from app.core.errors import Rejected
from app.core.hosts import host_name
from app.core.links import IntegrationLink, NewTaskLink, ServerLink, TaskLink, parse_link
from app.marks import isolated, revealed_name
from app.ui.shell.link_dialog import LinkDialog
from app.ui.widgets.feedback import Banner

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtCore import SignalInstance
    from PySide6.QtWidgets import QWidget

    from app.core.backend import Backend
    from app.core.known_accounts import KnownAccount
    from app.core.links import ShowingLink
    from app.ui.context import Context
    from app.ui.place import Place
    from app.ui.shell.backend_follower import BackendFollower
    from app.ui.shell.pages import WindowPages
    from app.ui.shell.place_stack import PlaceStack

PLACES: dict[type[ShowingLink], str] = {TaskLink: "tasks", NewTaskLink: "tasks", ServerLink: "servers"}


class LinkWindow(Protocol):
    """What links act on. `MainWindow` implements it."""

    context: Context
    follower: BackendFollower
    pages: WindowPages
    stack: PlaceStack

    @property
    def backend_shown(self) -> SignalInstance: ...

    @property
    def backend(self) -> Backend | None: ...

    @property
    def accounts(self) -> tuple[KnownAccount, ...]: ...

    def go(self, place: str, item: str | None = None) -> None: ...

    def place(self, place_id: str) -> Place | None: ...

    def status(self, text: str) -> None: ...

    def announce(self, text: str, *, assertive: bool = False) -> None: ...

    def switch_account(self, account: KnownAccount) -> None: ...

    def put_above(self, bar: QWidget) -> None: ...


class LinkDesk(QObject):
    """Opens links, one at a time: a later one takes the place of one that still waits or is being asked about.

    A link shows what it names, at most. It asks before it leaves the host in view, before it begins a draft, and before
    it shows servers: to list its tools a server is reached, and its program started. It waits in `bar` while nobody is
    signed in. One with which a browser comes back from GitHub has repositories read anew, and nothing else.
    """

    def __init__(self, window: LinkWindow, parent: QWidget) -> None:
        super().__init__(parent)
        self._window, self._parent = window, parent
        self.waiting: ShowingLink | None = None
        # The link for which the user wants to go to another host, which takes a while.
        self._agreed: ShowingLink | None = None
        self.bar: Banner | None = None
        self.dialog: LinkDialog | None = None
        self._said = ""
        window.backend_shown.connect(self._look)
        window.follower.status_changed.connect(self._look, Qt.ConnectionType.QueuedConnection)
        window.pages.currentChanged.connect(self._look, Qt.ConnectionType.QueuedConnection)

    def open(self, text: str) -> None:
        """Open a link. What is none is said in the window."""
        self.forget()
        try:
            link = parse_link(text)
        except Rejected as refusal:
            self._refuse(refusal.cause)
            return
        if isinstance(link, IntegrationLink):
            self._come_back(link)
            return
        self.waiting = link
        self._look()

    def forget(self) -> None:
        """Do nothing more about the link that waits."""
        self.waiting = None
        if self.dialog is not None:
            self.dialog.reject()
        if self.bar is not None:
            self.bar.clear()

    def _refuse(self, why: str) -> None:
        self._say(self.tr("A link cannot be opened. {0}").format(why))

    def _come_back(self, link: IntegrationLink) -> None:
        """A browser comes back from GitHub. That counts once, for what the person has begun, and asks nothing."""
        backend = self._window.backend
        if backend is None or backend.project is None:
            self._refuse(self.tr("It is about GitHub, and nobody is signed in here."))
        elif link.host not in {"", backend.host.key}:
            self._refuse(self.tr("It is about GitHub on another server than the one in view."))
        elif link.project != backend.project.id:
            self._refuse(self.tr("It is about GitHub for another project than the one in view."))
        elif not backend.github.take_beginning(link.project):
            self._refuse(self.tr("Nobody has begun to connect GitHub here within the last five minutes."))
        elif link.failed:
            said = self.tr("GitHub was not connected ({0}).").format(link.error) if link.error else ""
            self._say(said or self.tr("GitHub was not connected."))
        else:
            backend.github.come_back()
            words = self.tr("Back from GitHub")
            self._window.status(words)
            self._window.announce(words)

    def _look(self, _backend: object = None) -> None:
        """Go on with the link that waits, if that is possible by now."""
        link = self.waiting
        if link is None or self.dialog is not None:
            return
        backend = self._window.backend
        if backend is not None and link.host and link.host != backend.host.key:
            if link is not self._agreed:
                self._ask_host(link)
        elif self._ready(link):
            self._open(link)
        elif not self._window.pages.shows_places or self._without_account:
            words = self.tr("A link waits until you are signed in: {0}.").format(self._what(link))
            self._say(words, forget=self.tr("Forget it"))

    def _ready(self, link: ShowingLink) -> bool:
        window, backend = self._window, self._window.backend
        if not window.pages.shows_places or not window.stack.can_show(PLACES[type(link)]):
            return False
        if backend is None:
            # Without an account there is the user's own servers.
            return isinstance(link, ServerLink) and not link.host and self._without_account
        return backend.account is not None

    @property
    def _without_account(self) -> bool:
        return self._window.context.services.without_account

    def _open(self, link: ShowingLink) -> None:
        if isinstance(link, NewTaskLink):
            self._ask_draft(link)
        elif isinstance(link, ServerLink):
            self._ask_server(link)
        else:
            self.forget()
            self._show(link, link.task)

    def _show(self, link: ShowingLink, item: str) -> None:
        self._window.go(PLACES[type(link)], item)
        words = self.tr("Opened by a link")
        self._window.status(words)
        self._window.announce(words)

    def _ask_server(self, link: ServerLink) -> None:
        name = isolated(revealed_name(link.server))
        self._ask(
            LinkDialog(
                self.tr("Show the server {0}?").format(name),
                self.tr(
                    "A link names it. Burrow will ask it for its tools; if it is a program of yours, it is started."
                ),
                self.tr("Show it"),
                self._parent,
            ),
            lambda: self._show(link, link.server),
        )

    def _ask_draft(self, link: NewTaskLink) -> None:
        words = self.tr("A link has brought the text of a task. Nothing is sent before you send it.")
        if link.repository:
            words = f"{words} {self.tr('Repository: {0}.').format(isolated(link.repository))}"
        self._ask(
            LinkDialog(
                self.tr("Begin a draft with this text?"),
                words,
                self.tr("Begin a draft"),
                self._parent,
                text=link.text,
                named=self.tr("Text of the link"),
            ),
            lambda: self._begin(link),
        )

    def _begin(self, link: NewTaskLink) -> None:
        window = self._window
        window.go(PLACES[NewTaskLink])
        place = window.place(PLACES[NewTaskLink])
        if place is not None:
            place.begin_draft(
                {"description": link.text, "repository": link.repository},
                self.tr("Text from a link. Read it before you send it."),
            )

    def _ask_host(self, link: ShowingLink) -> None:
        """The link belongs to another host than the one in view."""
        name = isolated(revealed_name(host_name(link.host)))
        accounts = [each for each in self._window.accounts if _is_at(each, link.host)]
        if not accounts:
            self.waiting = None
            self._say(self.tr("A link cannot be opened. It belongs to {0}, where you are not signed in.").format(name))
            return
        account = accounts[0]
        self._ask(
            LinkDialog(
                self.tr("Go to {0}?").format(name),
                self.tr("A link belongs to {0}: {1}. You are {2} there. Your drafts here are kept.").format(
                    name, self._what(link), isolated(revealed_name(account.name))
                ),
                self.tr("Go there"),
                self._parent,
            ),
            lambda: self._switch(link, account),
        )

    def _switch(self, link: ShowingLink, account: KnownAccount) -> None:
        self.waiting = self._agreed = link
        self._window.switch_account(account)

    def _ask(self, dialog: LinkDialog, act: Callable[[], None]) -> None:
        if self.bar is not None:
            self.bar.clear()
        self.dialog = dialog

        def answered(result: int) -> None:
            self.dialog, self.waiting = None, None
            if result == LinkDialog.DialogCode.Accepted:
                act()

        dialog.finished.connect(answered)
        dialog.open()

    def _what(self, link: ShowingLink) -> str:
        if isinstance(link, TaskLink):
            return self.tr("task {0}").format(link.task)
        if isinstance(link, ServerLink):
            return self.tr("server {0}").format(isolated(revealed_name(link.server)))
        return self.tr("the text of a new task")

    def _say(self, words: str, *, forget: str = "") -> None:
        if words == self._said and self.bar is not None and self.bar.isVisible():
            return
        self._said = words
        if self.bar is None:
            self.bar = Banner()
            self._window.put_above(self.bar)
        close = forget or self.tr("Close")
        self.bar.show_message(words, "info" if forget else "attention", secondary=[(close, self.forget)])
        self._window.announce(words)


def _is_at(account: KnownAccount, key: str) -> bool:
    """Whether an account is one of the host with this key."""
    from app.core.hosts import BUILT_IN

    built_in = BUILT_IN.get(key)
    return account.host == (built_in.origin if built_in is not None else key)
