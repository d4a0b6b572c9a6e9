"""SignIns: the sign-ins that this process uses now, and which of them need the user.

There is one for the current account and one for each of the user's own servers that was signed in to. Each refreshes,
ends and is signed in to again by itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from app.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.auth.credential import Credential
    from app.core.auth.status import CredentialStatus
    from app.core.backend import Backend
    from app.core.mcp.servers.own_source import OwnServers


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
    """

    credential: Credential
    title: str
    server_id: str | None
    begin: Callable[[], Awaitable[PendingSignIn]]

    @property
    def key(self) -> str:
        """The text of the credential's key, as errors name it (`Facts.credential`)."""
        return self.credential.key.text

    @property
    def status(self) -> CredentialStatus:
        """How the credential stands now."""
        return self.credential.status

    @property
    def needs_user(self) -> bool:
        """Whether only the user can help: the grant has ended, or the place where it is stored fails."""
        return self.status.needs_user


class SignIns:
    """All sign-ins in use. `changed` is emitted when there are others, or when the status of one changes."""

    def __init__(
        self, backend: Callable[[], Backend | None], backend_changed: Event[Backend | None], own: OwnServers
    ) -> None:
        self.changed: Event[None] = Event()
        self._backend = backend
        self._own = own
        self._watched: Callable[[], None] | None = None
        self._subscriptions = [backend_changed.subscribe(self._follow), own.changed.subscribe(self.changed.emit)]
        self._follow(backend())

    @property
    def all(self) -> tuple[SignIn, ...]:
        """That of the current account first, then those of own servers by title, each credential once."""
        found: dict[str, SignIn] = {}
        backend = self._backend()
        if backend is not None:
            credential = backend.credential
            found[credential.key.text] = SignIn(credential, backend.host.name, None, credential.begin_sign_in)
        for server in self._own.servers:
            held = self._own.credential_of(server)
            if held is not None:
                sign_in = SignIn(held, server.title, server.id, partial(self._own.begin_sign_in, server.id))
                found.setdefault(sign_in.key, sign_in)
        return tuple(found.values())

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
        self.changed.emit(None)
