"""How the list is arranged: grouping, order, folded groups, widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.tasks.cache import RECENT_ACTIVITY
from app.ui.tasks.rows import Grouping

if TYPE_CHECKING:
    from app.ui.settings import UiSettings

NEWEST = "-created_at"
FOLDED_KEPT = 200
WIDTHS = "tasks.widths"
LAST = "tasks.last"
LAST_KEPT = 50


class ListPreferences:
    """Reads and writes the settings of the list. What another version wrote there is checked."""

    def __init__(self, settings: UiSettings) -> None:
        self._settings = settings

    @property
    def grouping(self) -> Grouping:
        try:
            return Grouping(self._settings.get("tasks.grouping", Grouping.STATE.value))
        except ValueError:
            return Grouping.STATE

    @grouping.setter
    def grouping(self, grouping: Grouping) -> None:
        self._settings.put("tasks.grouping", grouping.value)

    @property
    def ordering(self) -> str:
        return RECENT_ACTIVITY if self._settings.get("tasks.ordering") == RECENT_ACTIVITY else NEWEST

    @ordering.setter
    def ordering(self, ordering: str) -> None:
        self._settings.put("tasks.ordering", ordering)

    @property
    def folded(self) -> list[str]:
        """The keys of the folded groups."""
        found = self._settings.get("tasks.folded", [])
        return [key for key in found if isinstance(key, str)] if isinstance(found, list) else []

    def set_folded(self, key: str, folded: bool) -> None:
        kept = [k for k in self.folded if k != key]
        self._settings.put("tasks.folded", ([*kept, key] if folded else kept)[-FOLDED_KEPT:])

    def last_task(self, project: str) -> str | None:
        """The id of the task that was last open. `project` names a project of one account of one host."""
        found = self._last_tasks().get(project)
        return found if isinstance(found, str) else None

    def set_last_task(self, project: str, task_id: str | None) -> None:
        """Remember the task that is open in a project, or forget it."""
        kept = {key: found for key, found in self._last_tasks().items() if key != project}
        if task_id is not None:
            kept[project] = task_id
        self._settings.put(LAST, dict(list(kept.items())[-LAST_KEPT:]))

    def _last_tasks(self) -> dict[str, object]:
        found = self._settings.get(LAST, {})
        return dict(found) if isinstance(found, dict) else {}

    @property
    def widths(self) -> list[int] | None:
        """The widths of list and page, None where none were chosen."""
        return self._settings.sizes(WIDTHS)

    def set_widths(self, widths: list[int]) -> None:
        self._settings.put(WIDTHS, widths)
