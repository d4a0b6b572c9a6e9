"""How the person wants the list: grouping, order, folded groups, width. Kept in the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from app.ui.tasks.cache import RECENT_ACTIVITY
from app.ui.tasks.rows import Grouping

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.ui.bridge import Bridge

NEWEST = "-created_at"
FOLDED_KEPT = 200


class ListPreferences(QObject):
    """Read at once from the settings' snapshot; written in the background."""

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = services.storage.settings
        self._unsaved: dict[str, Any] = {}
        self._bridge = bridge

    @property
    def grouping(self) -> Grouping:
        try:
            return Grouping(self._get("tasks.grouping", Grouping.STATE.value))
        except ValueError:
            return Grouping.STATE

    @grouping.setter
    def grouping(self, grouping: Grouping) -> None:
        self._set("tasks.grouping", grouping.value)

    @property
    def ordering(self) -> str:
        return RECENT_ACTIVITY if self._get("tasks.ordering") == RECENT_ACTIVITY else NEWEST

    @ordering.setter
    def ordering(self, ordering: str) -> None:
        self._set("tasks.ordering", ordering)

    @property
    def folded(self) -> list[str]:
        found = self._get("tasks.folded", [])
        return [key for key in found if isinstance(key, str)] if isinstance(found, list) else []

    def set_folded(self, key: str, folded: bool) -> None:
        kept = [k for k in self.folded if k != key]
        self._set("tasks.folded", ([*kept, key] if folded else kept)[-FOLDED_KEPT:])

    @property
    def widths(self) -> list[int] | None:
        found = self._get("tasks.widths")
        if isinstance(found, list) and len(found) == 2 and all(isinstance(w, int) and w > 0 for w in found):
            return found
        return None

    def set_widths(self, widths: list[int]) -> None:
        self._set("tasks.widths", widths)

    def _get(self, key: str, default: Any = None) -> Any:
        return self._unsaved[key] if key in self._unsaved else self._settings.get(key, default)

    def _set(self, key: str, value: Any) -> None:
        self._unsaved[key] = value
        self._bridge.spawn(self, self._settings.set(key, value), failed=_ignore, key=key)


def _ignore(_error: BurrowError) -> None:
    """A choice that is lost with the process is not worth a word."""
