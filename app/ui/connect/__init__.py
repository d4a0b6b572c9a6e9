"""The Connect place: the local proxy, and the MCP clients that use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.place_info import PlaceInfo
from app.ui.translation import marked

if TYPE_CHECKING:
    from app.ui.context import Context
    from app.ui.place import Place


def _make(context: Context) -> Place:
    from app.ui.connect.place import ConnectPlace

    return ConnectPlace(context)


PLACE = PlaceInfo(
    "connect",
    marked("Places", "Connect"),
    "connect",
    "Ctrl+3",
    _make,
    global_keys=("Ctrl+Shift+L",),
    needs_account=False,
)
