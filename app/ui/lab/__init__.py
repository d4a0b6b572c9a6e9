"""The Workspace lab: the fault switchboard of the embedded workspace as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.place_info import PlaceInfo
from app.ui.translation import marked

if TYPE_CHECKING:
    from app.core.backend import Backend
    from app.ui.context import Context
    from app.ui.place import Place


def _make(context: Context) -> Place:
    from app.ui.lab.place import LabPlace

    return LabPlace(context)


def _available(backend: Backend | None) -> bool:
    return backend is not None and backend.lab is not None


PLACE = PlaceInfo("lab", marked("Places", "Workspace lab"), "lab", "Ctrl+9", _make, _available)
