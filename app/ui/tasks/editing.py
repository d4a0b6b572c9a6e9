"""Editing a task and its files: from its page to what is kept of it, to the server, and back when that refuses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from app.core.posthog.task_fields import BY_NAME, TASK_FIELDS, texts_of
from app.ui.tasks import undoing
from app.ui.widgets.undo import Undoable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.errors import BurrowError
    from app.core.posthog.types import Task
    from app.core.storage.attachments import Attachment
    from app.ui.context import Navigator
    from app.ui.tasks.controller import FailedAction, TaskController
    from app.ui.tasks.detail import TaskPage
    from app.ui.tasks.edits import TaskEdit, TaskEdits
    from app.ui.tasks.files import TaskFiles
    from app.ui.tasks.pages import TaskPages
    from app.ui.tasks.pane import TaskPane


class TaskEditing(QObject):
    """Connects the page of a task, the edits that are kept, and the controller."""

    def __init__(
        self,
        navigator: Navigator,
        controller: TaskController,
        edits: TaskEdits,
        files: TaskFiles,
        pane: TaskPane,
        pages: TaskPages,
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._edits, self._pages = navigator, controller, edits, pages
        self._files, self._pane = files, pane
        controller.files_of = files.for_run
        controller.run_started.connect(files.forget)
        files.changed.connect(self._show_files)
        files.trouble.connect(self._not_stored)
        pages.detail_built.connect(self._connect_detail)
        edits.changed.connect(self._show)
        edits.failed.connect(self._not_stored)
        controller.edited.connect(self._accepted)
        controller.failed.connect(self._refused)
        controller.changed.connect(self._compare)
        controller.gone.connect(self._gone)

    def _connect_detail(self, page: TaskPage) -> None:
        page.task_changed.connect(self._show)
        page.task_changed.connect(self._show_files)
        page.file_removed.connect(self._remove_file)
        page.edit_wanted.connect(self._begin)
        page.editor.more_wanted.connect(lambda: self._begin([each.name for each in TASK_FIELDS]))
        page.editor.typed.connect(self._typed)
        page.editor.save.connect(self._save)
        page.editor.cancel.connect(self._cancel)

    @property
    def _task(self) -> Task | None:
        return self._controller.cache.get(self._pages.task_id or "")

    def _begin(self, names: Sequence[str]) -> None:
        task = self._task
        if task is not None:
            texts = texts_of(task)
            self._edits.begin(task.id, {name: texts[name] for name in names})

    def _typed(self) -> None:
        task_id = self._pages.task_id
        if task_id is not None:
            self._edits.typed(task_id, self._pages.detail.editor.texts())

    def _save(self) -> None:
        task_id = self._pages.task_id
        edit = self._edits.get(task_id) if task_id is not None else None
        if task_id is None or edit is None:
            return
        changed = self._changed_meanwhile(edit)
        seen = self._pages.detail.editor.card.isVisible()
        if changed and not seen:
            self._pages.detail.editor.say_changed(changed)
            return
        if changed:
            self._accept_base(edit, changed)
            edit = self._edits.get(task_id) or edit
        if not edit.changes:
            self._edits.drop(task_id)
            return
        self._edits.sending(task_id, True)
        since = {name: edit.base[name] for name in edit.changes}
        self._controller.edit(task_id, edit.changes, since)

    def _cancel(self) -> None:
        task_id = self._pages.task_id
        edit = self._edits.get(task_id) if task_id is not None else None
        if edit is None or not edit.changes:
            self._edits.drop(task_id or "")
            return
        self._edits.set_aside(edit.task_id)
        undo, settle = partial(self._edits.restore, edit), partial(self._edits.forget, edit.task_id)
        subject = {edit.task_id: self._pages.detail.title.text()}
        self._pane.undo.add(Undoable(undoing.edit_discarded(), subject, undo, settle))

    def _show(self, task_id: str) -> None:
        """Show the edit of the task in view, unless it is on its way."""
        if task_id != self._pages.task_id:
            return
        edit = self._edits.get(task_id)
        if edit is None or edit.sending:
            self._pages.detail.end_edit()
        else:
            self._pages.detail.show_edit(edit.texts)

    def _show_files(self, task_id: str) -> None:
        if task_id == self._pages.task_id:
            self._pages.detail.show_files(self._files.get(task_id))

    def _remove_file(self, file: Attachment) -> None:
        if self._pages.task_id is not None:
            self._files.remove(self._pages.task_id, file)

    def _accepted(self, task_id: str) -> None:
        edit = self._edits.get(task_id)
        if edit is not None and edit.sending:
            self._edits.drop(task_id)

    def _refused(self, failure: FailedAction) -> None:
        edit = self._edits.get(failure.task_id)
        if edit is None or not edit.sending:
            return
        from app.core.posthog.tasks import ChangedMeanwhile

        self._edits.sending(failure.task_id, False)
        if isinstance(failure.error, ChangedMeanwhile):
            self._controller.fetch(failure.task_id)
            if failure.task_id == self._pages.task_id:
                self._pages.detail.editor.say_changed(failure.error.names)

    def _compare(self) -> None:
        """Say at once when somebody else changes what is being edited, and forget what is of no use any more."""
        self._files.forget_those(self._controller.cache.is_gone)
        for edit in self._edits.all():
            task = self._controller.cache.get(edit.task_id)
            if task is None or edit.sending:
                continue
            there = texts_of(task)
            if edit.changes and all(_same(name, there[name], text) for name, text in edit.texts.items()):
                self._edits.drop(edit.task_id)
            elif edit.task_id == self._pages.task_id and (changed := self._changed_meanwhile(edit)):
                self._pages.detail.editor.say_changed(changed)

    def _gone(self, task_id: str) -> None:
        """The task was deleted elsewhere: what is typed into it is not lost with it."""
        if self._edits.keep_as_draft(task_id):
            self._navigator.announce(self.tr("The task was deleted elsewhere. What you typed is kept as a draft."))

    def _changed_meanwhile(self, edit: TaskEdit) -> list[str]:
        task = self._controller.cache.get(edit.task_id)
        if task is None:
            return []
        there = texts_of(task)
        return [
            name
            for name, text in edit.changes.items()
            if not _same(name, there[name], edit.base[name]) and not _same(name, there[name], text)
        ]

    def _accept_base(self, edit: TaskEdit, names: Sequence[str]) -> None:
        task = self._controller.cache.get(edit.task_id)
        if task is not None:
            there = texts_of(task)
            self._edits.rebase(edit.task_id, {name: there[name] for name in names})

    def _not_stored(self, error: BurrowError) -> None:
        self._navigator.status(error.title)


def _same(name: str, one: str, other: str) -> bool:
    return BY_NAME[name].clean(one) == BY_NAME[name].clean(other)
