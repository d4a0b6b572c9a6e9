"""Account: who is signed in, their projects and the one chosen, and for which signing in that was learnt.

Several processes share a grant, and any of them may sign in as somebody else. What is remembered shows saved data at
once; only what was learnt for the grant in use says whose things may be sent (`sure`).
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
    """The account of one host. `known` is None until somebody was ever signed in."""

    def __init__(self, host: Host, session: Credential, accounts: Accounts, settings: Settings) -> None:
        self._host = host
        self._session = session
        self._accounts = accounts
        self._settings = settings
        self._key = f"{REMEMBERED}{session.key.text}"
        self._signed_out = f"{SIGNED_OUT}{session.key.text}"
        self._kept = self.known = self._recalled()

    @property
    def scope(self) -> Scope | None:
        """Whose drafts, outbox and caches to use."""
        return None if self.known is None else Scope(self._host.key, self.known.user.account_key)

    @property
    def sure(self) -> bool:
        """Whether the account is that of the grant in use, and not only of an earlier one."""
        grant, known = self._session.grant, self.known
        return grant is not None and known is not None and grant.sign_in == known.sign_in

    def check(self, scope: Scope) -> None:
        """Raises `SignInNeeded` unless what belongs to `scope` is certain to be that of whoever is signed in."""
        if not self.sure or self.scope != scope:
            words = "Somebody else is signed in. What was not sent is kept."
            raise SignInNeeded(words, Facts(code=SOMEBODY_ELSE, origin=self._host.origin))

    async def learn(self) -> bool:
        """Ask the server; whether it brought anything new. What was known stays when it fails.

        See docs/wire.md, "Building the list of projects". Asked again when somebody signs in meanwhile.
        """
        while True:
            grant = self._session.grant
            me = await self._accounts.me()
            tokens = None if grant is None else grant.tokens
            teams, organizations = (tokens.scoped_teams, tokens.scoped_organizations) if tokens else ((), ())
            projects = await self._accounts.projects(teams, organizations, me)
            now = self._session.grant
            if now is None:
                raise self._session.no_token_error()
            if grant is not None and grant.sign_in == now.sign_in:
                break
        before = self.known
        self.known = Membership(me, projects, self._choice(me, projects), grant.sign_in)
        return before is None or msgspec.structs.replace(before, sign_in=grant.sign_in) != self.known

    def choose(self, project_id: int) -> bool:
        """Work in another project; whether it is another one. Raises `Rejected` for one that the account has not."""
        projects = () if self.known is None else self.known.projects
        chosen = next((project for project in projects if project.id == project_id), None)
        if self.known is None or chosen is None:
            raise Rejected("The account has no such project.")
        if chosen == self.known.project:
            return False
        self.known = msgspec.structs.replace(self.known, project=chosen)
        return True

    def distrust(self) -> bool:
        """Forget the account if it was remembered for another signing in than that of the grant in use."""
        if self.known is None or self.sure:
            return False
        self.known = None
        return True

    async def remember(self) -> None:
        """Keep what is known for the next start."""
        if self.known is not None and self.known != self._kept:
            self._kept = self.known
            await self._settings.set(self._key, encode_membership(self.known))

    async def remember_nobody(self) -> None:
        """Somebody signs in: until it is learnt who, no process is to start with the account of before."""
        self._kept = None
        await self._settings.remove(self._key)
        await self._settings.remove(self._signed_out)

    async def remember_signed_out(self) -> None:
        """Somebody signed out: what is saved stays, but the account is no longer one of `known_accounts`."""
        await self._settings.set(self._signed_out, True)

    def _choice(self, me: User, projects: tuple[Project, ...]) -> Project | None:
        """The project chosen before if the account is the same and still has it, else the server's."""
        before = self.known
        same = before is not None and before.user.account_key == me.account_key
        chosen = before.project if before is not None and same else None
        by_id = {project.id: project for project in projects}
        wanted = [project.id for project in (chosen, me.team) if project is not None]
        return next((by_id[key] for key in wanted if key in by_id), next(iter(projects), None))

    def _recalled(self) -> Membership | None:
        return membership_of(self._settings.get(self._key), self._host.key)
