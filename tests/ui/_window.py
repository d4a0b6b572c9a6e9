"""The real window with its real places on the real services and a freshly seeded workspace process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.core.backend import Backend
from app.core.fetcher import plain_json
from app.core.lab import Lab
from app.core.posthog.profile import sign_in_with_ticket
from app.core.services import Services
from app.ui.bridge import Bridge
from app.ui.connect.place import ConnectPlace
from app.ui.places import PLACES
from app.ui.servers.place import ServersPlace
from app.ui.shell.window import MainWindow
from app.ui.signin.connector import HostConnector
from app.ui.tasks.place import TasksPlace
from app.ui.theme import apply_theme
from app.ui.theme.apply import Mode
from tests.conftest import RunningWorkspace
from tests.ui._spares import SPARES
from tests.ui._tasks_fakes import settle, until


@dataclass
class Living:
    """`said` is what was announced: (text, assertive). `seen` are the words of the status corner, in order."""

    window: MainWindow
    backend: Backend
    services: Services
    running: RunningWorkspace | None = None
    said: list[tuple[str, bool]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    @property
    def lab(self) -> Lab:
        if self.running is not None:
            return Lab(self.running.url, self.running.secret)
        assert self.backend.lab is not None
        return self.backend.lab

    @property
    def tasks(self) -> TasksPlace:
        place = self.window.place("tasks")
        assert isinstance(place, TasksPlace)
        return place

    @property
    def servers(self) -> ServersPlace:
        place = self.window.place("servers")
        assert isinstance(place, ServersPlace)
        return place

    @property
    def connect(self) -> ConnectPlace:
        place = self.window.place("connect")
        assert isinstance(place, ConnectPlace)
        return place

    @property
    def loud(self) -> list[str]:
        """What was announced assertively."""
        return [text for text, assertive in self.said if assertive]

    @property
    def waiting(self) -> list[str]:
        """The states of the tasks on their way to the server."""
        return [pending.state.value for pending in self.tasks.outbox.pending]

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
        """As Ana, without the window's doing."""
        if self.running is not None:
            await sign_in_on(self.backend, self.running)
        else:
            await sign_in_with_ticket(self.backend.credential, await self.services.workspace.ticket())

    async def ticket(self) -> str:
        """What stands for Ana having agreed on the consent page."""
        return await (self.services.workspace.ticket() if self.running is None else ticket_of(self.running))

    async def write_task(self, words: str) -> None:
        """Describe a task and send it, as Ctrl+Enter does."""
        self.tasks.selection.new_task()
        self.tasks.pages.composer.description.setPlainText(words)
        self.tasks.pages.composer.submit()
        await settle()


async def ticket_of(running: RunningWorkspace) -> str:
    answer = await plain_json("POST", f"{running.url}/_tickets", headers={"X-Workspace-Secret": running.secret})
    return str(answer["ticket"])


async def consent(url: str, ticket: str) -> None:
    """What the browser does: the person agrees on the consent page, which leads back to this computer."""
    async with httpx.AsyncClient(trust_env=False, verify=False, follow_redirects=True, timeout=10) as client:
        await client.get(f"{url}&login_ticket={ticket}")


async def sign_in_on(backend: Backend, running: RunningWorkspace) -> None:
    """As Ana, in the browser."""
    attempt = await backend.credential.begin_sign_in(open_browser=False)
    await consent(attempt.url, await ticket_of(running))
    await attempt.finish()


async def sign_in_before(folder: Path, running: RunningWorkspace, store: str = "file") -> None:
    """Ana has signed in on this data folder at an earlier start, and her sign-in was kept in `store`."""
    services = Services(folder)
    try:
        backend = await services.connect(await services.resolve(running.url))
        await backend.credential.choose_store(store)
        await sign_in_on(backend, running)
        await backend.ready()
        assert backend.credential.status.persistent
    finally:
        await services.close()


class Popups(QObject):
    """Every top-level widget that appears besides the window: there are no toasts."""

    def __init__(self, window: QWidget, allowed: tuple[str, ...]) -> None:
        super().__init__()
        self._window, self._allowed = window, allowed
        self.found: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
            kind = type(watched).__name__
            if watched is not self._window and kind not in self._allowed:
                self.found.append(kind)
        return False


@asynccontextmanager
async def living(
    qapp: QApplication,
    folder: Path,
    *,
    place: str = "tasks",
    running: RunningWorkspace | None = None,
    opens: tuple[str, ...] = (),
    loads: bool = True,
    starts: bool = False,
    mode: Mode = "light",
    scale: float = 1.0,
    size: tuple[int, int] = (1100, 720),
) -> AsyncIterator[Living]:
    """A window, signed in, with its tasks loaded and `place` in view; nothing pops up besides `opens`.

    On the embedded workspace, or on `running`, where somebody has signed in before (`sign_in_before`). The embedded one
    runs already, unless Burrow `starts` it. Without `loads` what is shown are the saved lists. `size` is the window's.
    """
    apply_theme(qapp, mode, scale)
    if running is None and not starts:
        SPARES.lend(folder)
    services, bridge = Services(folder), Bridge()
    connecting = HostConnector(services, bridge, choose=lambda: window.choose_host(), stay=lambda: window.stay_here())
    window = MainWindow(services, bridge, PLACES, connecting)
    popups = Popups(window, opens)
    qapp.installEventFilter(popups)
    window.resize(*size)
    window.show()
    window.activateWindow()
    try:
        connecting.begin("workspace" if running is None else running.url)
        await until(lambda: services.backend is not None and services.backend.project is not None, 20)
        await until(lambda: window.place("tasks") is not None, 20)
        assert services.backend is not None
        alive = Living(window, services.backend, services, running)
        if loads:
            await until(lambda: alive.tasks.controller.load.loaded, 15)
            # The pins come by a request of their own.
            await until(lambda: "Pinned" in alive.titles(), 15)
        await settle()
        watch(alive)
        window.go(place)
        await settle()
        yield alive
    finally:
        await window.stack.flush()
        await bridge.close()
        await services.close()
        window.close()
        window.deleteLater()
        await settle()
        qapp.removeEventFilter(popups)
        apply_theme(qapp, "light", 1.0)
    assert popups.found == [], popups.found


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
