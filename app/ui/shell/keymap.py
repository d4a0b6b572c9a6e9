"""The keyboard map of the window beyond the commands themselves."""

from __future__ import annotations

from PySide6.QtGui import QKeySequence

# Keys that a list or field handles itself; they have no command but belong on the sheet: group, keys, words.
FIXED: tuple[tuple[str, str, str], ...] = (
    ("Lists", "Up, Down, Home, End", "Move in a list"),
    ("Lists", "Left, Right", "Close or open a group"),
    ("Lists", "Return", "Open what is chosen"),
    ("Lists", "Letters", "Jump to a title that starts so"),
    ("Fields", "Esc", "Clear a filter; text is never discarded"),
    ("Window", "Tab, Shift+Tab", "Next or previous control"),
)

# Other keys for the same thing.
ALIASES: dict[str, tuple[str, ...]] = {"Ctrl+K": ("Ctrl+P",), "Ctrl++": ("Ctrl+=",), "/": ("Ctrl+F",)}


def portable(keys: str) -> str:
    """Keys in the one spelling that can be compared."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.PortableText)


def native(keys: str) -> str:
    """Keys as this platform writes them."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText) if keys else ""
