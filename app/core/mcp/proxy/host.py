"""ProcessHost: what the proxy's thread asks of the process around it (`ProxyHost`).

What every request needs is answered from snapshots; the rest hops to the loop of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from app.core.auth.grant.journal import SIGNED_IN
from app.core.auth.status import CredentialState
from app.core.background import BackgroundTasks
from app.core.errors import BurrowError, NotFound, SignInNeeded, VendorSignInNeeded
from app.core.mcp.programs.program import TEST_AGENT
from app.core.mcp.proxy.parts import NotReady
from app.core.mcp.proxy.targets import Targets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from app.core.auth.status import AuthEvent
    from app.core.mcp.proxy.clients import ProxyClients
    from app.core.mcp.proxy.loop_hop import LoopGate
    from app.core.mcp.proxy.parts import Decision, HttpUpstream, ProxyClient, ToolRule, Upstream
    from app.core.mcp.proxy.surroundings import ProxyAccount, ProxySurroundings
    from app.core.mcp.proxy.tool_rules import ToolRules

# How long a request waits for a process that starts or changes the account.
READY_SECONDS = 5.0


class Asker(Protocol):
    """Asks the user about a call (`app.core.mcp.proxy.approvals`), on the loop of the process."""

    async def ask(
        self, client: ProxyClient, server_id: str, tool: str, arguments: Mapping[str, Any], session: str
    ) -> Decision: ...


class SignInNotice(Protocol):
    """Tells the user that a sign-in is needed, on the loop of the process."""

    async def tell(self, key: str | None, server_id: str, title: str) -> str:
        """Tell it once; returns what to do, as a sentence for the client."""


class ProcessHost:
    """The `ProxyHost` of one process. Made and closed on its loop."""

    def __init__(
        self,
        around: ProxySurroundings,
        gate: LoopGate,
        clients: ProxyClients,
        rules: ToolRules,
        asker: Asker,
        notice: SignInNotice,
    ) -> None:
        """`gate` leads to the loop of the process."""
        self._around = around
        self._gate = gate
        self._clients = clients
        self._asker = asker
        self._notice = notice
        self._targets = Targets(around.servers, gate)
        self._rules = rules
        self._background = BackgroundTasks()
        self._account: ProxyAccount | None = None
        self._of_account: list[Callable[[], None]] = []
        self._subscriptions = [
            around.backend_changed.subscribe(self._follow),
            around.servers.changed.subscribe(lambda _: self._targets.forget()),
            around.own_servers.changed.subscribe(lambda _: self._targets.forget()),
        ]
        self._follow(around.backend)

    async def close(self) -> None:
        """Follow nothing any more."""
        self._follow(None)
        for unsubscribe in self._subscriptions:
            unsubscribe()
        await self._background.close()

    def client_of(self, key: str) -> ProxyClient | None:
        """See `ProxyHost`."""
        return self._clients.client_of(key)

    async def find_client(self, key: str) -> ProxyClient | None:
        """See `ProxyHost`."""
        return await self._gate.run(lambda: self._clients.find_client(key))

    def admits(self, key_hash: str, server_id: str) -> bool:
        """See `ProxyHost`."""
        return self._clients.admits(key_hash, server_id)

    def has_access(self, client_id: str, server_id: str) -> bool:
        """See `ProxyHost`."""
        return self._clients.has_access(client_id, server_id)

    async def upstream(self, server_id: str) -> Upstream:
        """See `ProxyHost`. Raises `NotReady` too, after five seconds."""
        found = self._targets.known(server_id)
        return found if found is not None else await self._gate.run(lambda: self._find(server_id))

    def rule(self, client: ProxyClient, server_id: str, tool: str) -> ToolRule:
        """See `ProxyHost`."""
        return self._rules.rule(client, server_id, tool)

    def asks_elsewhere(self, server_id: str, tool: str) -> bool:
        """See `ProxyHost`."""
        return self._rules.asks_elsewhere(server_id, tool)

    def hides(self, client: ProxyClient, server_id: str) -> bool:
        """See `ProxyHost`."""
        return self._rules.hides(client, server_id)

    def knows_rules(self, server_id: str) -> bool:
        """See `ProxyHost`."""
        return self._rules.fresh(server_id)

    async def rules_known(self, server_id: str) -> None:
        """See `ProxyHost`."""
        if not self._rules.fresh(server_id):
            await self._gate.run(lambda: self._rules.learn(server_id))

    async def rules_doubted(self, server_id: str) -> None:
        """See `ProxyHost`."""
        await self._gate.run(lambda: self._rules.learn_again(server_id))

    @asynccontextmanager
    async def allowed_once(self, server_id: str, tool: str) -> AsyncIterator[None]:
        """See `ProxyHost`."""
        release = asyncio.Event()
        try:
            # Cancelled on the way back, it may have been allowed all the same.
            await self._gate.run(lambda: self._allow(server_id, tool, release))
            yield
        finally:
            # Nobody waits until the policy is set back: that is tried again until it is.
            self._gate.post(release.set)

    async def ask(
        self, client: ProxyClient, server_id: str, tool: str, arguments: Mapping[str, Any], session: str
    ) -> Decision:
        """See `ProxyHost`."""
        return await self._gate.run(lambda: self._asker.ask(client, server_id, tool, arguments, session))

    def used(self, client: ProxyClient, server_id: str, tool: str | None, agent: str) -> None:
        """See `ProxyHost`."""
        if not agent.startswith(TEST_AGENT):
            self._clients.used(client.id, server_id, agent, calls=0 if tool is None else 1)

    async def sign_in_needed(self, upstream: HttpUpstream) -> str:
        """See `ProxyHost`."""
        credential = upstream.target.credential
        key = None if credential is None else credential.text
        return await self._gate.run(lambda: self._tell(key, upstream))

    async def vendor_sign_in_needed(self, upstream: HttpUpstream) -> None:
        """See `ProxyHost`."""
        failure = VendorSignInNeeded(f"The sign-in of {upstream.title} at its vendor is over.")
        self._gate.post(self._around.servers.note_failure, upstream.id, failure)

    async def _tell(self, key: str | None, upstream: HttpUpstream) -> str:
        # Another process may have signed in to it.
        with contextlib.suppress(BurrowError):
            await self._around.servers.look()
            credential = (await self._around.servers.route(upstream.id)).route.target.credential
            if credential is not None and credential.text != key:
                return f"Somebody has signed in to {upstream.title} meanwhile. Try again."
        return await self._notice.tell(key, upstream.id, upstream.title)

    async def _allow(self, server_id: str, tool: str, release: asyncio.Event) -> None:
        """Enter the registry's `allowed_once` in a task of its own; it is left when `release` is set."""
        allowed = asyncio.Event()
        failures: list[BurrowError] = []

        async def hold() -> None:
            try:
                async with self._around.servers.allowed_once(server_id, tool):
                    allowed.set()
                    await release.wait()
            except BurrowError as failure:
                failures.append(failure)

        holding = self._background.start(hold())
        entering = asyncio.ensure_future(allowed.wait())
        try:
            await asyncio.wait({holding, entering}, return_when=asyncio.FIRST_COMPLETED)
            if not allowed.is_set():
                raise failures[0] if failures else NotReady("The tool could not be allowed.")
        except BaseException:
            holding.cancel()
            raise
        finally:
            entering.cancel()

    async def _find(self, server_id: str) -> Upstream:
        try:
            return await self._targets.find(server_id)
        except SignInNeeded as failure:
            # Not even its address can be learnt.
            await self._notice.tell(failure.facts.credential, server_id, server_id)
            raise
        except NotFound:
            if not await self._learnt_more():
                raise
        return await self._targets.find(server_id)

    async def _learnt_more(self) -> bool:
        """Wait for a process that starts or changes the account; whether it may know other servers now.

        Raises `NotReady` when that takes too long, and what keeps the account from being known.
        """
        if self._around.backend is None:
            if self._around.remembered_host() is None:
                return False
            connected = asyncio.Event()
            unsubscribe = self._around.backend_changed.subscribe(lambda _: connected.set())
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await connected.wait()
            except TimeoutError:
                raise NotReady("Burrow is still starting.") from None
            finally:
                unsubscribe()
        account = self._around.backend
        if account is None:
            return True
        if account.credential.status.state not in {CredentialState.RESTORING, CredentialState.SIGNED_IN}:
            raise account.credential.no_token_error()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await account.ready()
        except TimeoutError:
            raise NotReady("Burrow still learns whose account is signed in.") from None
        return True

    def _follow(self, account: ProxyAccount | None) -> None:
        for unsubscribe in self._of_account:
            unsubscribe()
        self._of_account = []
        self._account = account
        if account is not None:
            self._of_account = [
                account.changed.subscribe(lambda _: self._targets.forget()),
                # Told before a token of another sign-in can be read (`LoopTokenSource`).
                account.credential.happened.subscribe(self._happened),
            ]
        self._targets.forget()

    def _happened(self, event: AuthEvent) -> None:
        if event.what == SIGNED_IN:
            self._targets.forget()
