"""Keys that have no command of their own, and how keys are compared and shown."""

from __future__ import annotations

from PySide6.QtGui import QKeySequence

from app.ui.translation import marked

# The context of the window's commands, whose groups the key sheet shows beside these.
CONTEXT = "Commands"
LISTS, FIELDS, WINDOW = marked("Commands", "Lists"), marked("Commands", "Fields"), marked("Commands", "Window")
ACTIVITY, TOOL = marked("Commands", "Activity"), marked("Commands", "Tool")

# Keys that a list or field handles itself, for the key sheet: group, keys, description. Group and description are
# untranslated.
FIXED: tuple[tuple[str, str, str], ...] = (
    (LISTS, "Up, Down, Home, End", marked("Commands", "Move in a list")),
    (LISTS, "Left, Right", marked("Commands", "Collapse or expand a group")),
    (LISTS, "Return", marked("Commands", "Open the selected row")),
    (LISTS, "Shift+Up, Shift+Down", marked("Commands", "Select several rows")),
    (LISTS, "Ctrl+A", marked("Commands", "Select all rows")),
    (LISTS, "Del", marked("Commands", "Delete the selected tasks, discard a draft, or revoke a client")),
    (LISTS, "Menu, Shift+F10", marked("Commands", "Open the menu of a row")),
    (LISTS, "A–Z, 0–9", marked("Commands", "Jump to a title that starts with what is typed")),
    (FIELDS, "Esc", marked("Commands", "Clear a filter; other text is never discarded")),
    (TOOL, "Ctrl+Shift+C", marked("Commands", "Copy the result, or the call as curl, Python or a command")),
    (ACTIVITY, "Return", marked("Commands", "Show the details of the selected line")),
    (ACTIVITY, "Ctrl+C", marked("Commands", "Copy the selected line")),
    (ACTIVITY, "Ctrl+Shift+C", marked("Commands", "Copy the request as curl")),
    (ACTIVITY, "Ctrl+R", marked("Commands", "Send a request that only reads again")),
    (WINDOW, "Tab, Shift+Tab", marked("Commands", "Next or previous control")),
)

# Other keys for the same command.
ALIASES: dict[str, tuple[str, ...]] = {"Ctrl+K": ("Ctrl+P",), "Ctrl++": ("Ctrl+=",), "/": ("Ctrl+F",)}


def portable(keys: str) -> str:
    """Keys in the spelling in which they are compared."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.PortableText)


def native(keys: str) -> str:
    """Keys as this platform writes them."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText) if keys else ""
