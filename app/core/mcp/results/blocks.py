"""What a call brings: content blocks, results, progress (MCP revisions 2024-11-05 to 2026-07-28)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias


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
