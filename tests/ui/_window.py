"""The real window with its real places on the real services and a freshly seeded workspace process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.core.backend import Backend
from app.core.lab import Lab
from app.core.services import Services
from app.main import _places
from app.ui.bridge import Bridge
from app.ui.shell.window import MainWindow
from app.ui.signin.flow import Connecting
from app.ui.tasks import TasksPlace
from app.ui.theme import apply_theme
from tests.ui._tasks_fakes import settle, until


@dataclass
class Living:
    """`said` is what was announced: (text, assertive). `seen` are the words of the status corner, in order."""

    window: MainWindow
    backend: Backend
    services: Services
    said: list[tuple[str, bool]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    @property
    def lab(self) -> Lab:
        assert self.backend.lab is not None
        return self.backend.lab

    @property
    def tasks(self) -> TasksPlace:
        place = self.window.place("tasks")
        assert isinstance(place, TasksPlace)
        return place

    @property
    def word(self) -> str:
        state = self.window.corner.word.state
        return state.word if state is not None else ""

    def titles(self) -> list[str]:
        return [line.title for line in self.tasks.pane.table.rows.lines()]

    async def renewals(self) -> tuple[int, int]:
        """Accepted and refused."""
        counters = (await self.lab.state())["counters"]
        return counters["refreshes_accepted"], counters["refreshes_rejected"]

    async def sign_in_again(self) -> None:
        await self.backend.session.sign_in_with_ticket(await self.services.workspace.ticket())

    async def write_task(self, words: str) -> None:
        """Describe a task and send it, as Ctrl+Enter does."""
        self.tasks.new_task()
        self.tasks.composer.description.setPlainText(words)
        self.tasks.composer.submit()
        await settle()


@asynccontextmanager
async def living(qapp: QApplication, folder: Path, *, place: str = "tasks") -> AsyncIterator[Living]:
    """A window, signed in, with its tasks loaded and `place` in view."""
    apply_theme(qapp, "light", 1.0)
    services, bridge = Services(folder), Bridge()
    connecting = Connecting(services, bridge, choose=lambda: window.choose_host(), stay=lambda: window.stay_here())
    window = MainWindow(services, bridge, _places(), connecting.page)
    window.resize(1100, 720)
    window.show()
    window.activateWindow()
    try:
        connecting.begin("workspace")
        await until(lambda: services.backend is not None and services.backend.project is not None, 20)
        await until(lambda: window.place("tasks") is not None, 20)
        assert services.backend is not None
        alive = Living(window, services.backend, services)
        await until(lambda: alive.tasks.desk.load.loaded, 15)
        # The pins come by a request of their own.
        await until(lambda: "Pinned" in alive.titles(), 15)
        await settle()
        watch(alive)
        window.go(place)
        await settle()
        yield alive
    finally:
        await window.flush()
        await bridge.close()
        await services.close()
        window.close()
        window.deleteLater()
        await settle()


def watch(alive: Living) -> None:
    """Note from now on what is announced and what the corner says."""
    announce = alive.window.announce

    def note(text: str, *, assertive: bool = False) -> None:
        alive.said.append((text, assertive))
        announce(text, assertive=assertive)

    alive.window.announce = note  # type: ignore[method-assign]
    shown = alive.window.corner.word.set_state

    def note_state(state: object, suffix: str = "") -> None:
        shown(state, suffix)  # type: ignore[arg-type]
        if not alive.seen or alive.seen[-1] != alive.word:
            alive.seen.append(alive.word)

    alive.window.corner.word.set_state = note_state  # type: ignore[method-assign]


def button(root: QWidget, words: str) -> QPushButton:
    """The visible button with these words."""
    return next(b for b in root.findChildren(QPushButton) if b.text() == words and b.isVisible())


async def never(condition: Callable[[], object], seconds: float) -> None:
    """Look at every turn of the loop for so long that something does not happen."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        assert not condition()
        await asyncio.sleep(0.01)
