"""Keys that have no command of their own, and how keys are compared and shown."""

from __future__ import annotations

from PySide6.QtGui import QKeySequence

# Keys that a list or field handles itself, for the key sheet: group, keys, description.
FIXED: tuple[tuple[str, str, str], ...] = (
    ("Lists", "Up, Down, Home, End", "Move in a list"),
    ("Lists", "Left, Right", "Close or open a group"),
    ("Lists", "Return", "Open the selected row"),
    ("Lists", "Letters", "Jump to a title that starts with them"),
    ("Fields", "Esc", "Clear a filter; other text is never discarded"),
    ("Window", "Tab, Shift+Tab", "Next or previous control"),
)

# Other keys for the same command.
ALIASES: dict[str, tuple[str, ...]] = {"Ctrl+K": ("Ctrl+P",), "Ctrl++": ("Ctrl+=",), "/": ("Ctrl+F",)}


def portable(keys: str) -> str:
    """Keys in the spelling in which they are compared."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.PortableText)


def native(keys: str) -> str:
    """Keys as this platform writes them."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText) if keys else ""
