"""KnownAccounts: the accounts that are signed in to on this machine, and which one to start with."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from app.core.auth.key import CredentialKey
from app.core.errors import BurrowError, NotFound, Rejected
from app.core.hosts import host_name
from app.core.posthog.wire import decode_membership

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.hosts import Host
    from app.core.posthog.types import Membership, Project, User
    from app.core.storage.settings import Settings

REMEMBERED = "account:"
SIGNED_OUT = "signed_out:"
SLOT = "slot:"

log = logging.getLogger(__name__)


class KnownAccount(NamedTuple):
    """An account that somebody signed in to and did not sign out of.

    It is told as it was seen last, without a look into the keyring: its grant may have ended since.
    """

    key: CredentialKey
    user: User
    project: Project | None

    @property
    def host(self) -> str:
        """What `Services.resolve` reads: the origin of the host, or the name of the embedded workspace."""
        return self.key.issuer

    @property
    def slot(self) -> str:
        """What tells it from others of its host; empty for the first one."""
        return self.key.slot

    @property
    def name(self) -> str:
        """What people call it."""
        return self.user.email or self.user.short_name

    def is_called(self, named: str) -> bool:
        """Whether a person may mean it by `named`: its e-mail address or its slot."""
        return bool(named) and named.casefold() in {self.user.email.casefold(), self.slot.casefold()}


class KnownAccounts:
    """Reads what each account remembers of itself (`core/account.py`); keeps the slot used last for each host."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def all(self) -> tuple[KnownAccount, ...]:
        """The accounts of all hosts, by host and name."""
        found = []
        for setting, text in self._settings.under(REMEMBERED).items():
            key = setting.removeprefix(REMEMBERED)
            membership = membership_of(text, key)
            if membership is not None and self._settings.get(f"{SIGNED_OUT}{key}") is not True:
                found.append(KnownAccount(CredentialKey.parse(key), membership.user, membership.project))
        return tuple(sorted(found, key=lambda one: (one.host, one.name.casefold(), one.slot)))

    async def refresh(self) -> None:
        """Take over which accounts other processes signed in to or out of. Raises `StorageTrouble`."""
        for prefix in (REMEMBERED, SIGNED_OUT):
            await self._settings.refresh_under(prefix)

    def of(self, host: Host) -> tuple[KnownAccount, ...]:
        """The accounts of one host."""
        return tuple(account for account in self.all() if account.host in {host.key, host.origin})

    def called(self, named: str, host: Host) -> KnownAccount:
        """The account of `host` that a person names by its e-mail address or slot.

        Raises `NotFound` when there is none, `Rejected` when there are several.
        """
        of_host = self.of(host)
        found = [account for account in of_host if account.is_called(named)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(f"{account.name} ({account.slot})" if account.slot else account.name for account in of_host)
        if found:
            words = f"Several accounts of {host.name} are called {named}: {names}."
            raise Rejected(words, action="Name one by what stands in brackets.")
        there = f"There are: {names}." if names else "Nobody is signed in there."
        action = f"{there} Sign in with: burrow login --host {host.key} --account {named}"
        raise NotFound(f"There is no account {named} at {host.name}.", action=action)

    def free_slot(self, host: Host, *in_use: str) -> str:
        """A slot for one more account of `host`, none of `in_use`; the empty one while nobody is signed in there.

        An account whose name is not known yet has a slot in use.
        """
        taken = {*in_use, *(account.slot for account in self.of(host))}
        return next(slot for slot in ("", *map(str, range(2, len(taken) + 3))) if slot not in taken)

    def last_slot(self, host: Host) -> str:
        """The slot of the account of `host` that was used last."""
        slot = self._settings.get(f"{SLOT}{host.key}")
        return slot if isinstance(slot, str) else ""

    async def use(self, host: Host, slot: str) -> None:
        """Start with this account of `host` next time. Raises `StorageTrouble`."""
        if slot != self.last_slot(host):
            await self._settings.set(f"{SLOT}{host.key}", slot)


def distinct_names(accounts: Sequence[KnownAccount]) -> dict[CredentialKey, str]:
    """What people call each account, such that no two of them are called the same: `ana@example.org (PostHog EU)`.

    Accounts of one name at one host are told apart by their projects, or by their slots where those are the same.
    """
    places = distinct_places(accounts)
    return {account.key: f"{account.name} ({places[account.key]})" for account in accounts}


def distinct_places(accounts: Sequence[KnownAccount]) -> dict[CredentialKey, str]:
    """What each name of `distinct_names` has in brackets: the host, and what tells the account apart there."""
    return {account.key: _place(account, accounts) for account in accounts}


def _place(account: KnownAccount, accounts: Sequence[KnownAccount]) -> str:
    alike = [one for one in accounts if (one.host, one.name.casefold()) == (account.host, account.name.casefold())]
    place = host_name(account.host)
    if len(alike) == 1:
        return place
    projects = {one.project.name for one in alike if one.project is not None and one.project.name}
    if account.project is not None and len(projects) == len(alike):
        return f"{place}, {account.project.name}"
    return f"{place}, {account.slot}" if account.slot else place


def membership_of(remembered: object, whose: str) -> Membership | None:
    """What was remembered of an account, None when it was nothing, or nothing that can be read."""
    if not isinstance(remembered, str):
        return None
    try:
        return decode_membership(remembered)
    except BurrowError:
        log.warning("the remembered account of %s is unreadable", whose)
        return None
