"""Signing in and out, asking for more permissions, and choosing where a sign-in is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.core.auth.status import CredentialState
from app.core.errors import SignedOutHereOnly, SignInNeeded
from app.ui.shell.signin_bar import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.auth.credential import Credential
    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.sign_ins import SignIn
    from app.ui.bridge import Bridge
    from app.ui.shell.signin_bar import SignInBar

SIGN_IN = "sign-in"


class SignInController(QObject):
    """Drives the sign-in bar: that of the current account, and those of the user's own servers.

    A key names a sign-in (`SignIn.key`); empty for that of the current account. `waiting_calls(key)` says how many
    calls of tools wait for it. `needed_changed(needed)`: whether a sign-in needs the user
    has changed.
    """

    needed_changed = Signal(bool)

    def __init__(
        self,
        services: Services,
        bridge: Bridge,
        bar: SignInBar,
        *,
        choose_host: Callable[[], None],
        waiting_calls: Callable[[str], int],
        leaves: Callable[[Callable[[], object]], None],
    ) -> None:
        """`leaves` is given what signs out of the account, and calls it when the user agrees."""
        super().__init__(bar)
        self._leaves = leaves
        self._services, self._bridge, self._bar = services, bridge, bar
        self._choose_host, self._waiting_calls = choose_host, waiting_calls
        self._started = self._follows = False
        # Whether a sign-in needs the user.
        self.needed = False
        # The key of the job that signs in to the account. Those of own servers go on when the account changes.
        self._account_job = ""
        bar.store_wanted.connect(self.choose_store)

    def sign_in(self, key: str = "") -> None:
        """Open the browser to sign in. Without a connected host, let the user choose one."""
        sign_in = self.find(key)
        if sign_in is None:
            if not key:
                self._choose_host()
            return
        job = f"{SIGN_IN} {identity(sign_in)}"
        if sign_in.server_id is None:
            self._account_job = job
        # A second attempt replaces the first, by its key.
        self._bridge.spawn(
            self,
            self._through_browser(sign_in),
            done=lambda _nothing: self._ended(sign_in),
            failed=lambda failure: self._ended(sign_in, failure),
            key=job,
        )

    async def allow(self, scopes: Sequence[str]) -> None:
        """Have the browser ask for these permissions besides those granted; see `Navigator.allow`."""
        backend, sign_in = self._services.backend, self.find()
        if backend is None or sign_in is None:
            raise SignInNeeded("No server is connected.")
        pending = await backend.credential.begin_sign_in(scopes=scopes)
        self._bar.show_browser(sign_in, pending)
        try:
            await pending.finish()
        finally:
            # The card that asked for the permission shows the result.
            self._bar.leave_browser(sign_in, pending)

    def sign_out(self, key: str = "") -> None:
        """Forget the grant here and revoke it at the server. Where work of the account is under way, ask before."""
        sign_in = self.find(key)
        if sign_in is None or sign_in.credential is None:
            return
        credential, name = sign_in.credential, f"sign-out {identity(sign_in)}"
        if sign_in.server_id is not None:
            self._bridge.spawn(self, _sign_out(credential), key=name)
            return

        async def leave() -> None:
            await self._services.put_runs_down()
            await _sign_out(credential)

        self._leaves(lambda: self._bridge.spawn(self, leave(), key=name))

    def choose_store(self, key: str, kind: str) -> None:
        """Store a sign-in elsewhere, or try the present store again."""
        sign_in = self.find(key)
        if sign_in is not None and sign_in.credential is not None:
            self._bridge.spawn(self, sign_in.credential.choose_store(kind), key=f"store {identity(sign_in)}")

    def find(self, key: str = "") -> SignIn | None:
        """The sign-in with this key; without a key, that of the current account."""
        if key:
            return self._services.sign_ins.of(key)
        if self._services.backend is None:
            return None
        return next((sign_in for sign_in in self._services.sign_ins.all if sign_in.server_id is None), None)

    def reset(self) -> None:
        """Stop waiting for the browser: another account is shown."""
        if self._account_job:
            self._bridge.cancel(self, self._account_job)

    def start(self) -> None:
        """Saved data is on the screen: from now on the user's own servers are followed too."""
        self._started = True
        self.show()

    def show(self) -> None:
        """Bring the bar up to date with the credentials.

        Before `start` only where the account needs the user: knowing the own servers loads code, which would delay
        the saved data.
        """
        if not self._follows:
            backend = self._services.backend
            if not self._started and (backend is None or not backend.credential.status.needs_user):
                return
            self._follows = True
            self._bridge.listen(self, self._services.sign_ins.changed, lambda _nothing: self.show())
        self._bar.show_sign_ins(self._services.sign_ins.all)
        needed = bool(self._services.sign_ins.in_need)
        if needed != self.needed:
            self.needed = needed
            self.needed_changed.emit(needed)
        self.count_waiting()

    def count_waiting(self) -> None:
        """While sign-ins are needed, have the bar say how much waits for each."""
        if not self._follows:
            return
        for sign_in in self._services.sign_ins.in_need:
            if sign_in.status.state is not CredentialState.NEEDS_SIGN_IN:
                continue
            if sign_in.server_id is None:
                self._count_changes(sign_in)
            else:
                self._bar.set_waiting_work(sign_in.key, 0, self._waiting_calls(sign_in.key))

    def _count_changes(self, sign_in: SignIn) -> None:
        """The changes that were not sent belong to the account."""
        backend = self._services.backend
        if backend is None or backend.scope is None:
            return
        outbox, scope, calls = self._services.storage.outbox, backend.scope, self._waiting_calls(sign_in.key)

        async def count() -> int:
            return len(await outbox.list(scope))

        self._bridge.spawn(
            self,
            count(),
            done=lambda changes: self._bar.set_waiting_work(sign_in.key, changes, calls),
            key="waiting",
        )

    async def _through_browser(self, sign_in: SignIn) -> None:
        pending = await sign_in.begin()
        self._bar.show_browser(sign_in, pending)
        await pending.finish()

    def _ended(self, sign_in: SignIn, failure: BurrowError | None = None) -> None:
        # A server may have been removed meanwhile.
        if identity(sign_in) in map(identity, self._services.sign_ins.all):
            self._bar.sign_in_ended(sign_in, failure)


async def _sign_out(credential: Credential) -> None:
    """Sign out. Raises `SignedOutHereOnly` when the server could not be told."""
    if not await credential.sign_out():
        raise SignedOutHereOnly(credential.by_hand)
