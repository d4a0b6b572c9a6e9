"""Migrations of the MCP store's tables, appended to the core's by `app.workspace.schema`."""

from __future__ import annotations

STORE: tuple[str, ...] = ()
