"""Follows the services: which host is connected, as whom, and how its credential stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.ui.bridge import Generation

if TYPE_CHECKING:
    from app.core.auth.status import CredentialState, CredentialStatus
    from app.core.backend import Backend
    from app.core.services import Services
    from app.core.storage import Scope
    from app.ui.bridge import Bridge


class BackendFollower(QObject):
    """Turns the core's events into signals of the window, so that each is handled once.

    - `backend_changed()`: another host, or none.
    - `account_changed()`: the account, its projects or the current project, on the same host.
    - `account_left(Scope, name)`: emitted after `account_changed` when another account replaced that of `name`.
    - `status_changed()`: the credential's status; also emitted after `backend_changed`.
    """

    backend_changed = Signal()
    account_changed = Signal()
    account_left = Signal(object, str)
    status_changed = Signal()

    def __init__(self, services: Services, bridge: Bridge, parent: QObject) -> None:
        super().__init__(parent)
        self._services = services
        self._generation = Generation(bridge, self)
        # The account that was announced last: an event says what there is, not what there was.
        self._known: tuple[Scope | None, str] = (None, "")
        self.backend: Backend | None = None
        bridge.listen(self, services.backend_changed, self._follow)

    def start(self) -> None:
        """Emit the signals for the backend there is now."""
        self._follow(self._services.backend)

    @property
    def status(self) -> CredentialStatus | None:
        """How the credential stands now. Events arrive in a later turn of the loop: their values may be outdated."""
        return self.backend.credential.status if self.backend is not None else None

    @property
    def state(self) -> CredentialState | None:
        """The state of that status."""
        return self.status.state if self.status is not None else None

    def _follow(self, backend: Backend | None) -> None:
        self._generation.renew()
        self.backend = backend
        self._known = _account_of(backend)
        if backend is not None:
            self._generation.listen(backend.changed, self._account_changed)
            self._generation.listen(backend.credential.changed, self._status_changed)
        self.backend_changed.emit()
        self.status_changed.emit()

    def _account_changed(self, backend: Backend) -> None:
        (former, name), self._known = self._known, _account_of(backend)
        self.account_changed.emit()
        if former is not None and former != self._known[0]:
            self.account_left.emit(former, name)

    def _status_changed(self, _status: CredentialStatus) -> None:
        self.status_changed.emit()


def _account_of(backend: Backend | None) -> tuple[Scope | None, str]:
    """The account of a backend and its name."""
    if backend is None or backend.account is None:
        return None, ""
    return backend.scope, backend.account.short_name
