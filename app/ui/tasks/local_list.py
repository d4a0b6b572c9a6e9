"""LocalRunList: the runs of this machine among those of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.posthog.types import TaskRun
    from app.core.runs.desk.local_desk import LocalDesk
    from app.core.services import Services
    from app.ui.bridge import Bridge


LOOK_MS = 1500


class LocalRunList(QObject):
    """`changed(task_id)`: the runs of a task on this machine are others. `written(task_id)`: the server knows another
    status of one. Nothing is loaded before `load`; from then on it is looked what other processes do, while `seen`.
    """

    changed = Signal(str)
    written = Signal(str)

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services, self._bridge = services, bridge
        self._runs: LocalDesk | None = None
        # Whether anybody can see the runs.
        self.seen: Callable[[], bool] = lambda: True
        self._look_soon = QTimer(self, singleShot=True, interval=LOOK_MS)
        self._look_soon.timeout.connect(self.load)

    def load(self) -> None:
        """Read which runs there are, then again and again what other processes did with them."""
        self._look_soon.stop()
        if not self.seen():
            self._look_soon.start()
            return
        self._bridge.spawn(self, self._look(), done=self._looked, failed=self._looked, key="load")

    async def _look(self) -> None:
        # It is not needed before the first paint.
        import asyncio

        if self._runs is None and await asyncio.to_thread((self._services.folder / "runs").is_dir):
            self.connect_runs()
        if self._runs is not None:
            await self._runs.look()

    def _looked(self, _outcome: object) -> None:
        self._look_soon.start()

    @property
    def runs(self) -> LocalDesk | None:
        """The runs of this machine; None while none is known."""
        return self._runs

    def connect_runs(self) -> LocalDesk:
        """The runs, whose changes are told from now on."""
        if self._runs is None:
            self._runs = self._services.local_runs
            self._bridge.listen(self, self._runs.changed, self.changed.emit)
            self._bridge.listen(self, self._runs.written, self.written.emit)
        return self._runs

    @property
    def cut_off(self) -> frozenset[str]:
        """The tasks with a run that the end of Burrow cut off: the person decides whether it goes on."""
        return frozenset() if self._runs is None else self._runs.cut_off

    def with_local(self, task_id: str, runs: tuple[TaskRun, ...]) -> tuple[TaskRun, ...]:
        """The runs of a task with those of this machine in the place of what the server knows of them."""
        if self._runs is None:
            return runs
        own, known = self._runs.of(task_id), self._runs.written_as(task_id)
        if not own:
            return runs
        others = [run for run in runs if run.id not in known]
        return tuple(sorted((*own, *others), key=_made, reverse=True))


def _made(run: TaskRun) -> float:
    return run.created_at.timestamp() if run.created_at is not None else 0.0
