"""Settings of the window: read from memory, written in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.errors import BurrowError
    from app.core.storage.settings import Settings
    from app.ui.bridge import Bridge


# Qt's lengths are of 24 bits.
LARGEST = 1 << 24


class UiSettings(QObject):
    """What the user chose about the window. A value that cannot be written lasts as long as the process."""

    def __init__(self, settings: Settings, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings, self._bridge = settings, bridge
        # What was put in this process. It goes before the storage, which learns of a value later, or never if the write
        # fails.
        self._values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, which may be of any kind: another program or version may have written it."""
        value = self._values[key] if key in self._values else self._settings.get(key)
        return default if value is None else value

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        """The value under `key`, if it is one of `options`."""
        value = self.get(key)
        return value if isinstance(value, str) and value in options else default

    def flag(self, key: str, *, default: bool = False) -> bool:
        """The value under `key`, if it is true or false."""
        value = self.get(key)
        return value if isinstance(value, bool) else default

    def put(self, key: str, value: Any) -> None:
        """Remember a JSON value. Before the loop runs it is not written."""
        self._values[key] = value
        try:
            self._bridge.spawn(self, self._settings.set(key, value), failed=_ignore, key=key)
        except RuntimeError:
            return

    def drop(self, key: str) -> None:
        """Forget the value under `key`: its default counts again."""
        self._values[key] = None
        try:
            self._bridge.spawn(self, self._settings.remove(key), failed=_ignore, key=key)
        except RuntimeError:
            return

    async def write(self, key: str, value: Any) -> None:
        """Write a JSON value at once; awaited before the storage closes."""
        await self._settings.set(key, value)

    def sizes(self, key: str) -> list[int] | None:
        """The two remembered sizes of a splitter; None unless both are there and positive."""
        found = self.get(key)
        if (
            isinstance(found, list)
            and len(found) == 2
            and all(isinstance(size, int) and 0 < size < LARGEST for size in found)
        ):
            return found
        return None


def _ignore(_error: BurrowError) -> None:
    """A choice about the window that could not be written is not reported: it holds until the process ends."""
