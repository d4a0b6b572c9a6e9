"""What a further start of Burrow asks of the window there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication

from app.core.errors import Rejected
from app.core.hosts import WORKSPACE, host_name, parse_host
from app.marks import isolated, revealed_name
from app.ui.shell.link_dialog import LinkDialog

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from app.core.backend import Backend
    from app.core.instance.request import StartRequest
    from app.ui.shell.link_desk import LinkDesk


class StartWindow(Protocol):
    """What further starts act on. `MainWindow` implements it."""

    links: LinkDesk

    @property
    def backend(self) -> Backend | None: ...

    def bring_forward(self, activation_token: str = "") -> None: ...

    def go(self, place: str, item: str | None = None) -> None: ...

    def status(self, text: str) -> None: ...


class FurtherStarts(QObject):
    """Does what a person who starts Burrow again expects: the window comes forward with what was named.

    `connect` goes to a host by its name. The user is asked before the host in view is left for it.
    """

    def __init__(self, window: StartWindow, parent: QWidget, connect: Callable[[str], None]) -> None:
        super().__init__(parent)
        self._window, self._parent, self._connect = window, parent, connect
        self.dialog: LinkDialog | None = None

    def take(self, request: StartRequest) -> None:
        """Do what the start asks for. Everything in it may come from any program of this user."""
        window = self._window
        if not request.hidden:
            window.bring_forward(request.token(QGuiApplication.platformName()))
        if request.host:
            self._go_to(request.host)
        if request.place:
            window.go(request.place)
        if request.link:
            window.links.open(request.link)

    def take_link(self, link: str) -> None:
        """The system asks this process to open a link."""
        self._window.bring_forward()
        self._window.links.open(link)

    def _go_to(self, named: str) -> None:
        try:
            key = named if named == WORKSPACE else parse_host(named).key
        except Rejected as refusal:
            self._window.status(refusal.cause)
            return
        backend = self._window.backend
        if backend is None:
            self._connect(key)
        elif backend.host.key != key:
            self._ask(key)

    def _ask(self, key: str) -> None:
        if self.dialog is not None:
            self.dialog.reject()
        name = isolated(revealed_name(host_name(key)))
        dialog = self.dialog = LinkDialog(
            self.tr("Go to {0}?").format(name),
            self.tr("Burrow was started again for {0}. Your drafts here are kept.").format(name),
            self.tr("Go there"),
            self._parent,
        )

        def answered(result: int) -> None:
            self.dialog = None
            if result == LinkDialog.DialogCode.Accepted:
                self._connect(key)

        dialog.finished.connect(answered)
        dialog.open()
