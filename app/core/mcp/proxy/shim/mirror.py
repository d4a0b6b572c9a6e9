"""HeaderMirror: the headers that repeat parts of a message over HTTP (MCP 2026-07-28, "Transports", standard headers).

A program that speaks to a command sends none. From that revision on a server refuses a request without them.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.core.mcp.proxy.parts import Headers
    from app.core.mcp.proxy.shim.messages import ProgramMessage

VERSION_IN_META = "io.modelcontextprotocol/protocolVersion"
TOOLS_LIST, TOOLS_CALL = "tools/list", "tools/call"
# Which parameter the header `Mcp-Name` repeats.
NAMES = {TOOLS_CALL: "name", "prompts/get": "name", "resources/read": "uri"}
# The annotation of a parameter that has a header of its own, and of which types that may be.
ANNOTATION, ANNOTATED_TYPES = "x-mcp-header", frozenset({"string", "integer", "boolean"})
MOST_TOOLS = 10_000

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
_PLAIN = re.compile(r"[\x20-\x7e]*")
_ENCODED = re.compile(r"=\?base64\?.*\?=")


class HeaderMirror:
    """Knows the annotated parameters of the tools that were listed."""

    def __init__(self) -> None:
        self._tools: dict[str, dict[tuple[str, ...], str]] = {}

    def learn(self, result: dict[str, Any]) -> None:
        """The result of a `tools/list`."""
        tools = result.get("tools")
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and isinstance(name := tool.get("name"), str):
                self._tools.pop(name, None)
                found = dict(_annotated(tool.get("inputSchema"), ()))
                if found and len(self._tools) < MOST_TOOLS:
                    self._tools[name] = found

    def headers(self, message: ProgramMessage) -> Headers:
        """The headers of a message; none for one of an earlier revision."""
        version = version_of(message)
        if not version:
            return ()
        found = [(b"mcp-protocol-version", _encoded(version)), (b"mcp-method", _encoded(message.method))]
        name = message.params.get(NAMES.get(message.method, ""))
        if isinstance(name, str):
            found.append((b"mcp-name", _encoded(name)))
            if message.method == TOOLS_CALL:
                for path, token in self._tools.get(name, {}).items():
                    value = _rendered(_at(message.params.get("arguments"), path))
                    if value is not None:
                        found.append((b"mcp-param-" + token.lower().encode(), _encoded(value)))
        return tuple(found)


def version_of(message: ProgramMessage) -> str:
    """The revision that a message says it is of; empty for one from before 2026-07-28."""
    meta = message.params.get("_meta")
    version = meta.get(VERSION_IN_META) if isinstance(meta, dict) else None
    return version if isinstance(version, str) else ""


def _annotated(schema: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    """The paths of annotated properties, through `properties` alone, with their headers."""
    found: list[tuple[tuple[str, ...], str]] = []
    waiting: list[tuple[tuple[str, ...], Any]] = [(path, schema)]
    while waiting:
        path, schema = waiting.pop()
        if not isinstance(schema, dict):
            continue
        token, kind = schema.get(ANNOTATION), schema.get("type")
        if path and isinstance(token, str) and _TOKEN.fullmatch(token) and isinstance(kind, str):
            found += [(path, token)] if kind in ANNOTATED_TYPES else []
        properties = schema.get("properties")
        if isinstance(properties, dict):
            waiting += [((*path, name), each) for name, each in properties.items()]
    return found


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _rendered(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _encoded(value: str) -> bytes:
    """A text as the value of a header ("Value Encoding")."""
    if _PLAIN.fullmatch(value) and value == value.strip() and not _ENCODED.fullmatch(value):
        return value.encode()
    return b"=?base64?%b?=" % base64.b64encode(value.encode("utf-8", "replace"))
