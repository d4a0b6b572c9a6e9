"""What the run of a task changed: a view for runs of this machine, another for those in the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QStackedWidget, QWidget

from app.ui.settings import UiSettings
from app.ui.widgets.feedback import EmptyState

if TYPE_CHECKING:
    from app.core.backend import Backend
    from app.core.posthog.types import TaskRun
    from app.core.runs.desk.local_desk import LocalDesk
    from app.ui.bridge import Bridge
    from app.ui.changes.controller import ChangesController
    from app.ui.changes.page import ChangesPage
    from app.ui.changes.results_controller import ResultsController
    from app.ui.changes.results_page import ResultsPage
    from app.ui.context import Context

CLOUD = "cloud"


class RunChangesView(QStackedWidget):
    """An empty page, until `RunChangesDesk` has put another one beside it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.nothing = EmptyState()
        self.addWidget(self.nothing)

    def show_nothing(self, title: str, text: str = "") -> None:
        """Say why there is nothing to show."""
        self.nothing.show_state(title, text)
        self.setCurrentWidget(self.nothing)


class RunChangesDesk(QObject):
    """Fills a view with what belongs to the run in view. Each page is built when it is first shown."""

    def __init__(self, view: RunChangesView, context: Context) -> None:
        super().__init__(view)
        self._view, self._context = view, context
        self._changes: tuple[ChangesPage, ChangesController] | None = None
        self._results: tuple[ResultsPage, ResultsController] | None = None

    def show(self, run: TaskRun | None, backend: Backend | None, local: LocalDesk | None) -> None:
        """Show what a run changed; None for a task without a run."""
        view = self._view
        if run is None or not run.id:
            view.show_nothing(self.tr("This task has not been run yet"), self.tr("Run it to see what changes."))
        elif local is not None and local.has(run.id):
            page, changes = self._changes_page()
            changes.show_run(local.changes(run.id))
            view.setCurrentWidget(page)
        elif run.environment == CLOUD and backend is not None:
            shown, results = self._results_page()
            results.show_run(backend.run_calls, run)
            view.setCurrentWidget(shown)
        else:
            view.show_nothing(
                self.tr("This run was carried out on another machine"), self.tr("Its changes are in its folder there.")
            )

    def turn_ended(self) -> None:
        """The agent of the run in view has ended a turn."""
        if self._changes is not None:
            self._changes[1].turn_ended()

    async def flush(self) -> None:
        """Save what is typed."""
        if self._changes is not None:
            await self._changes[1].save_typed()

    def _changes_page(self) -> tuple[ChangesPage, ChangesController]:
        if self._changes is None:
            from app.ui.changes.controller import ChangesController
            from app.ui.changes.page import ChangesPage

            page = ChangesPage()
            settings = UiSettings(self._context.services.storage.settings, self._context.bridge, self)
            self._changes = page, ChangesController(page, self._context.bridge, settings)
            self._view.addWidget(page)
        return self._changes

    def _results_page(self) -> tuple[ResultsPage, ResultsController]:
        if self._results is None:
            from app.ui.changes.results_controller import ResultsController
            from app.ui.changes.results_page import ResultsPage

            page = ResultsPage()
            self._results = page, ResultsController(page, self._context.bridge)
            self._view.addWidget(page)
        return self._results


def open_worktrees(local: LocalDesk, bridge: Bridge, window: QWidget) -> None:
    """Show the worktrees of the runs of this machine."""
    from app.ui.changes.worktrees_dialog import WorktreesDialog

    WorktreesDialog(local.worktrees, local, bridge, window).open()
