"""The note above the list about changes that did not take effect, while something else is in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.tasks.wording import title_of
from app.ui.widgets.feedback import Banner

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from app.core.posthog.types import Task
    from app.ui.tasks.controller import FailedAction

NAMED = 3


class FailureNote(Banner):
    """Names the tasks of each kind of failure, and offers to repeat all of them. `title` finds a task by its id."""

    def __init__(self, task: Callable[[str], Task | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task = task
        self._failures: list[FailedAction] = []

    def add(self, failure: FailedAction) -> None:
        """Name a failure too."""
        self._failures.append(failure)
        self._show()

    def remove(self, task_id: str) -> None:
        """Leave out what is shown with its task."""
        self._failures = [failure for failure in self._failures if failure.task_id != task_id]
        self._show()

    def forget(self) -> None:
        """Leave out everything."""
        self._failures = []
        self._show()

    def retry(self) -> None:
        """Repeat everything that the note names."""
        failures, self._failures = self._failures, []
        self._show()
        for failure in failures:
            failure.again()

    def _show(self) -> None:
        if not self._failures:
            self.clear()
            return
        by_words: dict[str, list[FailedAction]] = {}
        for failure in self._failures:
            by_words.setdefault(failure.words, []).append(failure)
        sentences = [
            f"{words}: {self._names(failures)}. {failures[-1].error.cause}" for words, failures in by_words.items()
        ]
        self.show_message(
            "\n".join(sentences),
            "bad",
            secondary=[(self.tr("Try again"), self.retry), (self.tr("Close"), self.forget)],
        )

    def _names(self, failures: list[FailedAction]) -> str:
        tasks = [self._task(task_id) for task_id in dict.fromkeys(failure.task_id for failure in failures)]
        names = [self.tr("“{0}”").format(title_of(task)) for task in tasks if task is not None]
        if len(names) > NAMED:
            return self.tr("{0} and {1} more").format(", ".join(names[:NAMED]), len(names) - NAMED)
        return ", ".join(names)
