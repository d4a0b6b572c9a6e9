"""LocalRunDesk: starts runs on this machine of the task in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from app.core.posthog.run_options import BYPASS_SETTING
from app.ui.settings import UiSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.runs.desk.local_conversation import LocalConversation
    from app.core.runs.desk.local_desk import LocalStart
    from app.ui.context import Context
    from app.ui.tasks.controller import TaskController
    from app.ui.tasks.detail import TaskPage
    from app.ui.tasks.files import TaskFiles
    from app.ui.tasks.local_form import LocalRunPanel
    from app.ui.tasks.local_list import LocalRunList
    from app.ui.tasks.pages import TaskPages


class LocalRunDesk(QObject):
    """`started` is called with the id of the task once its run is there."""

    def __init__(
        self,
        context: Context,
        controller: TaskController,
        pages: TaskPages,
        local: LocalRunList,
        files: TaskFiles,
        started: Callable[[str], None],
    ) -> None:
        super().__init__(pages)
        self._context, self._controller, self._pages, self._local = context, controller, pages, local
        self._files = files
        self._settings = UiSettings(context.services.storage.settings, context.bridge, self)
        self._started = started
        self._panel: LocalRunPanel | None = None
        self._task_id = ""
        pages.detail_built.connect(self._connect_detail)

    def open_panel(self) -> None:
        """Open the form for the task in view."""
        task = self._controller.cache.get(self._pages.task_id or "")
        if task is None or task.archived:
            return
        from app.core.runs.desk.memory import LocalMemory

        panel, runs = self._panel_of(self._pages.detail), self._local.connect_runs()
        self._task_id = task.id
        choice = LocalMemory(self._settings).last(task.repository or "")
        panel.open_for(choice, bypass=self._settings.flag(BYPASS_SETTING))
        self._context.bridge.spawn(panel, runs.agents(), done=panel.form.show_agents, key="agents")
        self._pages.detail.show_run_buttons()

    def _connect_detail(self, page: TaskPage) -> None:
        page.run_here.connect(self.open_panel)
        page.task_changed.connect(lambda _id: self._another_task())

    def _panel_of(self, page: TaskPage) -> LocalRunPanel:
        if self._panel is None:
            # Few tasks are run on this machine.
            from app.ui.tasks.local_form import LocalRunPanel

            panel = self._panel = LocalRunPanel()
            page.put_panel(panel, beside_runs=True)
            panel.run_wanted.connect(self._run)
            panel.closed.connect(self._closed)
            panel.form.folder_named.connect(self._look_for_environments)
        return self._panel

    def _look_for_environments(self, folder: str) -> None:
        if self._panel is not None and folder:
            work = self._local.connect_runs().environments(folder)
            self._context.bridge.spawn(self._panel, work, done=self._panel.form.show_environments, key="environments")

    def _run(self, start: LocalStart) -> None:
        task, panel = self._controller.cache.get(self._task_id), self._panel
        if task is None or panel is None:
            return
        from app.core.runs.desk.memory import SETTING, LocalMemory

        def started(conversation: LocalConversation) -> None:
            self._settings.put(SETTING, LocalMemory(self._settings).with_last(task.repository or "", start))
            self._files.forget(task.id)
            if self._task_id == task.id:
                panel.close_now()
            self._started(task.id)
            # The run is kept by the services, whatever is looked at.
            self._context.bridge.spawn(self, conversation.start(), key=f"start {conversation.record.id}")

        async def make() -> LocalConversation:
            files = await self._files.for_run(task.id)
            return await self._local.connect_runs().start(task, start, files)

        work = make()
        self._context.bridge.spawn(self, work, done=started, failed=panel.show_error, key=f"make {task.id}")

    def _closed(self) -> None:
        page = self._pages.detail
        page.show_run_buttons()
        page.run_here_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def _another_task(self) -> None:
        if self._panel is not None:
            self._panel.setVisible(False)
            self._pages.detail.show_run_buttons()
