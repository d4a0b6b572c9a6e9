"""The values of MCP that Burrow shows: servers, tools, results, progress (MCP revisions 2024-11-05 to 2026-07-28)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from app.core.auth.http.target import CredentialAtStake
    from app.core.posthog.types import Installation


class ServerState(Enum):
    """How a server stands; the value is the word a person reads."""

    READY = "Ready"
    SIGN_IN = "Finish connecting"
    RECONNECT = "Reconnect"
    DISABLED = "Off"
    TROUBLE = "Trouble"
    UNKNOWN = "Not contacted yet"


@dataclass(frozen=True)
class Server:
    """A server of the list.

    `id` is stable between starts. `owner` says whose credential its failures concern. `tool_count` is None until known.
    `trouble` holds the server's own words while `state` is not READY. `protocol` is the revision agreed on, None before
    the first connection.
    """

    id: str
    title: str
    url: str
    description: str
    owner: CredentialAtStake
    state: ServerState
    installation: Installation | None = None
    tool_count: int | None = None
    trouble: str | None = None
    protocol: str | None = None

    @property
    def trusted(self) -> bool:
        """Whether what it claims of its tools may decide that a call is sent again: the host's own, its catalogue's.

        Anybody can make a server and call its tools harmless.
        """
        return self.installation is None or self.installation.template_id is not None


@dataclass(frozen=True)
class Annotations:
    """What a server claims about a tool: hints, never facts. None means that it claims nothing."""

    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None

    @property
    def repeatable(self) -> bool:
        """Whether calling twice is claimed to do no more than calling once."""
        return self.read_only is True or self.idempotent is True


@dataclass(frozen=True)
class ToolInfo:
    """One row of a server's tool list.

    `row` is its place in that list and its identity: names may repeat. `policy` is the effective approval state of the
    MCP store, None where no policy is kept. `problem` says why the row cannot be relied on. `raw` is the server's JSON
    unchanged.
    """

    name: str
    title: str = ""
    description: str = ""
    input_schema: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    annotations: Annotations = field(default_factory=Annotations)
    policy: str | None = None
    locked: bool = False
    problem: str | None = None
    raw: dict[str, Any] = field(default_factory=dict)
    row: int = 0

    @property
    def label(self) -> str:
        return self.title or self.name or "(no name)"


@dataclass(frozen=True)
class TextBlock:
    text: str


@dataclass(frozen=True)
class ImageBlock:
    data: bytes = field(repr=False)
    mime: str


@dataclass(frozen=True)
class AudioBlock:
    data: bytes = field(repr=False)
    mime: str


@dataclass(frozen=True)
class LinkBlock:
    """A resource that the server can be asked for by `uri`."""

    uri: str
    name: str
    title: str = ""
    description: str = ""
    mime: str = ""


@dataclass(frozen=True)
class ResourceBlock:
    """The content of a resource: `text`, or `blob` when it is binary."""

    uri: str
    text: str | None = None
    blob: bytes | None = field(default=None, repr=False)
    mime: str = ""


@dataclass(frozen=True)
class OtherBlock:
    """A block of a kind this version does not know, or one that breaks its kind's rules."""

    raw: Any


Block: TypeAlias = TextBlock | ImageBlock | AudioBlock | LinkBlock | ResourceBlock | OtherBlock


@dataclass(frozen=True)
class CallResult:
    """What a tool returned.

    `is_error` is the tool's own verdict; such a result is content to show, not an exception. `structured` is None both
    when absent and when null; `raw` tells them apart. `seconds` is the time from start to answer.
    """

    blocks: tuple[Block, ...]
    structured: Any | None
    is_error: bool
    raw: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Progress:
    """How far a call got; `total` is None when the server does not say."""

    value: float
    total: float | None = None
    message: str | None = None


def installation_state(installation: Installation) -> ServerState:
    """Contract section 4.1: an unfinished sign-in goes before an ended one; a switched-off server is neither."""
    if not installation.is_enabled:
        return ServerState.DISABLED
    if installation.pending_oauth:
        return ServerState.SIGN_IN
    if installation.needs_reauth:
        return ServerState.RECONNECT
    return ServerState.READY
