"""SignIns: the sign-ins that this process uses now, and which of them need the user.

There is one for the current account and one for each of the user's own servers that was signed in to. Each refreshes,
ends and is signed in to again by itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from app.core.auth.status import CredentialState, CredentialStatus
from app.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.auth.credential import Credential
    from app.core.backend import Backend
    from app.core.mcp.servers.own_source import OwnServers


# The key of the sign-in to a server that never had one begins with this.
NEVER = "never:"
SIGNED_OUT = CredentialStatus(CredentialState.SIGNED_OUT)


class PendingSignIn(Protocol):
    """A sign-in that waits for the browser (`auth/oauth/sign_in.py`, `mcp/servers/own_source.py`)."""

    @property
    def url(self) -> str:
        """The address of the consent page."""

    @property
    def url_changed(self) -> Event[str]:
        """Tells that the consent page has another address now."""

    def open_again(self) -> None: ...

    def cancel(self) -> None: ...

    async def finish(self) -> None:
        """Wait for the browser and put the grant in force."""


class SignIn(NamedTuple):
    """One sign-in. `title` is what people call what it is for: a host, or a server.

    `server_id` names the user's own server, None for the current account. `begin` starts a new sign-in in the browser.
    `credential` is None for a server that was never signed in to. With `asked` a client of the proxy needs it.
    """

    credential: Credential | None
    title: str
    server_id: str | None
    begin: Callable[[], Awaitable[PendingSignIn]]
    asked: bool = False

    @property
    def key(self) -> str:
        """The text of the credential's key, as errors name it (`Facts.credential`)."""
        return f"{NEVER}{self.server_id}" if self.credential is None else self.credential.key.text

    @property
    def status(self) -> CredentialStatus:
        """How the credential stands now."""
        return SIGNED_OUT if self.credential is None else self.credential.status

    @property
    def needs_user(self) -> bool:
        """Whether only the user can help: the grant has ended, the place where it is stored fails, or it is `asked`."""
        return self.status.needs_user or self.asked


class SignIns:
    """All sign-ins in use. `changed` is emitted when there are others, or when the status of one changes."""

    def __init__(
        self, backend: Callable[[], Backend | None], backend_changed: Event[Backend | None], own: OwnServers
    ) -> None:
        self.changed: Event[None] = Event()
        self._backend = backend
        self._own = own
        # The servers of the user's own, and the keys of accounts, that a client met without a sign-in.
        self._asked: set[str] = set()
        self._watched: Callable[[], None] | None = None
        self._subscriptions = [backend_changed.subscribe(self._follow), own.changed.subscribe(self._own_changed)]
        self._follow(backend())

    @property
    def all(self) -> tuple[SignIn, ...]:
        """That of the current account first, then those of own servers by title, each credential once."""
        found: dict[str, SignIn] = {}
        backend = self._backend()
        if backend is not None:
            credential = backend.credential
            account = SignIn(credential, backend.host.name, None, credential.begin_sign_in)
            found[account.key] = account._replace(asked=account.key in self._asked)
        for server in self._own.servers:
            held = self._own.credential_of(server)
            asked = server.id in self._asked
            if held is not None or asked:
                begin = partial(self._own.begin_sign_in, server.id)
                sign_in = SignIn(held, server.title, server.id, begin, asked)
                found.setdefault(sign_in.key, sign_in)
        return tuple(found.values())

    def met(self, *, key: str | None, server_id: str) -> SignIn | None:
        """A client of the proxy met a server whose sign-in is over: show that until somebody signs in.

        `key` is the text of the key of the credential that the client would have used, None for a server of the user's
        own that was never signed in to. None where there is nothing to sign in to.
        """
        named = {server_id} if key is None else {key, server_id}
        of_own = {server.id for server in self._own.servers} & named
        # Two servers may share a credential: the one that comes first in `all` stands for both.
        known = {sign_in.server_id or sign_in.key for sign_in in self.all if sign_in.key == key}
        asked = known or of_own
        if not asked <= self._asked:
            self._asked |= asked
            self.changed.emit(None)
        return next((one for one in self.all if (one.server_id or one.key) in asked), None)

    @property
    def in_need(self) -> tuple[SignIn, ...]:
        """Those that need the user, in the order of `all`."""
        return tuple(sign_in for sign_in in self.all if sign_in.needs_user)

    def of(self, key: str) -> SignIn | None:
        """The sign-in that an error names by `Facts.credential`."""
        return next((sign_in for sign_in in self.all if sign_in.key == key), None)

    def close(self) -> None:
        """Follow nothing any more."""
        self._follow(None)
        for unsubscribe in self._subscriptions:
            unsubscribe()

    def _follow(self, backend: Backend | None) -> None:
        if self._watched is not None:
            self._watched()
        self._watched = None if backend is None else backend.credential.changed.subscribe(self._status_changed)
        self.changed.emit(None)

    def _status_changed(self, _status: CredentialStatus) -> None:
        self._drop_met()
        self.changed.emit(None)

    def _own_changed(self, _nothing: None) -> None:
        self._drop_met()
        self.changed.emit(None)

    def _drop_met(self) -> None:
        """Nobody has to sign in any more where somebody did, or where the server is gone."""
        if self._asked:
            open_ones = {
                one.server_id or one.key for one in self.all if one.status.state is not CredentialState.SIGNED_IN
            }
            self._asked &= open_ones
