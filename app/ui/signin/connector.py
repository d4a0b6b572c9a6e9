"""Connects to a host: the one chosen on the first page, named on the command line, or used last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject

from app.core.auth.status import CredentialState
from app.core.hosts import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.signin.first_run import FirstRun


class HostConnector(QObject):
    """Connects the services to a host, one attempt at a time, and shows the progress on the first page.

    `choose` shows the first page (the window's own doing), `stay` leaves it.
    """

    def __init__(
        self, services: Services, bridge: Bridge, *, choose: Callable[[], None], stay: Callable[[], None]
    ) -> None:
        super().__init__()
        self._services, self._bridge = services, bridge
        self._choose, self._stay = choose, stay
        self._page: FirstRun | None = None

    def page(self) -> FirstRun:
        """The first page, built when it is first needed."""
        if self._page is None:
            from app.ui.signin.first_run import FirstRun

            self._page = FirstRun(self.use_workspace, self.use_host, self.use_key, self._stay)
        return self._page

    def begin(self, named: str | None) -> None:
        """Connect to the host that the command line names, else to the last one. Do nothing when there is neither."""
        host = named or self._services.remembered_host()
        if host is not None:
            self._try(self._connect(host))

    def use_workspace(self) -> None:
        self._busy(_tr("Starting the workspace…"))
        self._try(self._connect(WORKSPACE))

    def use_host(self, named: str) -> None:
        self._busy(_tr("Contacting the server…"))
        self._try(self._through_browser(named))

    def use_key(self, named: str, key: str) -> None:
        self._busy(_tr("Checking the key…"))
        self._try(self._with_key(named, key))

    async def _connect(self, named: str) -> Backend:
        return await self._services.connect(await self._services.resolve(named))

    async def _through_browser(self, named: str) -> None:
        session = (await self._connect(named)).session
        if session.status.state is CredentialState.SIGNED_IN:
            return
        attempt = await session.begin_sign_in()
        if self._page is not None:
            self._page.waiting(attempt)
        await attempt.finish()

    async def _with_key(self, named: str, key: str) -> None:
        backend = await self._connect(named)
        await backend.sign_in_with_key(key)
        await backend.ready()

    def _busy(self, words: str) -> None:
        self.page().busy(words)

    def _try(self, attempt: Coroutine[Any, Any, object]) -> None:
        self._bridge.spawn(self, attempt, done=lambda _: self._arrived(), failed=self._failed, key="connecting")

    def _arrived(self) -> None:
        if self._page is not None:
            self._page.idle()

    def _failed(self, failure: BurrowError) -> None:
        self._choose()
        self.page().failed(failure)


def _tr(text: str) -> str:
    return QCoreApplication.translate("HostConnector", text)
