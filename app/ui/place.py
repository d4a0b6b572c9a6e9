"""The base class of a place, the identity whose things it shows, and the detection that a credential works again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QSplitter, QStackedWidget, QWidget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.core.auth.status import CredentialStatus
    from app.core.backend import Backend
    from app.core.storage import Scope
    from app.ui.context import Command, Context


class Identity(NamedTuple):
    """Whose things a place shows: a connection, and the account and project on it as far as they are known."""

    backend: Backend
    scope: Scope | None
    project: int | None

    @staticmethod
    def of(backend: Backend | None) -> Identity | None:
        """The identity of a backend as it is now."""
        if backend is None:
            return None
        return Identity(backend, backend.scope, backend.project.id if backend.project is not None else None)


class PlaceNotice(NamedTuple):
    """Something that the user may want to know while another window is in front.

    A later one with the same `key` replaces it. `item` is what it is about. `waits`: it is over once the user answered.
    """

    key: str
    title: str
    text: str
    item: str
    waits: bool = False


class Place(QWidget):
    """A place of the window: tasks, servers.

    The window builds a place when it is first shown, connects its signals and calls the methods below. Their defaults
    do nothing or return nothing: a place overrides what it has.

    Signals:

    - `count_changed(int)`: how many of its items need the user, for the rail.
    - `waiting_sent()`: a change that had waited for the sign-in or the connection has been sent.
    - `waiting_changed()`: `waiting` or an answer of `waiting_for` changed.
    - `call_resumed()`: a call that had waited for the sign-in has been answered.
    - `call_silent(tool, server)`: a call has not been answered for long; both as they are shown.
    - `told(PlaceNotice)`: something happened that is told as a notification of the desktop.
    - `over(key)`: what was told with this key is over.
    - `titled(str)`: what is open in it, for the title of the window; empty for nothing (`follow_titles`).
    - `saved_shown()`: what was saved at the last start is on the screen. Only where `shows_saved` is True: until then
      the window holds the network back.
    """

    count_changed = Signal(int)
    waiting_sent = Signal()
    waiting_changed = Signal()
    call_resumed = Signal()
    call_silent = Signal(str, str)
    saved_shown = Signal()
    told = Signal(object)
    over = Signal(str)
    titled = Signal(str)

    shows_saved = False

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.context = context
        self._identity: Identity | None = None
        self._without_account = False
        self._pages: QStackedWidget | None = None

    @property
    def backend(self) -> Backend | None:
        """The host whose things are shown."""
        return self._identity.backend if self._identity is not None else None

    @property
    def open_title(self) -> str:
        """The title of what is open in the place; empty for nothing."""
        page = self._pages.currentWidget() if self._pages is not None else None
        return page.windowTitle() if page is not None else ""

    def follow_titles(self, pages: QStackedWidget) -> None:
        """Tell as `titled` what is open: the `windowTitle` of the page in view, whenever one of the two changes."""
        self._pages = pages

        def tell(*_: object) -> None:
            self.titled.emit(self.open_title)

        def follow(number: int) -> None:
            page = pages.widget(number)
            if page is not None:
                page.windowTitleChanged.connect(tell)

        for number in range(pages.count()):
            follow(number)
        pages.widgetAdded.connect(follow)
        pages.currentChanged.connect(tell)

    @property
    def waiting(self) -> int:
        """How many tool calls wait for the sign-in of the current account."""
        return 0

    def waiting_for(self, key: str) -> int:
        """How many tool calls wait for the sign-in with this key (`SignIn.key`).

        The default knows `waiting` only. A place whose calls carry other credentials too overrides it.
        """
        backend = self.backend
        return self.waiting if backend is not None and backend.credential.key.text == key else 0

    def set_backend(self, backend: Backend | None) -> None:
        """Show the things of this backend's account and project. Not to be overridden.

        The window calls it whenever host, account or project may have changed, and nobody else does: a place does not
        subscribe to `Backend.changed` itself.
        """
        identity = Identity.of(backend)
        # No backend means that one is being connected, or that there is to be none. The latter has things to show.
        without = backend is None and self.context.services.without_account
        if (identity, without) != (self._identity, self._without_account):
            former, self._identity, self._without_account = self._identity, identity, without
            self.show_account(former)

    def show_account(self, former: Identity | None) -> None:
        """Drop everything of the `former` account and project, and show that of `backend`.

        Without a backend, show what needs no account.
        """

    def activate(self) -> None:
        """The place came into view."""

    def refresh(self) -> None:
        """Ask the server again (F5)."""

    def focus_filter(self) -> None:
        """Put the focus on the filter (`/`, Ctrl+F)."""

    def open_item(self, item: str) -> None:
        """Show one item by its id."""

    def begin_draft(self, fields: Mapping[str, str], note: str) -> None:
        """Begin a draft with these texts of its fields, and say `note` beside it. What is typed is kept."""

    def commands(self) -> Sequence[Command]:
        """What can be done here, for the palette. The window binds their keys while the place is in view.

        Keys that the place has bound itself are left to it.
        """
        return ()

    def items(self) -> Sequence[Command]:
        """Commands that go to one item each, for the palette."""
        return ()

    def panes(self) -> Sequence[QWidget]:
        """The parts that F6 walks through: those of the first splitter, else the place itself."""
        splitter = next((each for each in self.findChildren(QSplitter) if each.isVisible()), None)
        if splitter is None:
            return (self,)
        parts = (splitter.widget(number) for number in range(splitter.count()))
        return [part for part in parts if part is not None]

    @property
    def unsaved(self) -> bool:
        """Whether something that was typed is not saved yet. What `flush` cannot save is in `unsaved_text`."""
        return bool(self.unsaved_text())

    def unsaved_text(self) -> str:
        """What was typed here and would be lost if the window closed now; empty if nothing.

        The user reads and copies it before they decide, so it has no secrets, and paragraphs between its parts. What
        waits in `Drafts.unsaved` need not be in it.
        """
        return ""

    async def save_typed(self) -> None:
        """Store what is typed; awaited before the window closes. `unsaved_text` then has what is left.

        The user may still stay, so nothing that can be undone is settled here.
        """

    async def flush(self) -> None:
        """Write everything that is still held back; awaited before the app ends."""
        await self.save_typed()


class RecoveryDetector:
    """Detects that a credential works again, so that a place asks again for what it could not get.

    A status changes with every renewal. A place that asked again at each change, and was refused, would cause the next
    renewal, without end.
    """

    def __init__(self, status: CredentialStatus) -> None:
        self._healthy = status.healthy

    def recovered(self, status: CredentialStatus) -> bool:
        """Whether the credential works again since the last call. Call it once for each change of the status."""
        before, self._healthy = self._healthy, status.healthy
        return self._healthy and not before
