"""Connects a server: at once with an API key, through the browser with OAuth.

For a server of the store the OAuth redirect goes to the host, not to Burrow. So the list of installations is polled
until the installation is no longer waiting for OAuth. A server of the user's own is signed in to by Burrow itself.
"""

from __future__ import annotations

import asyncio
import logging
import webbrowser
from enum import Enum
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication

from app.core.auth.status import CANCELLED
from app.core.errors import BurrowError, ProtocolTrouble, TimedOut
from app.core.posthog.types import Installation
from app.core.urls import is_confidential

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from app.core.backend import Backend
    from app.core.sign_ins import PendingSignIn
    from app.ui.bridge import Bridge

    Match = Callable[[Installation], bool]

# How long the person has in the browser, and how often the list is read meanwhile.
LIMIT_SECONDS = 180.0
POLL_SECONDS = 2.0

log = logging.getLogger(__name__)


class ConnectStage(Enum):
    """The stage of connecting."""

    IDLE = "idle"
    ASKING = "asking"
    WAITING = "waiting"
    FAILED = "failed"


class ServerConnectFlow(QObject):
    """One server at a time. `changed()` when the stage changed, `connected(server id)` when it succeeded."""

    changed = Signal()
    connected = Signal(str)

    def __init__(
        self, bridge: Bridge, parent: QObject | None = None, *, limit: float = LIMIT_SECONDS, poll: float = POLL_SECONDS
    ) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._limit, self._poll = limit, poll
        self._check_now = asyncio.Event()
        self.stage = ConnectStage.IDLE
        self.title = ""
        self.url = ""
        self.error: BurrowError | None = None
        self._pending: PendingSignIn | None = None
        app = QGuiApplication.instance()
        if isinstance(app, QGuiApplication):
            # Whoever comes back from the browser has probably just finished there.
            app.applicationStateChanged.connect(lambda _state: self._check_now.set())

    def begin(self, backend: Backend, title: str, work: Coroutine[Any, Any, Installation | str], match: Match) -> None:
        """Run `work`. If it returns an address, open it and wait until an installation matches."""
        self.title, self.url, self.error = title, "", None
        self._set(ConnectStage.ASKING)

        async def connect() -> str:
            answer = await work
            if isinstance(answer, Installation):
                return answer.id
            # The address comes from the server, and whatever it is, the system would open it.
            if not is_confidential(answer):
                raise ProtocolTrouble("The server named an address that is not safe to open.")
            self.url = answer
            self._set(ConnectStage.WAITING)
            self.open_again()
            return await self._wait(backend, match)

        self._bridge.spawn(self, connect(), done=self._done, failed=self._failed, key="connect")

    def sign_in(self, server_id: str, title: str, start: Callable[[], Awaitable[PendingSignIn]]) -> None:
        """Sign in to one of the user's own servers; `start` opens the browser."""
        self.title, self.url, self.error = title, "", None
        self._set(ConnectStage.ASKING)

        async def connect() -> str:
            await self._through_browser(start)
            return server_id

        self._bridge.spawn(self, connect(), done=self._done, failed=self._failed, key="connect")

    async def allow(self, title: str, start: Callable[[], Awaitable[PendingSignIn]]) -> None:
        """Wait for the browser where `start` asks for more permissions. Raises what keeps the user from answering."""
        self.title, self.url, self.error = title, "", None
        try:
            await self._through_browser(start)
        finally:
            self.url = ""
            self._set(ConnectStage.IDLE)

    def open_again(self) -> None:
        """Open the address in the browser that the system or `$BROWSER` names."""
        if self._pending is not None:
            self._pending.open_again()
        elif self.url:
            self._bridge.spawn(self, asyncio.to_thread(webbrowser.open, self.url))

    def copy_link(self) -> None:
        """Put the address on the clipboard."""
        QGuiApplication.clipboard().setText(self.url)

    def cancel(self) -> None:
        """Stop waiting. The connection can still be completed in the browser."""
        self._bridge.cancel(self, "connect")
        # `allow` runs in the job of the call that asked, which the line above does not end.
        if self._pending is not None:
            self._pending.cancel()
        self.url, self.error = "", None
        self._set(ConnectStage.IDLE)

    async def _through_browser(self, start: Callable[[], Awaitable[PendingSignIn]]) -> None:
        pending = self._pending = await start()

        def address_changed(address: str) -> None:
            self.url = address

        unsubscribe = pending.url_changed.subscribe(address_changed)
        self.url = pending.url
        self._set(ConnectStage.WAITING)
        try:
            await pending.finish()
        finally:
            unsubscribe()
            pending.cancel()
            self._pending = None

    async def _wait(self, backend: Backend, match: Match) -> str:
        try:
            async with asyncio.timeout(self._limit):
                while True:
                    # Cleared before the request: who comes back from the browser during it is not missed.
                    self._check_now.clear()
                    try:
                        for each in await backend.store.installations():
                            # An installation is listed before it is connected (docs/wire.md, "MCP store").
                            if match(each) and not each.pending_oauth and not each.needs_reauth:
                                return each.id
                    except BurrowError as error:
                        # A list that cannot be read says nothing about the connection. Try until the limit.
                        log.info("looking for a connected server: %s", type(error).__name__)
                    try:
                        async with asyncio.timeout(self._poll):
                            await self._check_now.wait()
                    except TimeoutError:
                        continue
        except TimeoutError:
            words = f"{self.title} was not connected within {self._limit / 60:.0f} minutes."
            raise TimedOut(words, action="Finish in the browser and try again.") from None

    def _done(self, server_id: str) -> None:
        self.url = ""
        self._set(ConnectStage.IDLE)
        self.connected.emit(server_id)

    def _failed(self, error: BurrowError) -> None:
        if error.facts.code == CANCELLED:
            self._set(ConnectStage.IDLE)
            return
        self.error = error
        self._set(ConnectStage.FAILED)

    def _set(self, stage: ConnectStage) -> None:
        self.stage = stage
        self.changed.emit()
