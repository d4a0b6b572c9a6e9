"""The places of the window, in the order of the rail. A new place is its own package and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui import connect, lab, servers, tasks

if TYPE_CHECKING:
    from app.ui.place_info import PlaceInfo

PLACES: tuple[PlaceInfo, ...] = (
    tasks.PLACE,
    servers.PLACE,
    connect.PLACE,
    lab.PLACE,
)
