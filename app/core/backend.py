"""Backend: everything that speaks to one host as one person. No window anywhere.

The HTTP client, the keyring and the MCP SDK are loaded by the first call that needs them; the MCP store and servers are
made when somebody first asks for them.
"""

from __future__ import annotations

import asyncio
import logging
from functools import cached_property
from typing import TYPE_CHECKING

from app.core.account import Account
from app.core.auth.grant.journal import SIGNED_IN, SIGNED_OUT
from app.core.auth.status import ELSEWHERE, AuthEvent, CredentialState, CredentialStatus
from app.core.background import BackgroundTasks
from app.core.clock import watch_sleep
from app.core.diagnostics.timeline import Timeline
from app.core.errors import BurrowError, NotFound, SignInNeeded
from app.core.events import Event
from app.core.fetcher import IN_FLIGHT, Admission, Fetcher
from app.core.posthog.accounts import Accounts
from app.core.posthog.profile import sign_in_with_key, sign_in_with_ticket
from app.core.posthog.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.auth.credential import Credential
    from app.core.auth.http.clients import HttpClients
    from app.core.auth.oauth.step_up import StepUp
    from app.core.diagnostics.activity import Activity
    from app.core.embedded import EmbeddedWorkspace
    from app.core.hosts import Host
    from app.core.lab import Lab
    from app.core.mcp.servers.local_policies import LocalPolicies
    from app.core.mcp.servers.single_calls import SingleCalls
    from app.core.mcp.servers.source import ServerSource
    from app.core.posthog.github import GitHub
    from app.core.posthog.models import AgentModels
    from app.core.posthog.run_start import RunStart
    from app.core.posthog.runs import Runs
    from app.core.posthog.store import McpStore
    from app.core.posthog.types import Project, User
    from app.core.storage import Scope, Storage

log = logging.getLogger(__name__)

# How long until a host that could not be reached is asked again.
RECHECK_SECONDS = (3.0, 10.0)
RECHECK_GROWTH = 1.5


class Backend:
    """Everything that speaks to one host as one person.

    `account`, `projects` and `project` are those of the last start until the host has answered, so that saved data can
    be shown at once. `changed` tells when one of them changes. What `fetcher` or a server of the account is sent
    belongs to the account that is shown when it is asked for: after a sign-in it waits until it is known whose it was.
    """

    def __init__(
        self,
        host: Host,
        credential: Credential,
        transport: HttpClients,
        storage: Storage,
        activity: Activity,
        *,
        role: str,
        workspace: EmbeddedWorkspace | None = None,
        policies: Callable[[], LocalPolicies] | None = None,
    ) -> None:
        """`role` is what records call this process; `workspace` is the embedded one where `host` is that.

        `policies` gives those of the tools of the host's own endpoint; without it, none are kept.
        """
        self.host = host
        self.changed: Event[Backend] = Event()
        self.credential = credential
        self.storage = storage
        self.activity = activity
        self._workspace = workspace
        self._policies = policies
        self.timeline = Timeline.of(credential, role)
        gate = asyncio.Semaphore(IN_FLIGHT)
        self.unbound_fetcher = Fetcher(transport, credential, host, gate=gate)
        self.fetcher = Fetcher(transport, credential, host, gate=gate, owner=self)
        self.accounts = Accounts(self.unbound_fetcher)
        self.tasks = Tasks(self.fetcher, self.require_project)
        self._account = Account(host, self.credential, self.accounts, storage.settings)
        self._background = BackgroundTasks()
        self._lab: tuple[str | None, Lab] | None = None
        self._signed_in_here = False
        self._loading: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._subscriptions = [
            self.credential.changed.subscribe(self._credential_changed),
            self.credential.happened.subscribe(self._auth_happened),
            self.fetcher.finished.subscribe(self.activity.record_request),
            self.unbound_fetcher.finished.subscribe(self.activity.record_request),
        ]

    @cached_property
    def github(self) -> GitHub:
        """Repositories and branches of the current project, and who has connected GitHub."""
        from app.core.posthog.github import GitHub

        return GitHub(self.fetcher, self.host, self.require_project, self.tasks.repositories)

    @cached_property
    def models(self) -> AgentModels:
        """The models that runs can be carried out with."""
        from app.core.posthog.models import AgentModels

        return AgentModels(self.fetcher, self.host, self.require_project)

    @cached_property
    def run_start(self) -> RunStart:
        """Starts runs in the cloud."""
        from app.core.posthog.run_attempts import KeptAttempts
        from app.core.posthog.run_start import RunStart

        storage = self.storage
        kept = KeptAttempts(storage.run_starts, storage.attachments, lambda: self.scope, self.require_project)
        return RunStart(self.fetcher, self.require_project, self.models, self.github, kept)

    @cached_property
    def run_calls(self) -> Runs:
        """The calls about single runs of the current project."""
        from app.core.posthog.runs import Runs

        return Runs(self.fetcher, self.require_project)

    @cached_property
    def store(self) -> McpStore:
        """The MCP store of the current project."""
        from app.core.posthog.store import McpStore

        return McpStore(self.fetcher, self.require_project)

    @cached_property
    def server_sources(self) -> tuple[ServerSource, ...]:
        """The MCP servers that the account can use: the host's own endpoint and the store's installations."""
        from app.core.mcp.servers.account import McpAccount
        from app.core.mcp.servers.host_source import HostSource
        from app.core.mcp.servers.store_source import StoreSource

        account = McpAccount(
            self.host,
            self.credential,
            scope=lambda: self.scope,
            project=lambda: self.project.id if self.project else None,
            admit=self.admit,
            key=self.credential.key,
        )
        policies = None if self._policies is None else self._policies()
        return HostSource(account, policies), StoreSource(account, self.store, self.single_calls)

    @cached_property
    def single_calls(self) -> SingleCalls:
        """The tools that are allowed for one call."""
        from app.core.mcp.servers.single_calls import SingleCalls
        from app.core.posthog.store import McpStore

        return SingleCalls(
            self.storage.raised_policies,
            lambda project: McpStore(self.fetcher, lambda: project),
            lambda: self.scope,
            lambda: self.project.id if self.project else None,
        )

    @cached_property
    def step_up(self) -> StepUp:
        """What the account was asked to permit besides, and whether asking may help."""
        from app.core.auth.oauth.step_up import StepUp

        return StepUp(lambda: self.credential.grant, lambda: self.scope, self.ready)

    @property
    def lab(self) -> Lab | None:
        """The fault switchboard, when the host is a workspace; with another secret once it was started again."""
        if not self.host.embedded and self.host.mcp_url != f"{self.host.origin}/mcp":
            return None
        from app.core.lab import Lab

        ready = None if self._workspace is None else self._workspace.ready
        secret = self.host.secret if ready is None else ready.secret
        if self._lab is None or self._lab[0] != secret:
            self._lab = (secret, Lab(self.host.origin, secret))
        return self._lab[1]

    @property
    def account(self) -> User | None:
        """Who is signed in, or was the last time."""
        known = self._account.known
        return None if known is None else known.user

    @property
    def projects(self) -> tuple[Project, ...]:
        known = self._account.known
        return () if known is None else known.projects

    @property
    def project(self) -> Project | None:
        known = self._account.known
        return None if known is None else known.project

    @property
    def scope(self) -> Scope | None:
        """Whose drafts, outbox and caches to use; None until an account was ever known."""
        return self._account.scope

    @property
    def sure(self) -> bool:
        """Whether `account` is that of the grant in use; it may be that of an earlier signing in."""
        return self._account.sure

    async def admit(self, scope: Scope | None) -> Admission:
        """Wait until it is `sure` who is signed in. Returns at once if `scope` is None: no account was known yet.

        Raises `SignInNeeded` if it is another account than `scope`, and whatever keeps it from being known.
        """
        if scope is not None:
            while not self.sure:
                await self._learned()
            self._account.check(scope)
        return Admission(scope)

    def require_project(self) -> int:
        """The current project's id. Raises `NotFound` while there is none."""
        if self.project is None:
            raise NotFound("No project is selected.", action="Choose a project of this account.")
        return self.project.id

    async def start(self) -> None:
        """Restore the credential; on the embedded workspace, sign in without asking."""
        self._background.start(watch_sleep(self.credential.oauth.time.clock, lambda: self.credential.wake(slept=True)))
        if self._workspace is not None:
            await sign_in_with_ticket(self.credential, await self._workspace.ticket())
        else:
            await self.credential.restore()

    async def sign_in_with_key(self, key: str) -> None:
        """Use a personal API key. Raises `Rejected` (attr `key`) when it cannot be one."""
        await sign_in_with_key(self.credential, key)

    async def ready(self) -> None:
        """Wait until it is clear who is signed in, and until account and project are known.

        Raises what keeps them from being known: `SignInNeeded`, `VaultTrouble`, `Offline`, `NotFound`, …
        """
        await self._learned()
        self.require_project()

    async def select_project(self, project_id: int) -> None:
        """Work in another project from now on. Raises `Rejected` for one that the account does not have."""
        if self._account.choose(project_id):
            self.changed.emit(self)
            await self._account.remember()

    async def close(self) -> None:
        """Stop everything that this backend started; the credential stays with whoever opened it."""
        for unsubscribe in self._subscriptions:
            unsubscribe()
        if "single_calls" in self.__dict__:
            await self.single_calls.close()
        await self._background.close()

    async def _learned(self) -> None:
        """Wait until the host has said who is signed in, since the last signing in."""
        await self.credential.wait_restored()
        if self.credential.status.state is not CredentialState.SIGNED_IN:
            raise self.credential.no_token_error()
        if self._loading is None or _failed(self._loading) or (self._loading.done() and not self.sure):
            self._loading = self._background.start(self._load())
        await asyncio.shield(self._loading)

    def _credential_changed(self, status: CredentialStatus) -> None:
        if status.state is not CredentialState.SIGNED_IN:
            self._loading = None
        elif self._loading is None:
            if not self._signed_in_here and self._account.drop_unsure():
                self.changed.emit(self)
            self._loading = self._background.start(self._load())
        if status.unreachable:
            self._keep_asking()

    async def _load(self) -> None:
        """Learn account and projects; what was known stays when it fails."""
        try:
            changed = await self._account.learn()
        except BurrowError as failure:
            if failure.retryable and not self.sure:
                self._keep_asking()
            raise
        if changed:
            self.changed.emit(self)
        # A former process may have died during a call that it had allowed.
        self.single_calls.set_back_soon()
        await self._account.remember()

    def _keep_asking(self) -> None:
        if self._checking is None or self._checking.done():
            self._checking = self._background.start(self._check())

    @property
    def _unsettled(self) -> bool:
        """Whether the host cannot be reached, or it is not known who is signed in there."""
        status = self.credential.status
        return status.unreachable or (status.state is CredentialState.SIGNED_IN and not self.sure)

    async def _check(self) -> None:
        """Ask the host itself until it answers again (docs/wire.md, "Hosts and origins")."""
        pause = RECHECK_SECONDS[0]
        while self._unsettled:
            await asyncio.sleep(pause)
            pause = min(pause * RECHECK_GROWTH, RECHECK_SECONDS[1])
            self.credential.wake()
            self._loading = self._background.start(self._load())
            try:
                await asyncio.shield(self._loading)
            except SignInNeeded:
                return
            except BurrowError as failure:
                log.info("%s still fails: %s", self.host.origin, type(failure).__name__)
                if not failure.retryable and not self.credential.status.unreachable:
                    return

    def _auth_happened(self, event: AuthEvent) -> None:
        self.activity.record_auth(self.credential.key, self.host.origin, event)
        self.timeline.record_event(event)
        if event.what == SIGNED_OUT:
            self._background.record(self._account.remember_signed_out())
        if event.what == SIGNED_IN:
            # Perhaps as somebody else; the state of the credential may be what it was.
            self._signed_in_here = True
            if event.why != ELSEWHERE:
                self._background.record(self._account.forget())
            self._loading = self._background.start(self._load())


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
