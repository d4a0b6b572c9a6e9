"""One QShortcut for each key of the window. What a key means is looked up when it is pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence, QShortcut

from app.ui.shell.keymap import ALIASES, portable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PySide6.QtWidgets import QWidget


class Shortcuts(QObject):
    """Calls `pressed(keys)` with the portable name of a bound key; for an alias, with the key it stands for."""

    def __init__(self, window: QWidget, pressed: Callable[[str], None]) -> None:
        super().__init__(window)
        self._window = window
        self._pressed = pressed
        self._bound: dict[str, list[QShortcut]] = {}

    def bind(self, keys: Iterable[str], owner: QWidget | None = None) -> None:
        """Bind `keys`, except those bound already, here or by `owner` itself."""
        taken = _own_keys(owner) if owner is not None else set()
        for name in filter(None, map(portable, keys)):
            if name not in self._bound and name not in taken:
                self._listen(name, name)
                for alias in ALIASES.get(name, ()):
                    self._listen(portable(alias), name)

    def bound(self) -> frozenset[str]:
        """The keys that are bound."""
        return frozenset(key.key().toString() for keys in self._bound.values() for key in keys)

    def listen_only_to(self, keys: Iterable[str]) -> None:
        """Leave every other key to the widget with the focus, as if it had never been bound."""
        wanted = {portable(name) for name in keys if name}
        for name, shortcuts in self._bound.items():
            for shortcut in shortcuts:
                shortcut.setEnabled(name in wanted)

    def _listen(self, keys: str, meaning: str) -> None:
        shortcut = QShortcut(QKeySequence(keys), self._window)
        # A command runs once for each press: a key that is held would run it again on whatever is shown by then.
        shortcut.setAutoRepeat(False)
        self._bound.setdefault(meaning, []).append(shortcut)
        shortcut.activated.connect(lambda: self._pressed(meaning))


def _own_keys(owner: QWidget) -> set[str]:
    """Keys that a place has bound itself. Qt treats a key bound twice as ambiguous and runs neither."""
    keys = {shortcut.key().toString() for shortcut in owner.findChildren(QShortcut)}
    for action in owner.findChildren(QAction):
        keys.update(sequence.toString() for sequence in action.shortcuts())
    return keys
