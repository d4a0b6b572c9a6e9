"""Runs of the task in view: the panel in which they are chosen, and what helps where one could not be started."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QGuiApplication

from app.core.posthog.run_options import RunOptions
from app.core.posthog.web import billing_page
from app.ui.tasks.field_inputs import SuggestedInput
from app.ui.tasks.run_refusals import RunHelp
from app.ui.tasks.run_sources import value_of
from app.ui.tasks.run_words import summary
from app.ui.tasks.wording import can_run

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.core.posthog.github import GitHubConnection
    from app.core.posthog.types import NewTask
    from app.ui.tasks.composer import Composer
    from app.ui.tasks.controller import FailedAction, TaskController
    from app.ui.tasks.detail import TaskPage
    from app.ui.tasks.pages import TaskPages
    from app.ui.tasks.run_panel import RunPanel
    from app.ui.tasks.run_sources import RunChoices
    from app.ui.tasks.unfinished_starts import UnfinishedStarts


class _Waiting(NamedTuple):
    """A run that starts once GitHub is connected."""

    task_id: str
    options: RunOptions


class RunDesk(QObject):
    """Connects the page of a task and the composer with what runs can be started with."""

    def __init__(self, controller: TaskController, choices: RunChoices, pages: TaskPages) -> None:
        super().__init__(pages)
        self._controller, self._choices, self._pages = controller, choices, pages
        self._panel: RunPanel | None = None
        self._waiting: _Waiting | None = None
        # Whether GitHub may be connected by now.
        self._opened = False
        self._unfinished: UnfinishedStarts | None = None
        controller.reached.connect(self._look_for_unfinished)
        self._listens = False
        choices.connect_wanted.connect(self.connect_github)
        controller.options_of = choices.last
        controller.ran_with.connect(choices.remember)
        pages.detail_built.connect(self._connect_detail)
        pages.composer_built.connect(self._connect_composer)
        application = QGuiApplication.instance()
        assert isinstance(application, QGuiApplication)
        application.applicationStateChanged.connect(self._state_changed)

    def start(self) -> None:
        """Another account or project."""
        self._waiting = None
        if self._unfinished is not None:
            self._unfinished.start()
        self._listens = False
        self._another_task()

    def open_panel(self) -> None:
        """Open the form for the task in view."""
        page, task = self._pages.detail, self._controller.cache.get(self._pages.task_id or "")
        if task is None or not can_run(task):
            return
        panel = self._panel_of(page)
        panel.open_for(task.repository, self._choices.last(task.repository))
        page.show_run_buttons()

    def help(self, what: RunHelp, failure: FailedAction) -> None:
        """Do what helps after a run could not be started."""
        options = failure.options or RunOptions()
        match what:
            case RunHelp.CONNECT_GITHUB:
                self._connect_github(_Waiting(failure.task_id, options))
            case RunHelp.AS_BOT:
                self._controller.run(failure.task_id, msgspec.structs.replace(options, authorship="bot"))
            case RunHelp.PLAN:
                self._open_plan()
            case RunHelp.CHOOSE:
                task = self._controller.cache.get(failure.task_id)
                if task is not None:
                    self._panel_of(self._pages.detail).open_for(task.repository, options)
                    self._pages.detail.show_run_buttons()
            case RunHelp.CANCEL | RunHelp.LEAVE:
                self._look_for_unfinished().give_up(failure)
            case _:
                failure.again()

    def _look_for_unfinished(self) -> UnfinishedStarts:
        """The server has answered: are there runs that were being started when Burrow ended?"""
        if self._unfinished is None:
            # Not needed before the list is shown.
            from app.ui.tasks.unfinished_starts import UnfinishedStarts

            self._unfinished = UnfinishedStarts(self._controller, self)
        self._unfinished.look()
        return self._unfinished

    def connect_github(self) -> None:
        """Open the page on which the person connects GitHub. Lists are asked for anew when they come back."""
        backend = self._controller.backend
        if backend is not None:
            self._controller.spawn(backend.github.address_to_connect(), self._open, self._not_connected, key="github")

    def _open(self, address: str) -> None:
        from app.ui.tasks.markdown import open_web_link

        backend = self._controller.backend
        if backend is not None and not self._listens:
            self._listens = True
            self._controller.listen(backend.github.came_back, self._came_back)
        self._opened = True
        open_web_link(address)

    def _connect_detail(self, page: TaskPage) -> None:
        page.about_run = self._about
        page.run_with.connect(self.open_panel)
        page.helped.connect(self.help)
        page.task_changed.connect(lambda _id: self._another_task())
        for row in page.editor.rows.values():
            if isinstance(row.input, SuggestedInput):
                row.input.source = self._choices.repositories

    def _connect_composer(self, page: Composer) -> None:
        page.repository.source = self._choices.repositories
        page.run_box.choices, page.about_run = self._choices, self._about
        page.submitted_to_run.connect(lambda new: self._chosen(new, page.run_options))

    def _chosen(self, new: NewTask, options: RunOptions | None) -> None:
        """What was chosen for a task that may have to wait is kept, whatever becomes of its run."""
        if options is not None:
            self._choices.remember(new.repository, options)

    def _panel_of(self, page: TaskPage) -> RunPanel:
        if self._panel is None:
            # Few tasks are run with other values than the last.
            from app.ui.tasks.run_panel import RunPanel

            panel = self._panel = RunPanel(self._choices)
            page.put_panel(panel)
            panel.run_wanted.connect(self._run)
            panel.closed.connect(self._panel_closed)
        return self._panel

    def _about(self, repository: str | None) -> str:
        """What a press of the button runs with."""
        last = self._choices.last(repository)
        model = self._choices.models.model(value_of(last.adapter, last.model))
        return self.tr("Run with: {0}").format(summary(last, model.title if model is not None else ""))

    def _panel_closed(self) -> None:
        page = self._pages.detail
        page.show_run_buttons()
        page.run_with_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def _run(self, options: RunOptions) -> None:
        task = self._controller.cache.get(self._pages.task_id or "")
        if task is not None and can_run(task):
            self._pages.detail.card.clear()
            self._controller.run(task.id, options)

    def _another_task(self) -> None:
        if self._panel is not None:
            self._panel.setVisible(False)
            self._pages.detail.show_run_buttons()

    def _open_plan(self) -> None:
        from app.ui.tasks.markdown import open_web_link

        backend = self._controller.backend
        page = None if backend is None else billing_page(backend.host)
        if page is not None:
            open_web_link(page)

    def _connect_github(self, waiting: _Waiting) -> None:
        backend = self._controller.backend
        if backend is None:
            return

        def found(address: str) -> None:
            self._waiting = waiting
            self._open(address)
            if self._pages.task_id == waiting.task_id:
                self._say_waiting(address)

        self._controller.spawn(backend.github.address_to_connect(), found, self._not_connected, key="github")

    def _say_waiting(self, address: str) -> None:
        from app.ui.tasks.markdown import open_web_link

        actions = [
            (self.tr("Open the page again"), lambda: open_web_link(address)),
            (self.tr("Look again"), self._look),
            (self.tr("Cancel"), self._give_up),
        ]
        self._pages.detail.card.show_note(
            self.tr("Waiting for GitHub"),
            self.tr("Connect GitHub in the browser. Come back here, and the run starts."),
            actions=actions,
            tone="info",
        )

    def _state_changed(self, state: Qt.ApplicationState) -> None:
        # PostHog's page in the browser leads back to another program, so nothing tells that it is done.
        if state != Qt.ApplicationState.ApplicationActive:
            return
        if self._opened and self._controller.backend is not None:
            self._opened = False
            self._controller.backend.github.forget()
            self._choices.repositories.clear()
        if self._waiting is not None:
            self._look()

    def _came_back(self, _none: None) -> None:
        """The browser has come back by a link."""
        self._choices.repositories.clear()
        self._look()

    def _look(self) -> None:
        backend = self._controller.backend
        if backend is not None and self._waiting is not None:
            self._controller.spawn(
                backend.github.connections(again=True), self._looked, lambda _error: None, key="github"
            )

    def _looked(self, connected: tuple[GitHubConnection, ...]) -> None:
        waiting = self._waiting
        if waiting is None or not any(each.personal for each in connected):
            return
        self._give_up()
        self._controller.run(waiting.task_id, waiting.options)

    def _give_up(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and self._pages.task_id == waiting.task_id:
            self._pages.detail.card.clear()

    def _not_connected(self, error: BurrowError) -> None:
        page = self._pages.composer if self._pages.shows_composer else self._pages.detail
        page.card.show_error(error)
