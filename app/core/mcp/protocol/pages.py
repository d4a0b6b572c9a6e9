"""PageWalk: following `nextCursor` through the pages of `tools/list` (MCP, "Pagination").

A cursor is opaque, and the empty text is one too: only null and absence end a list (revision 2026-07-28). Servers make
mistakes with it, so a walk ends by itself, keeps what it has, and says what is odd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.core.errors import ProtocolTrouble

if TYPE_CHECKING:
    from app.core.mcp.protocol.exchange import Exchange

PAGES_LIMIT = 100
TOOLS_LIMIT = 5_000
# What servers answer to a cursor that they do not know: the former by the standard (MCP, "Pagination", "Error
# handling"), the latter when they stumble over it.
UNKNOWN_CURSOR = frozenset({-32602, -32603})
BAD_REQUEST = 400
REPEATS = "The server's list of tools does not end but repeats. Each tool is listed once."
MORE = "The server has more tools than are listed here."
NO_CURSOR = "The server's list of tools goes on, but it does not say where: its cursor is not a text."
BROKEN_OFF = "The server refused to list the rest of its tools."


class PageWalk:
    """One walk. `items` are the tools so far, `note` what is odd about the list, `cursor` the next page to ask for."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.note = ""
        self.cursor: str | None = None
        self.ended = False
        self._pages = 0
        self._cursors: set[str] = set()
        self._known: set[bytes] = set()

    def add(self, page: dict[str, Any]) -> None:
        """Take the next page. Raises `ProtocolTrouble` when it has no list of tools."""
        tools = page.get("tools")
        if not isinstance(tools, list):
            raise ProtocolTrouble("The server's tool list is not a list.")
        self._pages += 1
        new = self._new(tools)
        self.items += new[: TOOLS_LIMIT - len(self.items)]
        cursor = page.get("nextCursor")
        if cursor is None:
            self._end()
        elif not isinstance(cursor, str):
            self._end(NO_CURSOR)
        elif cursor in self._cursors or (tools and not new):
            self._end(REPEATS)
        elif len(self.items) >= TOOLS_LIMIT or self._pages >= PAGES_LIMIT:
            self._end(MORE)
        else:
            self._cursors.add(cursor)
            self.cursor = cursor

    def stop_at(self, failed: Exchange) -> bool:
        """Whether the walk ends with what it has, because the server does not know the cursor that it gave."""
        # The SDK reports a failure of HTTP as a JSON-RPC error, too. Of those only 400 can be about the cursor.
        answered = failed.status is None or failed.status <= BAD_REQUEST
        if self._pages == 0 or not answered or failed.error is None or failed.error.code not in UNKNOWN_CURSOR:
            return False
        self._end(BROKEN_OFF)
        return True

    def _end(self, note: str = "") -> None:
        self.ended, self.cursor, self.note = True, None, note

    def _new(self, tools: list[Any]) -> list[Any]:
        """The tools that no earlier page had. One that a page has twice stays: the row says so."""
        keys = [msgspec.json.encode(tool, order="sorted") for tool in tools]
        new = [tool for tool, key in zip(tools, keys, strict=True) if key not in self._known]
        self._known.update(keys)
        return new
