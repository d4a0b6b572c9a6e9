"""Signing in and out, asking for more permissions, and choosing where the sign-in is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from app.core.auth.status import CredentialState
from app.core.errors import SignInNeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.backend import Backend
    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.shell.backend_follower import BackendFollower
    from app.ui.shell.signin_bar import SignInBar

SIGN_IN = "sign-in"


class SignInController(QObject):
    """Drives the sign-in bar. `waiting_calls` says how many calls of tools wait for the sign-in."""

    def __init__(
        self,
        services: Services,
        bridge: Bridge,
        follower: BackendFollower,
        bar: SignInBar,
        *,
        choose_host: Callable[[], None],
        waiting_calls: Callable[[], int],
    ) -> None:
        super().__init__(bar)
        self._services, self._bridge, self._follower, self._bar = services, bridge, follower, bar
        self._choose_host, self._waiting_calls = choose_host, waiting_calls
        bar.store_wanted.connect(self.choose_store)

    def sign_in(self) -> None:
        """Sign in to the current host in the browser."""
        backend = self._services.backend
        if backend is None:
            self._choose_host()
            return
        self._bridge.spawn(
            self,
            self._through_browser(backend),
            done=lambda _nothing: self._bar.sign_in_ended(),
            failed=self._bar.sign_in_ended,
            key=SIGN_IN,
        )

    async def allow(self, scopes: Sequence[str]) -> None:
        """Have the browser ask for these permissions besides those granted; see `Navigator.allow`."""
        backend = self._services.backend
        if backend is None:
            raise SignInNeeded("No server is connected.")
        sign_in = await backend.session.begin_sign_in(scopes=scopes)
        self._bar.show_browser(sign_in)
        try:
            await sign_in.finish()
        finally:
            # The card that asked for the permission shows the result.
            self._bar.leave_browser(sign_in, backend.session.status)

    def sign_out(self) -> None:
        """Forget the grant here and revoke it at the server."""
        if (backend := self._follower.backend) is not None:
            self._bridge.spawn(self, backend.session.sign_out(), key="sign-out")

    def choose_store(self, kind: str) -> None:
        """Store the sign-in elsewhere, or try the present store again."""
        if (backend := self._follower.backend) is not None:
            self._bridge.spawn(self, backend.session.choose_store(kind), key="store")

    def reset(self) -> None:
        """Stop waiting for the browser: another host is shown."""
        self._bridge.cancel(self, SIGN_IN)
        self._bar.set_status(None)

    def show_status(self) -> None:
        """Bring the bar up to date with the credential."""
        self._bar.set_status(self._follower.status, self._follower.token_generation)
        self.count_waiting()

    def count_waiting(self) -> None:
        """While a sign-in is needed, have the bar say how much waits for it."""
        backend = self._follower.backend
        if self._follower.state is not CredentialState.NEEDS_SIGN_IN or backend is None or backend.scope is None:
            return
        outbox, scope, calls = self._services.storage.outbox, backend.scope, self._waiting_calls()

        async def count() -> int:
            return len(await outbox.list(scope))

        self._bridge.spawn(
            self, count(), done=lambda changes: self._bar.set_waiting_work(changes, calls), key="waiting"
        )

    async def _through_browser(self, backend: Backend) -> None:
        sign_in = await backend.session.begin_sign_in()
        self._bar.show_browser(sign_in)
        await sign_in.finish()
