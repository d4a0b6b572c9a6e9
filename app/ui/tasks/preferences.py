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

    @property
    def widths(self) -> list[int] | None:
        """The widths of list and page, None where none were chosen."""
        return self._settings.sizes(WIDTHS)

    def set_widths(self, widths: list[int]) -> None:
        self._settings.put(WIDTHS, widths)
