"""ServerDefinition: what a server is and how it is reached, as a closed union.

A new kind that users add themselves is a class like `StdioServer`, here or in the file of its transport, and its name
in `OwnServer`: then it is kept, listed, called and shown. One that signs in derives from `HttpServer`.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, get_args

from app.core.auth.key import CredentialKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.mcp.protocol.transport import Transport
    from app.core.posthog.types import Installation


@dataclass(frozen=True)
class HostEndpoint:
    """The MCP endpoint of the host that the user is signed in to; it takes the same token."""

    id: str
    title: str
    url: str
    description: str = "The tools of the account itself."

    @property
    def address(self) -> str:
        """What a person reads as its address."""
        return self.url


@dataclass(frozen=True)
class InstalledServer:
    """A server that the account installed in the host's MCP store, reached through the host's proxy."""

    installation: Installation

    @property
    def id(self) -> str:
        return self.installation.id

    @property
    def title(self) -> str:
        return self.installation.title

    @property
    def description(self) -> str:
        return self.installation.description

    @property
    def address(self) -> str:
        """The vendor's own address."""
        return self.installation.url


@dataclass(frozen=True)
class ServerAuthorization:
    """How an own server is authorized, as discovery found it; `scopes` are asked for at a sign-in."""

    key: CredentialKey
    resource: str | None = None
    scopes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {"key": self.key.text, "resource": self.resource, "scopes": list(self.scopes)}

    @staticmethod
    def of_record(record: object) -> ServerAuthorization | None:
        """What `record` made; None for anything else."""
        match record:
            case {"key": str(key), "resource": str() | None as resource, "scopes": list(scopes)}:
                named = tuple(scope for scope in scopes if isinstance(scope, str))
                return ServerAuthorization(CredentialKey.parse(key), resource, named)
            case _:
                return None


@dataclass(frozen=True)
class HttpServer:
    """A server of the user's own over streamable HTTP. `authorization` is None until it was signed in to."""

    kind: ClassVar[str] = "http"
    transport_name: ClassVar[str] = "HTTP"

    id: str
    title: str
    url: str
    authorization: ServerAuthorization | None = None
    description: str = ""

    @property
    def address(self) -> str:
        """What a person reads as its address."""
        return self.url

    def transport(self, auth: Any, headers: Callable[[], Mapping[str, str]]) -> Transport:
        """How it is reached."""
        from app.core.mcp.protocol.http_transport import StreamableHttpTransport

        return StreamableHttpTransport(self.url, auth, headers)

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        known = None if self.authorization is None else self.authorization.record()
        return {
            "id": self.id,
            "title": self.title,
            "url": self.url,
            "authorization": known,
            "description": self.description,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> HttpServer:
        """What `record` made. Raises `KeyError` for anything else."""
        known = ServerAuthorization.of_record(record.get("authorization"))
        description = str(record.get("description", ""))
        return cls(str(record["id"]), str(record["title"]), str(record["url"]), known, description)


@dataclass(frozen=True)
class SseServer(HttpServer):
    """A server of the user's own over HTTP+SSE, the transport of MCP 2024-11-05."""

    kind: ClassVar[str] = "sse"
    transport_name: ClassVar[str] = "HTTP+SSE"

    def transport(self, auth: Any, headers: Callable[[], Mapping[str, str]]) -> Transport:
        """How it is reached."""
        from app.core.mcp.protocol.sse_transport import SseTransport

        return SseTransport(self.url, auth, headers)


@dataclass(frozen=True)
class StdioServer:
    """A server of the user's own that is a process of this machine. `folder` is where it is started, empty for here.

    `shared`: the clients of the proxy use one process, else each session has its own. The values of `environment` may
    be secrets. They are kept with the definition, in the settings of the data folder, which only the user can read, and
    are neither shown nor logged.
    """

    kind: ClassVar[str] = "stdio"
    transport_name: ClassVar[str] = "A process, on its pipes"
    authorization: ClassVar[None] = None

    id: str
    title: str
    command: tuple[str, ...]
    folder: str = ""
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    description: str = ""
    shared: bool = False

    @property
    def address(self) -> str:
        """The command as a shell would read it."""
        return shlex.join(self.command)

    def transport(self, auth: Any, headers: Callable[[], Mapping[str, str]]) -> Transport:
        """How it is reached: nothing on its pipes carries a credential."""
        from pathlib import Path

        from app.core.mcp.protocol.stdio_transport import StdioTransport

        folder = Path(self.folder) if self.folder else None
        return StdioTransport(self.command, folder=folder, environment=dict(self.environment))

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "id": self.id,
            "title": self.title,
            "command": list(self.command),
            "folder": self.folder,
            "environment": [list(pair) for pair in self.environment],
            "description": self.description,
            "shared": self.shared,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> StdioServer:
        """What `record` made. Raises `KeyError` for anything else."""
        environment = tuple((str(name), str(value)) for name, value in record.get("environment", ()))
        command = tuple(str(word) for word in record["command"])
        folder, description = str(record.get("folder", "")), str(record.get("description", ""))
        shared = record.get("shared") is True
        return cls(str(record["id"]), str(record["title"]), command, folder, environment, description, shared)


OwnServer: TypeAlias = HttpServer | SseServer | StdioServer
"""The servers that the user adds on this machine."""

ServerDefinition: TypeAlias = HostEndpoint | InstalledServer | OwnServer

KINDS: dict[str, type[Any]] = {each.kind: each for each in get_args(OwnServer)}


def own_server_of(record: object) -> OwnServer | None:
    """An own server from its record; None for what no version of Burrow wrote, or a newer one."""
    if not isinstance(record, dict):
        return None
    kind = KINDS.get(str(record.get("kind")))
    if kind is None:
        return None
    try:
        found: OwnServer = kind.of_record(record)
    except (KeyError, TypeError, ValueError):
        return None
    return found


def record_of(server: OwnServer) -> dict[str, Any]:
    """An own server as JSON values."""
    return {"kind": server.kind, **server.record()}
