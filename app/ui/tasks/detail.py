"""The page of a task: title, description, facts, runs, and the buttons for its actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shiboken6
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from app.core.posthog.task_fields import TASK_FIELDS, texts_of
from app.ui.tasks.attached import AttachmentRows
from app.ui.tasks.description import DescriptionView
from app.ui.tasks.field_inputs import CONTEXT
from app.ui.tasks.markdown import open_web_link
from app.ui.tasks.run_refusals import RunHelp, refusal_of
from app.ui.tasks.task_editor import TaskEditor
from app.ui.tasks.wording import (
    archived_state,
    can_cancel,
    can_run,
    pull_request_of,
    queued_explanation,
    run_state,
    state_of,
    title_of,
)
from app.ui.theme import theme, tokens
from app.ui.translation import translate
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.feedback import InlineCard, clear_layout
from app.ui.widgets.fields import KeyValueGrid
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import ElidedLabel, StatusWord, Text
from app.ui.widgets.times import RelativeTime, duration
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PySide6.QtGui import QKeyEvent

    from app.core.posthog.types import Page, Task, TaskRun
    from app.core.storage.attachments import Attachment
    from app.ui.tasks.controller import FailedAction
    from app.ui.tasks.run_refusals import RunRefusal

RUNS_SHOWN = 20


class TaskPage(QWidget):
    """Shows what it is given, and emits a signal for each action.

    `edit_wanted(names)` of fields, `pin(bool)`, `archive(bool)`, `delete()`, `run()`, `run_with()`, `run_here()`,
    `cancel_run()`,    `helped(RunHelp, FailedAction)` when the user chose what helps after a run could not be started,
    `file_removed(Attachment)`, `left()` on Esc; `task_changed(task_id)` when another task is shown. What is typed into
    a task is in `editor`; whoever keeps it calls `show_edit` and `end_edit`.
    """

    edit_wanted = Signal(list)
    task_changed = Signal(str)
    pin = Signal(bool)
    archive = Signal(bool)
    delete = Signal()
    run = Signal()
    run_with = Signal()
    run_here = Signal()
    helped = Signal(object, object)
    cancel_run = Signal()
    file_removed = Signal(object)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task: Task | None = None
        self._runs: Page[TaskRun] | None = None
        # The runs of a task with those of this machine. Whoever knows these sets it, and calls `show_runs_anew`.
        self.with_local: Callable[[str, tuple[TaskRun, ...]], tuple[TaskRun, ...]] = lambda _task_id, runs: runs
        self._panels: list[QWidget] = []
        self._closing_panels: list[QWidget] = []
        # What a run of a repository is started with.
        self.about_run: Callable[[str | None], str] = lambda _repository: self.tr("Start a run of this task")
        self._pinned = False
        self._embedded = False
        self._shown_facts: object = None
        # What had the focus before the editor.
        self._back: QWidget | None = None
        self._build()

    @property
    def task_id(self) -> str | None:
        return self._task.id if self._task is not None else None

    def show_task(self, task: Task, runs: Page[TaskRun] | None, *, pinned: bool, embedded: bool) -> None:
        """Show a task as it is now. A change of task clears the card."""
        another = self._task is None or self._task.id != task.id
        if another:
            self.end_edit()
            self.card.clear()
            self._area.verticalScrollBar().setValue(0)
        self._task, self._runs, self._pinned, self._embedded = task, runs, pinned, embedded
        self._fill(task)
        if another:
            self.task_changed.emit(task.id)

    def clear(self) -> None:
        """Forget the task."""
        self._task = self._runs = self._shown_facts = None
        self.end_edit()
        self.card.clear()
        self.title.setText("")
        self.setWindowTitle("")
        self._description.set_text("")
        self._facts.clear()
        clear_layout(self._run_rows)

    @property
    def edit(self) -> QLineEdit:
        """The input of the title, while it is edited."""
        return self.editor.title

    def begin_rename(self) -> None:
        """Make the title editable."""
        self._begin_edit(["title"], "title")

    def begin_edit(self) -> None:
        """Make everything editable that a person writes into a task."""
        self._begin_edit([each.name for each in TASK_FIELDS], "description")

    def show_edit(self, texts: Mapping[str, str]) -> None:
        """Show what is typed into these fields."""
        self.editor.show_texts(texts)
        self.run_button.set_main(False)
        self._show_texts()

    def show_files(self, files: Sequence[Attachment]) -> None:
        """Show the files that wait for a run."""
        self._files.show_files(files)
        self._files_title.setVisible(bool(files))
        self._files_note.setVisible(bool(files))

    def end_edit(self) -> None:
        """Show the task again instead of what is typed. The focus goes back to where it came from."""
        if not self.editor.names:
            return
        had_focus = self.editor.isAncestorOf(self.focusWidget()) if self.focusWidget() is not None else False
        self.editor.close_now()
        self.run_button.set_main(True)
        self._show_texts()
        back, self._back = self._back, None
        if had_focus:
            usable = back is not None and shiboken6.isValid(back) and back.isVisible()
            target = back if back is not None and usable else self.edit_button
            target.setFocus(Qt.FocusReason.OtherFocusReason)

    def show_failure(self, failure: FailedAction) -> None:
        """Say that an action was rolled back and why, and offer to repeat it, unless that is done in the editor."""
        again = failure.again
        refusal = refusal_of(failure.error) if failure.options is not None else None
        if refusal is not None:
            self._show_refusal(refusal, failure)
            return

        def repeat() -> None:
            self.card.clear()
            again()

        typed = bool(failure.text) and bool(self.editor.names)
        cause = failure.error.cause if failure.error.cause != failure.words else ""
        actions = [] if typed else [(self.tr("Try again"), repeat)]
        self.card.show_note(failure.words, cause, failure.error.advice, actions, tone="bad")

    def put_panel(self, panel: QWidget, *, beside_runs: bool = False) -> None:
        """Place a panel of a run below the buttons. While it is open, its own button runs the task.

        It closes when a run is under way, unless it starts one `beside_runs`.
        """
        self._panels.append(panel)
        if not beside_runs:
            self._closing_panels.append(panel)
        self._panel_place.addWidget(panel)

    def show_run_buttons(self) -> None:
        """Show what is of use now: the panel was opened or closed."""
        if self._task is not None:
            self._show_cancel(self._task)

    def _show_refusal(self, refusal: RunRefusal, failure: FailedAction) -> None:
        """Say why a run could not be started, with what helps."""

        def helper(what: RunHelp) -> Callable[[], None]:
            def act() -> None:
                self.card.clear()
                self.helped.emit(what, failure)

            return act

        # The embedded workspace has no page about plans.
        useful = [each for each in refusal.helps if each is not RunHelp.PLAN or not self._embedded]
        actions = [(each.words, helper(each)) for each in useful]
        self.card.show_note(refusal.title, refusal.cause, refusal.advice, actions, tone=refusal.tone)

    def _begin_edit(self, names: list[str], first: str) -> None:
        if self._task is None:
            return
        if not self.editor.names:
            self._back = QApplication.focusWidget()
        self.edit_wanted.emit(names)
        if first in self.editor.names:
            self.editor.focus(first)
            self._area.ensureWidgetVisible(self.editor)

    def focus_first(self) -> None:
        """Focus the page, so that keys scroll it."""
        self._area.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _build(self) -> None:
        current = theme()
        gap = current.px(tokens.SPACE_2)
        self.title = Text(role="title", wrap=True, selectable=True)
        self.editor = TaskEditor()
        self.editor.card.shown.connect(lambda _shown: self._show_texts())
        self._state = StatusWord(role="strong")
        self._archived = StatusWord(archived_state())
        self._place = ElidedLabel(tone="muted")
        second = QHBoxLayout()
        second.setSpacing(current.px(tokens.SPACE_3))
        second.addWidget(self._state)
        second.addWidget(self._archived)
        second.addWidget(self._place, 1)

        self.run_button = PrimaryButton(self.tr("Run"), "play", clicked=self.run.emit)
        self.run_with_button = QuietButton(self.tr("Run with…"), clicked=self.run_with.emit)
        self.run_with_button.setToolTip(self.tr("Choose model, effort, permission mode and branch first"))
        self.run_here_button = QuietButton(self.tr("Run on this machine…"), clicked=self.run_here.emit)
        self.run_here_button.setToolTip(self.tr("Have an agent of this machine work on it"))
        self.cancel_button = QuietButton(self.tr("Cancel run"), "stop", clicked=self.cancel_run.emit)
        self.edit_button = QuietButton(self.tr("Edit"), "edit", keys="Ctrl+E", clicked=self.begin_edit)
        self.pin_button = QuietButton(self.tr("Pin"), "pin", clicked=lambda: self.pin.emit(not self._pinned))
        self.archive_button = QuietButton(self.tr("Archive"), "archive", clicked=self._toggle_archived)
        self.delete_button = QuietButton(
            self.tr("Delete"), "trash", kind="danger", keys="Del", clicked=self.delete.emit
        )
        actions = FlowLayout()
        for button in (
            self.run_button,
            self.run_with_button,
            self.run_here_button,
            self.cancel_button,
            self.edit_button,
            self.pin_button,
            self.archive_button,
            self.delete_button,
        ):
            actions.addWidget(button)

        self.card = InlineCard()
        self.queued = InlineCard()
        self._description = DescriptionView(self.tr("Description"))
        self._files = AttachmentRows()
        self._files.removed.connect(self.file_removed)
        self._files_title = Text(self.tr("Files"), "section")
        self._files_note = Text(self.tr("Kept on this computer until the task runs."), "caption", "muted", wrap=True)
        self._facts = KeyValueGrid()
        self._run_rows = QVBoxLayout()
        self._run_rows.setSpacing(current.px(tokens.SPACE_2))

        self._area = ScrollColumn(self.tr("Task"))
        box = self._area.box
        box.addWidget(self.title)
        box.addWidget(self.editor)
        box.addLayout(second)
        box.addSpacing(current.px(tokens.SPACE_1))
        box.addLayout(actions)
        box.addSpacing(current.px(tokens.SPACE_1))
        self._panel_place = QVBoxLayout()
        box.addLayout(self._panel_place)
        box.addWidget(self.card)
        box.addWidget(self.queued)
        self._description_title = Text(self.tr("Description"), "section")
        self._runs_title = Text(self.tr("Runs"), "section")
        for head, body in (
            (self._description_title, self._description),
            (self._files_title, self._files),
            (Text(self.tr("Details"), "section"), self._facts),
        ):
            box.addSpacing(gap)
            box.addWidget(head)
            box.addWidget(body)
        box.insertWidget(box.indexOf(self._files) + 1, self._files_note)
        self.show_files(())
        box.addSpacing(gap)
        box.addWidget(self._runs_title)
        box.addLayout(self._run_rows)
        box.addStretch()

        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._area)

    def _fill(self, task: Task) -> None:
        title = title_of(task)
        if self.title.text() != title:
            self.title.setText(title)
            self.setWindowTitle(title)
        state = state_of(task)
        self._state.set_state(state)
        self._archived.set_state(archived_state() if task.archived else None)
        self._place.setText("  ·  ".join(part for part in (task.slug, task.repository or "") if part))
        self._place.setVisible(bool(self._place.text()))
        self._area.setAccessibleName(f"{title}, {state.word}")
        self.pin_button.setText(self.tr("Unpin") if self._pinned else self.tr("Pin"))
        self.archive_button.setText(self.tr("Unarchive") if task.archived else self.tr("Archive"))
        self.run_button.setEnabled(can_run(task))
        self.run_button.setToolTip(plain_tip(self._about_running(task)))
        self.run_with_button.setEnabled(can_run(task))
        self.run_here_button.setEnabled(not task.archived)
        self._show_cancel(task)
        explanation = queued_explanation(task.latest_run, embedded=self._embedded)
        if explanation is None:
            self.queued.clear()
        elif self.queued.isHidden() or explanation not in self.queued.text():
            head, _, rest = explanation.partition(". ")
            self.queued.show_note(head + ("." if rest else ""), rest, tone="info")
        self._description.set_text(task.description)
        self._show_texts()
        runs = self._all_runs(task)
        facts = (texts_of(task), task.created_at, task.created_by, task.latest_run, task.last_activity_at, runs)
        # Rows are made anew, so only for other facts: a selection in them and the focus would be lost.
        if facts != self._shown_facts:
            self._shown_facts = facts
            self._fill_facts(task)
            self._fill_runs(runs)

    def _show_cancel(self, task: Task) -> None:
        """Show what is of use: running, its panel, or cancelling. The focus goes with it."""
        possible = can_cancel(task)
        if possible:
            for panel in self._closing_panels:
                panel.setVisible(False)
        former = self.run_button if possible else self.cancel_button
        had_focus = former.hasFocus() or (possible and self.run_with_button.hasFocus())
        open_panel = any(not panel.isHidden() for panel in self._panels)
        self.cancel_button.setVisible(possible)
        self.run_button.setVisible(not possible and not open_panel)
        self.run_with_button.setVisible(not possible and not open_panel)
        self.run_here_button.setVisible(not open_panel)
        if had_focus:
            (self.cancel_button if possible else self.run_button).setFocus(Qt.FocusReason.OtherFocusReason)

    def _about_running(self, task: Task) -> str:
        if can_run(task):
            return self.about_run(task.repository)
        if task.archived:
            return self.tr("Unarchive the task to run it")
        return self.tr("A run is already in progress")

    def _fill_facts(self, task: Task) -> None:
        self._facts.clear()
        run = task.latest_run
        for field, text in ((each, getattr(task, each.name)) for each in TASK_FIELDS if each.fact):
            self._facts.add(translate(CONTEXT, field.caption), text or self.tr("None"), path=True)
        if run is not None and run.branch:
            self._facts.add(self.tr("Branch"), run.branch, path=True)
        by = task.created_by.short_name if task.created_by is not None else ""
        created = RelativeTime(task.created_at, "body", "text")
        self._facts.add(self.tr("Created"), _with_name(created, by))
        if task.last_activity_at is not None and task.last_activity_at != task.created_at:
            self._facts.add(self.tr("Last activity"), RelativeTime(task.last_activity_at, "body", "text"))
        if run is not None and run.error_message:
            self._facts.add(self.tr("Error"), run.error_message)
        link = pull_request_of(run)
        if link is not None:
            button = QuietButton(self.tr("Open pull request"), "external", clicked=lambda: open_web_link(link))
            button.setToolTip(plain_tip(link))
            button.setAccessibleDescription(link)
            self._facts.add(self.tr("Result"), button)

    def show_runs_anew(self) -> None:
        """Those of this machine are others now."""
        if self._task is not None:
            self._fill(self._task)

    def _all_runs(self, task: Task) -> tuple[TaskRun, ...]:
        runs = tuple(self._runs.items) if self._runs is not None else ()
        # Until the runs have arrived, the task itself names the latest one.
        if not runs and task.latest_run is not None and self._runs is None:
            runs = (task.latest_run,)
        return self.with_local(task.id, runs)

    def _fill_runs(self, runs: Sequence[TaskRun]) -> None:
        clear_layout(self._run_rows)
        self._runs_title.setText(self.tr("Runs") if not runs else self.tr("Runs · {0}").format(self._count(len(runs))))
        if not runs:
            self._run_rows.addWidget(Text(self.tr("This task has not been run yet."), tone="muted"))
        for run in runs[:RUNS_SHOWN]:
            self._run_rows.addWidget(_RunRow(run))
        hidden = self._count(len(runs)) - min(len(runs), RUNS_SHOWN)
        if hidden > 0:
            self._run_rows.addWidget(Text(self.tr("and {0} earlier").format(hidden), "caption", "muted"))

    def _count(self, shown: int) -> int:
        return max(shown, self._runs.count) if self._runs is not None else shown

    def _toggle_archived(self) -> None:
        if self._task is not None:
            self.archive.emit(not self._task.archived)

    def _show_texts(self) -> None:
        """Hide what is in the editor, unless the two differ by somebody else's doing."""
        hidden = () if self.editor.card.isVisibleTo(self.editor) else self.editor.names
        self.title.setVisible("title" not in hidden)
        shown = self._task is not None and bool(self._task.description.strip()) and "description" not in hidden
        self._description.setVisible(shown)
        self._description_title.setVisible(shown)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if plain and event.key() == Qt.Key.Key_F2:
            self.begin_rename()
        elif plain and event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        elif plain and event.key() == Qt.Key.Key_Delete and not isinstance(self.focusWidget(), QTextEdit):
            # A key that is held would delete the task that is shown next.
            if not event.isAutoRepeat():
                self.delete.emit()
        else:
            super().keyPressEvent(event)


class _RunRow(QFrame):
    """A run on one line, with its error below."""

    def __init__(self, run: TaskRun) -> None:
        super().__init__()
        current = theme()
        self.setProperty("card", "true")
        state = run_state(run.status)
        box = QVBoxLayout(self)
        box.setContentsMargins(
            *(current.px(m) for m in (tokens.SPACE_3, tokens.SPACE_2, tokens.SPACE_3, tokens.SPACE_2))
        )
        box.setSpacing(current.px(tokens.SPACE_1))
        line = QHBoxLayout()
        line.setSpacing(current.px(tokens.SPACE_3))
        line.addWidget(StatusWord(state))
        facts = [part for part in (run.environment, run.model, run.branch) if part]
        line.addWidget(ElidedLabel("  ·  ".join(facts), "caption", "muted", mode=Qt.TextElideMode.ElideRight), 1)
        if run.created_at is not None and run.completed_at is not None:
            took = (run.completed_at - run.created_at).total_seconds()
            if took >= 0:
                line.addWidget(Text(duration(took), "caption", "muted"))
        line.addWidget(RelativeTime(run.created_at))
        box.addLayout(line)
        if run.error_message:
            box.addWidget(Text(run.error_message, "caption", "bad", wrap=True, selectable=True))
        self.setAccessibleName(", ".join(part for part in (state.word, *facts, run.error_message or "") if part))


def _with_name(time: RelativeTime, name: str) -> QWidget:
    if not name:
        return time
    both = QWidget()
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(theme().px(tokens.SPACE_1))
    row.addWidget(time)
    row.addWidget(Text(both.tr("by {0}").format(name)))
    row.addStretch()
    return both
