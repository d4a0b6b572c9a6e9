"""How the changes of tasks are worded in the bar that undoes them."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from app.ui.widgets.undo import UndoKind


def deleted() -> UndoKind:
    return UndoKind(_tr("“{0}” deleted"), _tr("{0} tasks deleted"))


def discarded() -> UndoKind:
    """Drafts."""
    return UndoKind(_tr("Draft “{0}” discarded"), _tr("{0} drafts discarded"))


def unsent_discarded() -> UndoKind:
    """Tasks that were not sent."""
    return UndoKind(_tr("Unsent “{0}” discarded"), _tr("{0} unsent tasks discarded"))


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


def edit_discarded() -> UndoKind:
    """What was typed into a task and not saved. The name is that of the task."""
    return UndoKind(_tr("Changes of “{0}” discarded"), _tr("Changes of {0} tasks discarded"))


def pinned(pinned: bool) -> UndoKind:
    """Pinned or unpinned."""
    if pinned:
        return UndoKind(_tr("“{0}” pinned"), _tr("{0} tasks pinned"))
    return UndoKind(_tr("“{0}” unpinned"), _tr("{0} tasks unpinned"))


def _tr(text: str) -> str:
    return QCoreApplication.translate("Tasks", text)
