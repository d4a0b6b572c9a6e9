"""The actions on the selected task, by button, key, menu and palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication

from app.core.links import TaskLink, write_link
from app.core.posthog.web import task_page
from app.ui.context import Command
from app.ui.tasks import undoing
from app.ui.tasks.rows import TASK, Grouping
from app.ui.tasks.wording import can_cancel, can_run, title_of
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
    from app.ui.tasks.several import SeveralTasks
    from app.ui.widgets.undo import Undoable


class TaskActions(QObject):
    """Passes what the user wants of the selected task to the controller.

    `worktrees_wanted()`: the worktrees of runs are to be shown.
    """

    worktrees_wanted = Signal()

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
        pane.rename_wanted.connect(lambda: self._of_the_list(self.rename))
        pane.delete_wanted.connect(lambda: self._of_the_list(self.delete))
        pages.detail_built.connect(self._connect_detail)
        pages.several_built.connect(self._connect_several)
        controller.undoable.connect(self._announce_undo)

    def commands(self) -> Sequence[Command]:
        """For the palette and the keys of the place."""
        tr, one, some = self.tr, self._has_task, self._has_tasks
        group = tr("Tasks")
        undo = self._pane.undo
        found = [
            Command("tasks.new", tr("New task"), self._selection.new_task, "Ctrl+N", group),
            Command("tasks.run", tr("Run task"), self.run, "", group, self._can_run),
            Command("tasks.run_with", tr("Run task with…"), self.run_with, "", group, self._can_run),
            Command("tasks.run_here", tr("Run task on this machine…"), self.run_here, "", group, self._can_run_here),
            Command("tasks.cancel", tr("Cancel run"), self.cancel_run, "", group, self._can_cancel),
            Command("tasks.worktrees", tr("Show the worktrees of runs"), self.worktrees_wanted.emit, "", group),
            Command("tasks.rename", tr("Rename task"), self.rename, "F2", group, one),
            Command("tasks.edit", tr("Edit task"), self.edit, "Ctrl+E", group, one),
            Command("tasks.pin", tr("Pin or unpin task"), self.toggle_pinned, "", group, some),
            Command("tasks.archive", tr("Archive or unarchive task"), self.toggle_archived, "", group, some),
            Command("tasks.link", tr("Copy link of task"), self.copy_links, "", group, self._has_links),
            Command("tasks.open", tr("Open task in PostHog"), self.open_in_browser, "", group, self._has_link),
            Command("tasks.id", tr("Copy task id"), self.copy_ids, "", group, some),
            Command("tasks.delete", tr("Delete task"), self.delete, "", group, some),
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
        page.pin.connect(self._pin)
        page.archive.connect(self._archive)
        page.run.connect(self.run)
        page.cancel_run.connect(self.cancel_run)
        page.delete.connect(self.delete)

    def _connect_several(self, page: SeveralTasks) -> None:
        page.pin.connect(self._pin)
        page.archive.connect(self._archive)
        page.delete.connect(self.delete)

    def _of_the_list(self, act: Callable[[], None]) -> None:
        """A key on the list is about its selected rows. If what is shown is not in the list, it is about nothing."""
        if self._pane.table.selected_keys():
            act()

    def _each(self, act: Callable[[str], None]) -> None:
        for task_id in self._selection.task_ids:
            act(task_id)

    def _has_task(self) -> bool:
        return self._selection.task_id is not None

    def _has_links(self) -> bool:
        return bool(self.links())

    def _has_link(self) -> bool:
        return len(self.links()) == 1

    def _has_tasks(self) -> bool:
        return bool(self._selection.task_ids)

    def _task(self) -> Task | None:
        return self._controller.cache.get(self._selection.task_id or "")

    def tasks(self) -> list[Task]:
        """The tasks that actions are about."""
        found = (self._controller.cache.get(task_id) for task_id in self._selection.task_ids)
        return [task for task in found if task is not None]

    def _grouper(self, grouping: Grouping) -> Callable[[], None]:
        return lambda: self._pane.set_grouping(grouping)

    def _opener(self, task_id: str) -> Callable[[], None]:
        return lambda: self._navigator.go("tasks", task_id)

    def _can_run(self) -> bool:
        task = self._task()
        return task is not None and can_run(task)

    def run(self) -> None:
        """Start a run of the task."""
        task = self._task()
        if task is not None and can_run(task):
            self._controller.run(task.id)

    def run_with(self) -> None:
        """Open the form of a run of the task."""
        if self._can_run():
            self._pages.detail.run_with.emit()

    def _can_run_here(self) -> bool:
        task = self._task()
        return task is not None and not task.archived

    def run_here(self) -> None:
        """Open the form of a run on this machine."""
        if self._can_run_here():
            self._pages.detail.run_here.emit()

    def _can_cancel(self) -> bool:
        task = self._task()
        return task is not None and can_cancel(task)

    def cancel_run(self) -> None:
        """Cancel the run of the task."""
        task = self._task()
        if task is not None and can_cancel(task):
            self._controller.cancel_run(task.id)

    def rename(self) -> None:
        """Make the title of the task editable."""
        if self._selection.task_id is not None:
            self._pages.detail.begin_rename()

    def edit(self) -> None:
        """Make everything editable that a person writes into the task."""
        if self._selection.task_id is not None:
            self._pages.detail.begin_edit()

    def _pin(self, pinned: bool) -> None:
        self._each(lambda i: self._controller.pin(i, pinned))

    def all_pinned(self) -> bool:
        """Whether every one of the tasks is pinned."""
        return all(self._controller.cache.is_pinned(task.id) for task in self.tasks())

    def all_archived(self) -> bool:
        """Whether every one of the tasks is archived."""
        return all(task.archived for task in self.tasks())

    def toggle_pinned(self) -> None:
        """Pin the tasks, or unpin them if all are pinned."""
        self._pin(not self.all_pinned())

    def toggle_archived(self) -> None:
        """Archive the tasks, or take them out of the archive if all are in it."""
        self._archive(not self.all_archived())

    def links(self) -> list[str]:
        """The web addresses of the tasks; none on a host without such pages."""
        backend = self._controller.backend
        found = [task_page(backend.host, task.id) for task in self.tasks()] if backend is not None else []
        return [link for link in found if link is not None]

    def copy_links(self) -> None:
        """Put the web addresses of the tasks on the clipboard, one on each line."""
        self._copy(self.links(), self.tr("Link copied"))

    def copy_own_link(self) -> None:
        """Put the `burrow://` link of the task on the clipboard."""
        backend, task_id = self._controller.backend, self._selection.task_id
        if backend is not None and task_id is not None:
            self._copy([write_link(TaskLink(task_id, host=backend.host.key))], self.tr("Link copied"))

    def copy_ids(self) -> None:
        """Put the ids of the tasks on the clipboard, one on each line."""
        self._copy(self._selection.task_ids, self.tr("Task id copied"))

    def open_in_browser(self) -> None:
        """Open the web page of the task."""
        from app.ui.tasks.markdown import open_web_link

        for link in self.links()[:1]:
            open_web_link(link)

    def _copy(self, lines: Sequence[str], said: str) -> None:
        if lines:
            QGuiApplication.clipboard().setText("\n".join(lines))
            self._navigator.status(said)

    def _archive(self, archived: bool) -> None:
        ids = self._selection.task_ids
        if len(ids) == 1 and not self._pane.table.hasFocus():
            # Whoever reads the page keeps it. Whoever works in the list goes on to the next row.
            self._controller.archive(ids[0], archived)
        else:
            keys = [TASK + task_id for task_id in ids]
            self._take_away(keys, lambda key: self._controller.archive(key.removeprefix(TASK), archived))

    def delete(self) -> None:
        """Delete what is selected, and discard what is not sent.

        Several rows, and a further task within the time to undo, only after a question.
        """
        keys, tasks = self._selection.shown, self.tasks()
        if len(keys) > 1:
            self._pane.question.ask(*self._question(len(keys), len(keys) - len(tasks)), lambda: self._delete_now(keys))
        elif tasks:
            words = self.tr("Delete “{0}” too?").format(title_of(tasks[0]))
            self._pane.ask_from_second(undoing.deleted(), words, self.tr("Delete"), lambda: self._delete_now(keys))

    def _question(self, number: int, unsent: int) -> tuple[str, str]:
        """The question about several rows, and the words of the yes."""
        if unsent == number:
            return self.tr("Discard {0} tasks that are not sent?").format(number), self.tr("Discard")
        yes = self.tr("Delete {0} tasks").format(number)
        if unsent:
            return self.tr("Delete {0} tasks, {1} of them not sent?").format(number, unsent), yes
        return self.tr("Delete {0} tasks?").format(number), yes

    def _delete_now(self, keys: Sequence[str]) -> None:
        self._take_away(keys, self._selection.remove)

    def _take_away(self, keys: Sequence[str], act: Callable[[str], None]) -> None:
        """Act on rows that leave the list by it. If they are in view, the row that takes their place is shown."""
        shown = bool(set(keys) & set(self._selection.shown))
        beside = self._pane.table.neighbour(keys)
        for key in keys:
            act(key)
        if shown:
            self._selection.show_beside(beside)
        else:
            self._pane.show_now()

    def _announce_undo(self, action: Undoable) -> None:
        self._navigator.announce(self.tr("{0}. You can undo this below the list.").format(undo_words([action])))
