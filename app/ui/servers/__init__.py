"""The Servers place: MCP servers, their tools, and calling one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.place_info import PlaceInfo
from app.ui.translation import marked

if TYPE_CHECKING:
    from app.ui.context import Context
    from app.ui.place import Place


def _make(context: Context) -> Place:
    from app.ui.servers.place import ServersPlace

    return ServersPlace(context)


PLACE = PlaceInfo(
    "servers",
    marked("Places", "Servers"),
    "servers",
    "Ctrl+2",
    _make,
    global_keys=("Ctrl+Shift+N",),
    needs_account=False,
)
