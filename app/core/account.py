"""Account: the signed-in user, their projects, the selected project, and the sign-in that this is known for.

Several processes share a grant, and any of them may sign in as another user. The remembered account is good enough to
show saved data at once. Only an account that was learnt for the current grant says whose data may be sent (`sure`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.errors import Facts, Rejected, SignInNeeded
from app.core.known_accounts import REMEMBERED, SIGNED_OUT, membership_of
from app.core.posthog.types import Membership
from app.core.posthog.wire import encode_membership
from app.core.storage import Scope

if TYPE_CHECKING:
    from app.core.auth.credential import Credential
    from app.core.hosts import Host
    from app.core.posthog.accounts import Accounts
    from app.core.posthog.types import Project, User
    from app.core.storage.settings import Settings

SOMEBODY_ELSE = "somebody-else"


class Account:
    """The account of one host. `known` is None until one was ever learnt."""

    def __init__(self, host: Host, credential: Credential, accounts: Accounts, settings: Settings) -> None:
        self._host = host
        self._credential = credential
        self._accounts = accounts
        self._settings = settings
        self._key = f"{REMEMBERED}{credential.key.text}"
        self._signed_out = f"{SIGNED_OUT}{credential.key.text}"
        self._stored = self.known = self._remembered()

    @property
    def scope(self) -> Scope | None:
        """Whose drafts, outbox and cached lists to use."""
        return None if self.known is None else Scope(self._host.key, self.known.user.account_key)

    @property
    def sure(self) -> bool:
        """Whether the account is known to be that of the current grant."""
        # Refreshes keep the id of the sign-in. Only another sign-in makes the account doubtful.
        grant, known = self._credential.grant, self.known
        return grant is not None and known is not None and grant.sign_in == known.sign_in

    def check(self, scope: Scope) -> None:
        """Raises `SignInNeeded` unless `scope` is known to be the signed-in account's."""
        if not self.sure or self.scope != scope:
            cause = "Somebody else is signed in. What was not sent is kept."
            raise SignInNeeded(cause, Facts(code=SOMEBODY_ELSE, origin=self._host.origin))

    async def learn(self) -> bool:
        """Ask the host for the account and its projects; returns whether anything changed.

        See docs/wire.md, "Building the list of projects". When it raises, what was known stays.
        """
        # Another sign-in between the first and the last request would mix two accounts, so everything is asked again.
        while True:
            grant = self._credential.grant
            me = await self._accounts.me()
            tokens = None if grant is None else grant.tokens
            teams, organizations = (tokens.scoped_teams, tokens.scoped_organizations) if tokens else ((), ())
            projects = await self._accounts.projects(teams, organizations, me)
            now = self._credential.grant
            if now is None:
                raise self._credential.no_token_error()
            if grant is not None and grant.sign_in == now.sign_in:
                break
        before = self.known
        self.known = Membership(me, projects, self._choice(me, projects), grant.sign_in)
        return before is None or msgspec.structs.replace(before, sign_in=grant.sign_in) != self.known

    def choose(self, project_id: int) -> bool:
        """Select a project; returns whether that changed. Raises `Rejected` for one that the account does not have."""
        projects = () if self.known is None else self.known.projects
        chosen = next((project for project in projects if project.id == project_id), None)
        if self.known is None or chosen is None:
            raise Rejected("The account has no such project.")
        if chosen == self.known.project:
            return False
        self.known = msgspec.structs.replace(self.known, project=chosen)
        return True

    def drop_unsure(self) -> bool:
        """Forget the account if it was remembered for another sign-in; returns whether it was."""
        if self.known is None or self.sure:
            return False
        self.known = None
        return True

    async def remember(self) -> None:
        """Store what is known, for the next start."""
        if self.known is not None and self.known != self._stored:
            self._stored = self.known
            await self._settings.set(self._key, encode_membership(self.known))

    async def forget(self) -> None:
        """A sign-in began: until its account is learnt, no process may start with the former one."""
        self._stored = None
        await self._settings.remove(self._key)
        await self._settings.remove(self._signed_out)

    async def remember_signed_out(self) -> None:
        """The user signed out: saved data stays, but the account is no longer one of `known_accounts`."""
        await self._settings.set(self._signed_out, True)

    def _choice(self, me: User, projects: tuple[Project, ...]) -> Project | None:
        """The project selected before, if the same account still has it, else the server's, else the first."""
        before = self.known
        same = before is not None and before.user.account_key == me.account_key
        chosen = before.project if before is not None and same else None
        by_id = {project.id: project for project in projects}
        wanted = [project.id for project in (chosen, me.team) if project is not None]
        return next((by_id[key] for key in wanted if key in by_id), next(iter(projects), None))

    def _remembered(self) -> Membership | None:
        return membership_of(self._settings.get(self._key), self._host.key)
