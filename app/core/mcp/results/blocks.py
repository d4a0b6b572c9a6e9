"""The values of results: content blocks, call results, progress (MCP revisions 2024-11-05 to 2026-07-28)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class TextBlock:
    text: str


@dataclass(frozen=True)
class ImageBlock:
    """`mime` is what the first bytes show, else what the server says (`media.actual_type`); so for the others."""

    data: bytes = field(repr=False)
    mime: str


@dataclass(frozen=True)
class AudioBlock:
    data: bytes = field(repr=False)
    mime: str


@dataclass(frozen=True)
class UndecodedBlock:
    """Binary content that is not base64: `text` is what the server sent instead. `kind` as in the block's `type`."""

    kind: str
    text: str = field(repr=False)
    mime: str = ""
    uri: str = ""


@dataclass(frozen=True)
class LinkBlock:
    """A link to a resource, which can be read by its `uri`."""

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
    """A block of an unknown type, or one that is invalid for its type."""

    raw: Any


Block: TypeAlias = TextBlock | ImageBlock | AudioBlock | LinkBlock | ResourceBlock | UndecodedBlock | OtherBlock


@dataclass(frozen=True)
class CallResult:
    """What a tool returned.

    `is_error` is the tool's own statement. Such a result is content to show, not an exception. `structured` is None
    both when it is absent and when it is null; `raw` has the difference. `seconds` is the duration of the call.
    `message` is the message that held the result, byte for byte; empty where its bytes are not known.
    """

    blocks: tuple[Block, ...]
    structured: Any | None
    is_error: bool
    raw: dict[str, Any]
    seconds: float
    message: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Progress:
    """The progress of a call. `total` is None when the server does not say."""

    value: float
    total: float | None = None
    message: str | None = None
