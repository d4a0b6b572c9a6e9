"""UnfinishedStarts: runs that Burrow was starting when it ended. With its task each is offered, or can be given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from app.core.posthog.run_errors import StartCutOff
from app.ui.tasks.controller import FailedAction

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.posthog.run_attempts import UnfinishedStart
    from app.core.posthog.types import Task
    from app.ui.tasks.controller import TaskController

    Left = list[tuple[UnfinishedStart, Task]]


class UnfinishedStarts(QObject):
    """Looks once for each account and project, when the server has answered for the first time."""

    def __init__(self, controller: TaskController, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._looked: Backend | None = None

    def start(self) -> None:
        """Another account or project."""
        self._looked = None

    def give_up(self, failure: FailedAction) -> None:
        """Do not start what a failure is about."""
        controller, backend, task_id = self._controller, self._controller.backend, failure.task_id
        if backend is None:
            return

        def failed(error: BurrowError) -> None:
            words = self.tr("Run not cancelled")
            controller.failed.emit(FailedAction(task_id, words, error, lambda: self.give_up(failure)))

        controller.spawn(backend.run_start.give_up(task_id), lambda _: controller.fetch(task_id), failed)

    def look(self) -> None:
        """The server has answered."""
        backend = self._controller.backend
        if backend is None or backend is self._looked:
            return
        self._looked = backend

        def failed(_error: BurrowError) -> None:
            # At its next answer.
            self._looked = None

        self._controller.spawn(_find(backend), self._found, failed, key="unfinished starts")

    def _found(self, left: Left) -> None:
        controller = self._controller
        for each, task in left:
            controller.cache.know(task)
            controller.changed.emit()
            error = StartCutOff(made=bool(each.run))
            again = _again(controller, each)
            words = self.tr("Run not started")
            controller.failed.emit(FailedAction(task.id, words, error, again, options=each.options))


async def _find(backend: Backend) -> Left:
    return [(each, await backend.tasks.get(each.task)) for each in await backend.run_start.unfinished()]


def _again(controller: TaskController, left: UnfinishedStart) -> Callable[[], None]:
    return lambda: controller.run(left.task, left.options)
