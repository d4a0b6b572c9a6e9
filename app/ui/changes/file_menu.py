"""The menu of a changed file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtWidgets import QWidget

from app.ui.changes.words import tr
from app.ui.widgets.context_menu import ContextMenu

if TYPE_CHECKING:
    from PySide6.QtCore import QPoint, SignalInstance

    from app.core.runs.worktrees.run_changes import ListedChange
    from app.ui.widgets.diff_view import DiffView


class FileMenuPage(Protocol):
    """What the menu needs of `ChangesPage`."""

    view: DiffView

    @property
    def path(self) -> str: ...
    @property
    def shows_lines(self) -> bool: ...
    @property
    def open_wanted(self) -> SignalInstance: ...
    @property
    def copy_path_wanted(self) -> SignalInstance: ...
    def listed(self, path: str) -> ListedChange | None: ...
    def selected(self) -> list[str]: ...
    def keep(self, paths: list[str]) -> None: ...
    def discard(self, paths: list[str]) -> None: ...


def open_file_menu(page: FileMenuPage, path: str, at: QPoint) -> None:
    """Open it at a position of the screen, for the selected files if that of `path` is one of them."""
    known = page.listed(path)
    if known is None or not isinstance(page, QWidget):
        return
    paths = page.selected() if path in page.selected() else [path]
    stages = {found.stage for each in paths if (found := page.listed(each)) is not None}
    one, fixed = len(paths) == 1, known.change.kind in {"submodule", "reverted"}
    can_keep = stages != {"committed"} and not (one and path.endswith("/"))
    there = one and not path.endswith("/") and known.change.kind != "deleted"
    menu = ContextMenu(tr("File"), page)
    words = tr("Do not keep") if stages == {"kept"} else tr("Keep")
    menu.add(words, lambda: page.keep(paths), "Space", enabled=can_keep)
    menu.add(tr("Discard"), lambda: page.discard(paths), "Del", enabled=not (one and fixed))
    menu.addSeparator()
    menu.add(tr("Open in editor"), lambda: page.open_wanted.emit(path), "Ctrl+E", enabled=there)
    menu.add(tr("Copy path"), lambda: page.copy_path_wanted.emit(path), "Ctrl+Shift+C", enabled=one)
    if page.shows_lines and path == page.path:
        menu.addSeparator()
        menu.add(tr("Copy lines"), page.view.copy, "Ctrl+C")
        menu.add(tr("Next change"), lambda: page.view.step_change(1), "Alt+Down")
        menu.add(tr("Previous change"), lambda: page.view.step_change(-1), "Alt+Up")
    menu.open_at(at)
