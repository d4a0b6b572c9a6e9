"""The Servers place: MCP servers, their tools, and calling one by hand."""

from __future__ import annotations

from app.ui.servers.place import ServersPlace

__all__ = ["ServersPlace"]
