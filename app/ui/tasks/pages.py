"""The pages beside the list: a new task, a task, one that the server may not have yet, several tasks, an empty page.

All but the last are built when first used, or once the list of the last start is on the screen: together they cost as
much as everything else of the place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QStackedWidget

from app.ui.theme import theme
from app.ui.widgets.feedback import EmptyState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtWidgets import QWidget

    from app.core.backend import Backend
    from app.ui.bridge import Job
    from app.ui.context import Context
    from app.ui.tasks.composer import Composer
    from app.ui.tasks.controller import TaskController
    from app.ui.tasks.detail import TaskPage
    from app.ui.tasks.run_page import RunViews
    from app.ui.tasks.several import SeveralTasks
    from app.ui.tasks.unsent import UnsentTask

BUILD_AFTER_MS = 50
AT_LEAST = 320


class TaskPages(QStackedWidget):
    """Emits a signal when a page was built, so that others can connect to that page."""

    composer_built = Signal(object)
    detail_built = Signal(object)
    views_built = Signal(object)
    unsent_built = Signal(object)
    several_built = Signal(object)

    def __init__(self, context: Context, controller: TaskController) -> None:
        super().__init__()
        self._context, self._controller = context, controller
        self._backend: Backend | None = None
        self._composer: Composer | None = None
        self._detail: TaskPage | None = None
        # The page of a task has its details and the transcript of its run.
        self._views: RunViews | None = None
        self._unsent: UnsentTask | None = None
        self._several: SeveralTasks | None = None
        self.nothing = EmptyState()
        self.addWidget(self.nothing)
        self.setMinimumWidth(theme().px(AT_LEAST))
        self._build_soon = QTimer(self, singleShot=True, interval=BUILD_AFTER_MS)
        self._build_soon.timeout.connect(self._build_next)
        controller.repositories_changed.connect(self._offer_repositories)

    @property
    def composer(self) -> Composer:
        """Where a new task is written."""
        if self._composer is None:
            from app.ui.tasks.composer import Composer

            page = self._composer = Composer(self._context.services, self._context.bridge)
            self.addWidget(page)
            self.composer_built.emit(page)
            page.start(self._backend.scope if self._backend is not None else None)
            page.set_repositories(self._controller.repositories)
        return self._composer

    @property
    def detail(self) -> TaskPage:
        """The page of a task."""
        if self._detail is None:
            from app.ui.tasks.detail import TaskPage
            from app.ui.tasks.run_page import RunViews

            page = self._detail = TaskPage()
            self._views = RunViews(page)
            self.addWidget(self._views)
            self.detail_built.emit(page)
            self.views_built.emit(self._views)
        return self._detail

    @property
    def unsent(self) -> UnsentTask:
        """The page of a task that the server may not have yet."""
        if self._unsent is None:
            from app.ui.tasks.unsent import UnsentTask

            page = self._unsent = UnsentTask()
            self.addWidget(page)
            self.unsent_built.emit(page)
        return self._unsent

    @property
    def several(self) -> SeveralTasks:
        """The page of several selected tasks."""
        if self._several is None:
            from app.ui.tasks.several import SeveralTasks

            page = self._several = SeveralTasks()
            self.addWidget(page)
            self.several_built.emit(page)
        return self._several

    @property
    def shows_several(self) -> bool:
        """Whether several tasks are in view."""
        return self._several is not None and self.currentWidget() is self._several

    @property
    def has_detail(self) -> bool:
        """Whether the page of a task was built."""
        return self._detail is not None

    @property
    def shows_composer(self) -> bool:
        """Whether the composer is in view."""
        return self._composer is not None and self.currentWidget() is self._composer

    @property
    def shows_detail(self) -> bool:
        """Whether a task is in view."""
        return self._views is not None and self.currentWidget() is self._views

    def areas(self) -> Sequence[QWidget]:
        """The parts of the page in view that F6 stops at besides the page."""
        return self._views.areas() if self._views is not None and self.shows_detail else ()

    @property
    def shows_unsent(self) -> bool:
        """Whether a task that the server may not have is in view."""
        return self._unsent is not None and self.currentWidget() is self._unsent

    @property
    def task_id(self) -> str | None:
        """The task that its page holds, whether that is in view or not."""
        return self._detail.task_id if self._detail is not None else None

    @property
    def pending_id(self) -> str | None:
        """The unsent task that its page holds, whether that is in view or not."""
        return self._unsent.pending_id if self._unsent is not None else None

    def turn_to(self, page: QWidget) -> None:
        """Bring a page into view."""
        self.setCurrentWidget(self._views if page is self._detail and self._views is not None else page)

    def focus_detail(self) -> None:
        """Put the focus on the task in view: on its transcript or its details."""
        if self._views is not None:
            self._views.focus_first()

    def build_soon(self) -> None:
        """Build the pages that were not used yet, one in each turn of the loop."""
        self._build_soon.start()

    def start(self, backend: Backend | None) -> None:
        """Another account or project: save the former draft, and clear the pages of the former tasks."""
        self._backend = backend
        if self._composer is not None:
            self._composer.start(backend.scope if backend is not None else None)
        if self._detail is not None:
            self._detail.clear()
        if self._unsent is not None:
            self._unsent.clear()

    @property
    def unsaved(self) -> bool:
        """Whether something that was typed is not saved yet."""
        return self._composer is not None and self._composer.unsaved

    def unsaved_text(self) -> str:
        """What was typed and would be lost if the window closed now."""
        return self._composer.unsaved_text() if self._composer is not None else ""

    def save_draft(self) -> Job | None:
        """Save what is typed now."""
        return self._composer.save_now() if self._composer is not None else None

    def _build_next(self) -> None:
        for page, build in (
            # First: the task that was last open is shown on it.
            (self._detail, lambda: self.detail),
            (self._composer, lambda: self.composer),
            (self._unsent, lambda: self.unsent),
        ):
            if page is None:
                build()
                self._build_soon.start()
                return

    def _offer_repositories(self) -> None:
        if self._composer is not None:
            self._composer.set_repositories(self._controller.repositories)
