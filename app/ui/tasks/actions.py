"""The actions on the selected task, by button, key, menu and palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, Qt
from PySide6.QtWidgets import QMenu

from app.ui.context import Command
from app.ui.tasks import undoing
from app.ui.tasks.pane import pending_id_of, task_id_of
from app.ui.tasks.rows import TASK, Grouping
from app.ui.tasks.wording import can_run, title_of
from app.ui.widgets.undo import undo_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.posthog.types import Task
    from app.ui.context import Navigator
    from app.ui.tasks.controller import TaskController
    from app.ui.tasks.detail import TaskPage
    from app.ui.tasks.pages import TaskPages
    from app.ui.tasks.pane import TaskPane
    from app.ui.tasks.selection import TaskSelection
    from app.ui.widgets.undo import Undoable


class TaskActions(QObject):
    """Passes what the user wants of the selected task to the controller."""

    def __init__(
        self,
        navigator: Navigator,
        controller: TaskController,
        selection: TaskSelection,
        pane: TaskPane,
        pages: TaskPages,
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._selection = navigator, controller, selection
        self._pane, self._pages = pane, pages
        pane.rename_wanted.connect(self._rename)
        pane.delete_wanted.connect(self._delete)
        pane.menu_wanted.connect(self._open_menu)
        pages.detail_built.connect(self._connect_detail)
        controller.undoable.connect(self._announce_undo)

    def commands(self) -> Sequence[Command]:
        """For the palette and the keys of the place."""
        tr, shown = self.tr, self._has_task
        group = tr("Tasks")
        undo = self._pane.undo
        found = [
            Command("tasks.new", tr("New task"), self._selection.new_task, "Ctrl+N", group),
            Command("tasks.run", tr("Run task"), self._run, "", group, self._can_run),
            Command("tasks.rename", tr("Rename task"), self._rename, "F2", group, shown),
            Command("tasks.edit", tr("Edit task"), self._edit, "Ctrl+E", group, shown),
            Command("tasks.pin", tr("Pin or unpin task"), self._toggle_pinned, "", group, shown),
            Command("tasks.archive", tr("Archive or unarchive task"), self._toggle_archived, "", group, shown),
            Command("tasks.delete", tr("Delete task"), self._delete, "", group, shown),
            Command("tasks.undo", tr("Undo the last changes of tasks"), undo.undo, "Ctrl+Z", group, lambda: undo.open),
            Command(
                "tasks.archived",
                tr("Show or hide archived tasks"),
                lambda: self._pane.set_archived(not self._pane.archived),
                "",
                group,
                lambda: self._controller.connected_to is not None,
            ),
        ]
        for grouping, words in (
            (Grouping.STATE, tr("Group tasks by state")),
            (Grouping.REPOSITORY, tr("Group tasks by repository")),
            (Grouping.NONE, tr("Do not group tasks")),
        ):
            found.append(Command(f"tasks.group.{grouping.value}", words, self._grouper(grouping), "", group))
        return found

    def items(self) -> Sequence[Command]:
        """Every loaded task, for the palette."""
        group, words = self.tr("Go to task"), self.tr("Go to task {0}")
        return [
            Command(f"tasks.go.{task.id}", words.format(title_of(task)), self._opener(task.id), "", group)
            for task in self._controller.cache.all()
        ]

    def _connect_detail(self, page: TaskPage) -> None:
        controller = self._controller
        page.pin.connect(lambda pinned: self._about_task(lambda i: controller.pin(i, pinned)))
        page.archive.connect(lambda archived: self._about_task(lambda i: controller.archive(i, archived)))
        page.run.connect(self._run)
        page.delete.connect(self._delete)

    def _about_task(self, act: Callable[[str], None]) -> None:
        task_id = self._selection.task_id
        if task_id is not None:
            act(task_id)

    def _has_task(self) -> bool:
        return self._selection.task_id is not None

    def _task(self) -> Task | None:
        return self._controller.cache.get(self._selection.task_id or "")

    def _grouper(self, grouping: Grouping) -> Callable[[], None]:
        return lambda: self._pane.set_grouping(grouping)

    def _opener(self, task_id: str) -> Callable[[], None]:
        return lambda: self._navigator.go("tasks", task_id)

    def _can_run(self) -> bool:
        task = self._task()
        return task is not None and can_run(task)

    def _run(self) -> None:
        task = self._task()
        if task is not None and can_run(task):
            self._controller.run(task.id)

    def _rename(self) -> None:
        task_id = self._selection.task_id
        if task_id is not None:
            self._selection.show_task(task_id)
            self._pages.detail.begin_rename()

    def _edit(self) -> None:
        task_id = self._selection.task_id
        if task_id is not None:
            self._selection.show_task(task_id)
            self._pages.detail.begin_edit()

    def _toggle_pinned(self) -> None:
        self._about_task(lambda i: self._controller.pin(i, not self._controller.cache.is_pinned(i)))

    def _toggle_archived(self) -> None:
        task = self._task()
        if task is not None:
            self._controller.archive(task.id, not task.archived)

    def _delete(self) -> None:
        """Delete the selected task and select its neighbour, as in any list."""
        pending_id = pending_id_of(self._pane.table.current_key() or "")
        if self._pages.shows_unsent and pending_id is not None:
            return
        task = self._task()
        if task is None:
            return
        if self._pane.undo.holds(undoing.deleted()):
            # Deleting several in a row may be a slip, and what was deleted is seen in the bar only.
            words = self.tr("Delete “{0}” too?").format(title_of(task))
            self._pane.question.ask(words, self.tr("Delete"), lambda: self._delete_now(task.id))
        else:
            self._delete_now(task.id)

    def _delete_now(self, task_id: str) -> None:
        neighbour = self._neighbour(TASK + task_id)
        had_list = self._pane.table.hasFocus()
        self._controller.delete(task_id)
        # At once, so that the neighbour is selected among the rows that remain.
        self._pane.show_now()
        if neighbour is not None and self._pane.table.select_key(neighbour, quiet=not had_list) and not had_list:
            self._selection.show_current()

    def _neighbour(self, key: str) -> str | None:
        rows = self._pane.table.rows
        keys = [line.key for line in rows.lines() if rows.place(line.key) >= 0]
        if key not in keys or len(keys) < 2:
            return None
        place = keys.index(key)
        return keys[place + 1] if place + 1 < len(keys) else keys[place - 1]

    def _announce_undo(self, action: Undoable) -> None:
        self._navigator.announce(self.tr("{0}. You can undo this below the list.").format(undo_words([action])))

    def _open_menu(self, key: str, at: QPoint) -> None:
        task_id = task_id_of(key)
        task = self._controller.cache.get(task_id) if task_id is not None else None
        if task is None or task_id is None:
            return
        self._pane.table.select_key(key)
        menu = QMenu(self._pane)
        menu.setAccessibleName(title_of(task))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        pinned = self._controller.cache.is_pinned(task_id)
        run = menu.addAction(self.tr("Run"), self._run)
        run.setEnabled(can_run(task))
        menu.addAction(self.tr("Rename"), self._rename)
        menu.addAction(self.tr("Edit"), self._edit)
        menu.addAction(self.tr("Unpin") if pinned else self.tr("Pin"), self._toggle_pinned)
        menu.addAction(self.tr("Unarchive") if task.archived else self.tr("Archive"), self._toggle_archived)
        menu.addSeparator()
        menu.addAction(self.tr("Delete"), self._delete)
        menu.popup(at)
