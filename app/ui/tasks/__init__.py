"""The Tasks place: the list, the composer, a task's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.place_info import PlaceInfo
from app.ui.translation import marked

if TYPE_CHECKING:
    from app.ui.context import Context
    from app.ui.place import Place


def _make(context: Context) -> Place:
    from app.ui.tasks.place import TasksPlace

    return TasksPlace(context)


PLACE = PlaceInfo("tasks", marked("Places", "Tasks"), "tasks", "Ctrl+1", _make, global_keys=("Ctrl+N",), tells=True)
