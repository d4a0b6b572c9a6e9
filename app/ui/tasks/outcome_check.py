"""Looks for a task of unknown outcome on the server, when the user asks for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.core.posthog.task_fields import same_text
from app.ui.tasks.wording import aware, title_of

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.core.posthog.types import NewTask, Page, Task
    from app.ui.tasks.controller import TaskController
    from app.ui.tasks.outbox import OutboxSender
    from app.ui.tasks.unsent import UnsentTask
    from app.ui.widgets.feedback import Action

# The clocks of this computer and of the server may differ.
CLOCK_DIFFERENCE_SECONDS = 120.0


class UnknownOutcomeCheck(QObject):
    """Handles "Check the list" of an unsent task. `accepted(id, Task)` when the user accepts the match."""

    accepted = Signal(str, object)

    def __init__(self, controller: TaskController, outbox: OutboxSender, page: UnsentTask) -> None:
        super().__init__(page)
        self._controller, self._outbox, self._page = controller, outbox, page
        page.check_list.connect(self._look)

    def _look(self) -> None:
        item = self._outbox.get(self._page.pending_id or "")
        backend = self._controller.connected_to
        if item is None or backend is None:
            return
        pending_id = item.id

        def looked(page: Page[Task]) -> None:
            self._controller.refresh()
            found = [task for task in page.items if looks_like(task, item.new, item.created_at.timestamp())]
            if self._page.pending_id != pending_id:
                return
            if not found:
                words = self.tr("It is not among the newest tasks of the project.")
                self._page.say_checked(words, self._page.unknown_actions())
                return
            arrived = found[0]
            actions: list[Action] = [
                (self.tr("Show it"), lambda: self.accepted.emit(pending_id, arrived)),
                *self._page.unknown_actions()[1:],
            ]
            self._page.say_checked(
                self.tr("The server has it: {0}.").format(arrived.slug or title_of(arrived)), actions
            )

        self._controller.spawn(backend.tasks.list(), looked, self._not_looked, key="check list")

    def _not_looked(self, error: BurrowError) -> None:
        words = self.tr("The list could not be loaded: {0}").format(error.cause)
        self._page.say_checked(words, self._page.unknown_actions())


def looks_like(task: Task, new: NewTask, sent_at: float) -> bool:
    """Whether a task on the server is probably the one that was sent: the same text, created then or later."""
    if not same_text(task, new):
        return False
    return task.created_at is None or aware(task.created_at).timestamp() > sent_at - CLOCK_DIFFERENCE_SECONDS
