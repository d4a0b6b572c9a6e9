"""How the changes of tasks are worded in the bar that undoes them."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from app.ui.widgets.undo import UndoKind


def deleted() -> UndoKind:
    return UndoKind(_tr("“{0}” deleted"), _tr("{0} tasks deleted"))


def archived(archived: bool) -> UndoKind:
    """Archived, or taken out of the archive."""
    if archived:
        return UndoKind(_tr("“{0}” archived"), _tr("{0} tasks archived"))
    return UndoKind(_tr("“{0}” unarchived"), _tr("{0} tasks unarchived"))


def renamed() -> UndoKind:
    """The name is the former one."""
    return UndoKind(_tr("“{0}” renamed"), _tr("{0} tasks renamed"))


def edited() -> UndoKind:
    """The name is the one before."""
    return UndoKind(_tr("“{0}” edited"), _tr("{0} tasks edited"))


def pinned(pinned: bool) -> UndoKind:
    """Pinned or unpinned."""
    if pinned:
        return UndoKind(_tr("“{0}” pinned"), _tr("{0} tasks pinned"))
    return UndoKind(_tr("“{0}” unpinned"), _tr("{0} tasks unpinned"))


def _tr(text: str) -> str:
    return QCoreApplication.translate("Tasks", text)
