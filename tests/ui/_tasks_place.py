"""A Tasks place in a shown window, with everything behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget

from app.core.posthog.types import Task
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.tasks.place import TasksPlace
from app.ui.theme import apply_theme
from tests.ui._tasks_fakes import FakeBackend, FakeNavigator, FakeServices, FakeTasks, settle, task, until
from tests.ui.transcript._conversation import RecordedRuns


@dataclass
class TaskDesk:
    """The place, what it works with, and the keys of a person."""

    place: TasksPlace
    services: FakeServices
    navigator: FakeNavigator
    tasks: FakeTasks
    crashes: list[BaseException] = field(default_factory=list)
    runs: RecordedRuns = field(default_factory=RecordedRuns)

    @property
    def titles(self) -> list[str]:
        return [line.title for line in self.place.pane.table.rows.lines()]

    async def show(self, backend: FakeBackend) -> FakeBackend:
        self.services.backend = backend
        self.place.set_backend(backend)  # type: ignore[arg-type]
        await until(lambda: not self.place.controller.load.busy or "list" in backend.tasks.waiting)
        await settle()
        return backend

    async def select(self, key: str) -> None:
        self.place.pane.show_now()
        assert self.place.pane.table.select_key(key)
        await settle()

    def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key on the list."""
        table = self.place.pane.table
        table.setFocus()
        QTest.keyClick(table, key, modifiers)

    def hold(self, key: Qt.Key, times: int, text: str = "") -> None:
        """Keep a key down: one press, then what the keyboard repeats, wherever the focus is by then."""
        for number in range(times):
            target = QApplication.focusWidget() or self.place
            event = QKeyEvent(QEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier, text, number > 0)
            QApplication.sendEvent(target, event)

    def button(self, within: QWidget, words: str) -> QAbstractButton:
        return next(b for b in within.findChildren(QAbstractButton) if b.text() == words and b.isVisibleTo(within))


@asynccontextmanager
async def task_desk(qapp: QApplication, tasks: Sequence[Task] | FakeTasks = ()) -> AsyncIterator[TaskDesk]:
    """Open the place on a server with `tasks`. Fails if anything crashed."""
    apply_theme(qapp, "light", 1.0)
    bridge, services, navigator = Bridge(), FakeServices(), FakeNavigator()
    server = tasks if isinstance(tasks, FakeTasks) else FakeTasks(list(tasks))
    crashes: list[BaseException] = []
    bridge.crashed.connect(crashes.append)
    runs = RecordedRuns()
    place = TasksPlace(Context(services, bridge, navigator), open_conversation=runs)  # type: ignore[arg-type]
    place.resize(1000, 700)
    place.show()
    place.activateWindow()
    await settle()
    desk = TaskDesk(place, services, navigator, server, crashes, runs)
    await desk.show(FakeBackend(server))
    yield desk
    await bridge.close()
    place.close()
    place.deleteLater()
    await settle()
    assert crashes == []


def numbered(count: int) -> list[Task]:
    """Tasks `t1` (“Task 1”, the newest) to `tN`."""
    return [task(number) for number in range(1, count + 1)]
