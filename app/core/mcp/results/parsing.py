"""Parsing raw results into values (MCP `CallToolResult`, `ContentBlock`, `ResourceContents`). Nothing here raises."""

from __future__ import annotations

import base64
import binascii
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
)

if TYPE_CHECKING:
    from collections.abc import Callable


def call_result(raw: dict[str, Any], seconds: float) -> CallResult:
    """The result of `tools/call`. What cannot be parsed becomes an `OtherBlock`, so that the user sees it."""
    return CallResult(
        blocks=_blocks(raw.get("content"), block),
        structured=raw.get("structuredContent"),
        is_error=raw.get("isError") is True,
        raw=raw,
        seconds=seconds,
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
        case {"type": "image", "data": str(data), "mimeType": str(mime)}:
            # A block that is invalid is shown as it is. Dropping it would hide a part of the result.
            image = _decoded(data)
            return OtherBlock(raw) if image is None else ImageBlock(image, mime)
        case {"type": "audio", "data": str(data), "mimeType": str(mime)}:
            audio = _decoded(data)
            return OtherBlock(raw) if audio is None else AudioBlock(audio, mime)
        case {"type": "resource_link", "uri": str(uri)}:
            return LinkBlock(
                uri=uri,
                name=_text(raw, "name") or uri,
                title=_text(raw, "title"),
                description=_text(raw, "description"),
                mime=_text(raw, "mimeType"),
            )
        case {"type": "resource", "resource": dict(resource)}:
            found = _resource(resource)
            return OtherBlock(raw) if isinstance(found, OtherBlock) else found
        case _:
            return OtherBlock(raw)


def _resource(raw: object) -> Block:
    match raw:
        case {"uri": str(uri), "text": str(text)}:
            return ResourceBlock(uri, text=text, mime=_text(raw, "mimeType"))
        case {"uri": str(uri), "blob": str(data)}:
            blob = _decoded(data)
            return OtherBlock(raw) if blob is None else ResourceBlock(uri, blob=blob, mime=_text(raw, "mimeType"))
        case _:
            return OtherBlock(raw)


def _blocks(raw: object, one: Callable[[object], Block]) -> tuple[Block, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        return (OtherBlock(raw),)
    return tuple(one(item) for item in raw)


def _decoded(data: str) -> bytes | None:
    # Without `validate` invalid characters are skipped, and a broken image would be shown as if it were whole.
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def _text(raw: Any, name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""
