"""What the proxy needs of the process around it, as interfaces: the services are built on this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from app.core.auth.credential import Credential
    from app.core.events import Event
    from app.core.mcp.servers.local_policies import LocalPolicies
    from app.core.mcp.servers.own_source import OwnServers
    from app.core.mcp.servers.registry import Servers
    from app.core.storage import Storage


class ProxyAccount(Protocol):
    """The account that is used now (`app.core.backend`)."""

    @property
    def changed(self) -> Event[Any]:
        """The account or its project is another one."""

    @property
    def credential(self) -> Credential: ...

    async def ready(self) -> None:
        """Wait until it is known who is signed in. Raises `BurrowError`."""


class ProxySignIn(Protocol):
    """One sign-in (`app.core.sign_ins`)."""

    @property
    def title(self) -> str: ...

    @property
    def begin(self) -> Callable[[], Awaitable[ProxyPendingSignIn]]: ...


class ProxyPendingSignIn(Protocol):
    """A sign-in that waits for the browser."""

    async def finish(self) -> None: ...

    def cancel(self) -> None: ...


class ProxySignIns(Protocol):
    """All sign-ins of the process (`app.core.sign_ins`)."""

    def met(self, *, key: str | None, server_id: str) -> ProxySignIn | None:
        """A client met a server whose sign-in is over: show that to the user. None where there is nothing to sign in.

        `key` is the text of the key of the credential, None for a server that was never signed in to.
        """


class ProxySurroundings(Protocol):
    """The services of the process (`app.core.services`)."""

    @property
    def folder(self) -> Path: ...

    @property
    def storage(self) -> Storage: ...

    @property
    def servers(self) -> Servers: ...

    @property
    def own_servers(self) -> OwnServers: ...

    @property
    def local_policies(self) -> LocalPolicies: ...

    @property
    def sign_ins(self) -> ProxySignIns: ...

    @property
    def backend(self) -> ProxyAccount | None: ...

    @property
    def backend_changed(self) -> Event[Any]: ...

    def remembered_host(self) -> str | None:
        """The host of the last start, None where there was none and where the user works without an account."""
