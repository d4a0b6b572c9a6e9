"""Parsing raw results into values (MCP `CallToolResult`, `ContentBlock`, `ResourceContents`). Nothing here raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.mcp.results.blocks import (
    AudioBlock,
    Block,
    CallResult,
    ImageBlock,
    LinkBlock,
    OtherBlock,
    ResourceBlock,
    TextBlock,
    UndecodedBlock,
)
from app.core.mcp.results.media import actual_type, decode

if TYPE_CHECKING:
    from collections.abc import Callable


def call_result(raw: object, seconds: float, message: bytes = b"") -> CallResult:
    """The result of `tools/call`. What cannot be parsed becomes an `OtherBlock`, so that the user sees it."""
    if not isinstance(raw, dict):
        return CallResult((OtherBlock(raw),), None, False, {}, seconds, message)
    return CallResult(
        blocks=_blocks(raw.get("content"), block),
        structured=raw.get("structuredContent"),
        is_error=raw.get("isError") is True,
        raw=raw,
        seconds=seconds,
        message=message,
    )


def resource_blocks(raw: dict[str, Any]) -> tuple[Block, ...]:
    """The contents of `resources/read`."""
    return _blocks(raw.get("contents"), _resource)


def block(raw: object) -> Block:
    """One content block."""
    if not isinstance(raw, dict):
        return OtherBlock(raw)
    match raw:
        case {"type": "text", "text": str(text)}:
            return TextBlock(text)
        case {"type": "image" | "audio" as kind, "data": str(data)}:
            found = decode(data)
            claimed = _text(raw, "mimeType")
            if found is None:
                return UndecodedBlock(kind, data, claimed)
            mime = actual_type(found.data, claimed or found.mime)
            return ImageBlock(found.data, mime) if kind == "image" else AudioBlock(found.data, mime)
        case {"type": "resource_link", "uri": str(uri)}:
            return LinkBlock(
                uri=uri,
                name=_text(raw, "name") or uri,
                title=_text(raw, "title"),
                description=_text(raw, "description"),
                mime=_text(raw, "mimeType"),
            )
        case {"type": "resource", "resource": dict(resource)}:
            resource_block = _resource(resource)
            return OtherBlock(raw) if isinstance(resource_block, OtherBlock) else resource_block
        case _:
            return OtherBlock(raw)


def _resource(raw: object) -> Block:
    match raw:
        case {"text": str(text)}:
            return ResourceBlock(_text(raw, "uri"), text=text, mime=_text(raw, "mimeType"))
        case {"blob": str(data)}:
            uri, claimed = _text(raw, "uri"), _text(raw, "mimeType")
            found = decode(data)
            if found is None:
                return UndecodedBlock("resource", data, claimed, uri)
            return ResourceBlock(uri, blob=found.data, mime=actual_type(found.data, claimed or found.mime))
        case _:
            return OtherBlock(raw)


def _blocks(raw: object, one: Callable[[object], Block]) -> tuple[Block, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        return (OtherBlock(raw),)
    return tuple(one(item) for item in raw)


def _text(raw: Any, name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""
