"""Connects to a host and an account: chosen on the first page or in a menu, named on the command line, or used last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject

from app.core.auth.status import CredentialState
from app.core.errors import SignInNeeded
from app.core.hosts import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.hosts import Host
    from app.core.known_accounts import KnownAccount
    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.signin.first_run import FirstRun


class HostConnector(QObject):
    """Connects the services to a host and account, one attempt at a time, and shows the progress on the first page.

    `choose` shows the first page (the window's own doing), `stay` leaves it.
    """

    def __init__(
        self, services: Services, bridge: Bridge, *, choose: Callable[[], None], stay: Callable[[], None]
    ) -> None:
        super().__init__()
        self._services, self._bridge = services, bridge
        self._choose, self._stay = choose, stay
        self._page: FirstRun | None = None
        # Given what leaves the account in use, it calls that when the user agrees.
        self.leaves: Callable[[Callable[[], object]], None] = _at_once
        # Whether `begin` was called. Before that no loop runs.
        self._begun = False

    def page(self) -> FirstRun:
        """The first page, built when it is first needed."""
        if self._page is None:
            from app.ui.signin.first_run import FirstRun

            self._page = FirstRun(
                self.use_workspace,
                self.use_host,
                self.use_key,
                on_leave=self.leave,
                on_account=self.use_account,
                on_servers_only=self.use_no_account,
            )
        return self._page

    def update_page(self, *, can_leave: bool) -> None:
        """Have the first page offer what can be chosen now; `can_leave` says whether the places can be shown."""
        page, adding, current = self.page(), self.adding, self._services.backend
        if adding is None:
            page.set_can_leave(can_leave)
            page.offer_hosts()
        if self._services.remembered_host() is None and not self.without_account:
            # The first start: there are no accounts, and reading them would delay the first paint.
            return
        page.say_where_kept(self._services.usual_store())
        if adding is not None:
            before = self._account_before(adding)
            page.add_account_at(adding, before.name if before is not None else "")
            return
        page.offer_accounts([each for each in self.accounts if current is None or each.key != current.credential.key])

    @property
    def accounts(self) -> tuple[KnownAccount, ...]:
        """The accounts that are signed in to on this computer."""
        return self._services.accounts.all()

    @property
    def without_account(self) -> bool:
        """Whether the user works without an account."""
        return self._services.without_account

    @property
    def adding(self) -> Host | None:
        """The host to which one more account is being added, until somebody has signed in to that account."""
        backend = self._services.backend
        if backend is None or not self._services.adding:
            return None
        signed_in = {CredentialState.SIGNED_IN, CredentialState.NEEDS_SIGN_IN}
        return None if backend.credential.status.state in signed_in else backend.host

    @property
    def can_add(self) -> bool:
        """Whether the host takes one more account. The embedded workspace knows one person."""
        backend = self._services.backend
        return backend is not None and not backend.host.embedded and self.adding is None

    def begin(self, named: str | None) -> None:
        """Connect to the host that the command line names, else to the last one. Do nothing when there is neither."""
        self._begun = True
        host = named or self._services.remembered_host()
        if host is not None:
            self._try(self._connect(host))

    def use_workspace(self) -> None:
        """Open the embedded workspace."""

        def go() -> None:
            self._busy(_tr("Starting the workspace…"))
            self._try(self._connect(WORKSPACE))

        self.leaves(go)

    def use_host(self, named: str) -> None:
        """Sign in to a host in the browser, or use the account that is signed in there already."""

        def go() -> None:
            self._busy(_tr("Contacting the server…"))
            self._try(self._through_browser(named), done=self._signed_in)

        self.leaves(go)

    def use_key(self, named: str, key: str) -> None:
        """Sign in to a host with a personal API key."""

        def go() -> None:
            self._busy(_tr("Checking the key…"))
            self._try(self._with_key(named, key), done=self._signed_in)

        self.leaves(go)

    def use_account(self, account: KnownAccount) -> None:
        """Switch to another account, if the user agrees. Drafts and unsent work stay with the present one."""
        self.leaves(lambda: self.open_account(account))

    def open_account(self, account: KnownAccount) -> None:
        """Switch to another account, without a question."""
        if self._page is not None and self._page.isVisible():
            self._busy(_tr("Opening {0}…").format(account.name))
        self._try(self._connect(account.host, account.slot))

    def use_no_account(self) -> None:
        """Work without an account, with the user's own MCP servers only."""
        self.leaves(lambda: self._try(self._services.use_no_account(), done=self._signed_in))

    def add_account(self) -> None:
        """Show the sign-in page for one more account of the present host. It is kept once somebody has signed in."""
        backend = self._services.backend
        if backend is not None and self.can_add:
            slot = self._services.accounts.free_slot(backend.host, backend.credential.key.slot)
            self.leaves(lambda: self._try(self._services.connect(backend.host, slot=slot)))

    def leave(self) -> None:
        """Go back from the first page: to the places, or to the account that was used before one was to be added."""
        host = self.adding
        if host is None:
            self._stay()
            return
        # Without a slot it is the account used last, which an addition replaces only once somebody has signed in.
        self._try(self._services.connect(host))

    def refresh_accounts(self) -> None:
        """Learn which accounts other processes signed in to or out of."""
        if self._begun:
            self._bridge.spawn(self, self._services.accounts.refresh(), key="accounts")

    def _account_before(self, host: Host) -> KnownAccount | None:
        accounts = self._services.accounts
        return next((each for each in accounts.of(host) if each.slot == accounts.last_slot(host)), None)

    async def _connect(self, named: str, slot: str | None = None) -> Backend:
        return await self._services.connect(await self._services.resolve(named), slot=slot)

    async def _to_sign_in(self, named: str) -> Backend:
        """The backend to sign in to: the account that is being added, else the host's account that was used last."""
        adding, backend = self.adding, self._services.backend
        if backend is not None and adding is not None and adding.origin == named:
            # Before that it is not known whether somebody is signed in.
            await backend.credential.wait_restored()
            return backend
        return await self._connect(named)

    async def _through_browser(self, named: str) -> None:
        credential = (await self._to_sign_in(named)).credential
        if credential.status.state is CredentialState.SIGNED_IN:
            return
        await self._services.keep_where_usual()
        attempt = await credential.begin_sign_in()
        if self._page is not None:
            self._page.waiting(attempt)
        await attempt.finish()

    async def _with_key(self, named: str, key: str) -> None:
        backend = await self._to_sign_in(named)
        adding = self.adding is not None
        await self._services.keep_where_usual()
        await backend.sign_in_with_key(key)
        try:
            await backend.ready()
        except SignInNeeded:
            if adding:
                # An account that nobody was ever signed in to is not kept for a key that was refused.
                await backend.credential.sign_out()
            raise

    def _busy(self, words: str) -> None:
        self.page().busy(words)

    def _try(self, attempt: Coroutine[Any, Any, object], done: Callable[[], None] | None = None) -> None:
        # One key for every way: what is chosen last replaces what is still under way, its browser too.
        self._bridge.spawn(self, attempt, done=lambda _: (done or self._idle)(), failed=self._failed, key="connecting")

    def _idle(self) -> None:
        if self._page is not None:
            self._page.idle()

    def _signed_in(self) -> None:
        self._idle()
        # The choice of a server may still be shown, from an attempt that failed.
        self._stay()

    def _failed(self, failure: BurrowError) -> None:
        self._choose()
        self.page().failed(failure)


def _at_once(go: Callable[[], object]) -> None:
    go()


def _tr(text: str) -> str:
    return QCoreApplication.translate("HostConnector", text)
