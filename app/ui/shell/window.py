"""The main window: places side by side with a rail, one bar for sign-in, drawer and palette; it is the Navigator."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.core.auth.status import CredentialState
from app.core.errors import SignInNeeded
from app.ui.context import Context
from app.ui.shell.commands import own_commands, project_commands
from app.ui.shell.corner import StatusCorner
from app.ui.shell.history import History
from app.ui.shell.keymap import portable
from app.ui.shell.layout import (
    DRAWER_SETTING,
    MODE_SETTING,
    PLACE_SETTING,
    SCALE_SETTING,
    SMALLEST,
    WINDOW_SETTING,
    dress,
    geometry,
    place_window,
    two_sizes,
)
from app.ui.shell.panes import first_focus, next_pane
from app.ui.shell.previous_account import PreviousAccountBanner
from app.ui.shell.rail import Rail
from app.ui.shell.shortcuts import Shortcuts
from app.ui.shell.signin_bar import SignInBar
from app.ui.theme import apply_theme, theme
from app.ui.widgets.announce import announce
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.guard import guarded
from app.ui.widgets.page import RememberedSplitter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QCloseEvent, QKeyEvent, QShowEvent

    from app.core.auth.status import CredentialStatus
    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.storage import Scope
    from app.ui.bridge import Bridge
    from app.ui.context import Command
    from app.ui.place import Place
    from app.ui.place_info import PlaceInfo
    from app.ui.shell.crash import Crashes
    from app.ui.shell.details import SignInDetails
    from app.ui.shell.drawer import ActivityDrawer
    from app.ui.shell.palette import Palette
    from app.ui.signin.first_run import FirstRun

log = logging.getLogger(__name__)

SAVE_AFTER_MS = 400
FLUSH_SECONDS = 1.0
SCALES = (1.0, 1.1, 1.25, 1.5, 1.75, 2.0)


class MainWindow(QWidget):
    """See the package's docstring for `places` and `first_run`.

    Built without the network and before any coroutine runs: everything that needs the loop starts with `start()`, or
    with the first event of the services.
    """

    backend_shown = Signal(object)
    closing = Signal()

    def __init__(
        self,
        services: Services,
        bridge: Bridge,
        places: Sequence[PlaceInfo],
        first_run: Callable[[], FirstRun] | None = None,
        *,
        paint_first: bool = False,
    ) -> None:
        """`paint_first` leaves the place to be shown out until `fill`: its import and building cost as much again."""
        dress(services.storage.settings)
        super().__init__()
        self.setWindowTitle("Burrow")
        self.context = Context(services, bridge, self)
        self._services, self._bridge = services, bridge
        self._infos = {info.id: info for info in places}
        self._make_first_run = first_run
        self._first_run: FirstRun | None = None
        self._built: dict[str, Place] = {}
        self._home_of_key = {portable(key): info.id for info in places for key in info.global_keys}
        self._unsubscribes: list[Callable[[], None]] = []
        self._history = History()
        self._place = ""
        self._choosing_host = False
        self._filled = not paint_first
        self.palette_overlay: Palette | None = None
        self.drawer: ActivityDrawer | None = None
        self._details: SignInDetails | None = None
        self._crashes: Crashes | None = None
        self._backend: Backend | None = None
        self._known: tuple[Scope | None, str] = (None, "")
        self._save = QTimer(self, singleShot=True, interval=SAVE_AFTER_MS)
        self._save.timeout.connect(self._save_later)
        self._build()
        self._commands = own_commands(self, places)
        self._shortcuts = Shortcuts(self, self._key_pressed)
        self._shortcuts.bind(command.keys for command in self._commands)
        self._shortcuts.bind(self._home_of_key)
        place_window(self, services.storage.settings.get(WINDOW_SETTING))
        bridge.listen(self, services.backend_changed, self._backend_changed)
        bridge.failed_job.connect(self._show_failure)
        bridge.crashed.connect(self._show_crash)
        self._backend_changed(services.backend)

    @property
    def backend(self) -> Backend | None:
        """The host the window shows."""
        return self._backend

    def fill(self) -> None:
        """Build what was left out for the first paint."""
        self._filled = True
        self._choose_page()

    @property
    def current(self) -> str:
        """The name of the place in view, empty while there is none."""
        return self._place

    def place(self, name: str) -> Place | None:
        """The widget of a place, None until it was first shown."""
        return self._built.get(name)

    # Navigator

    def go(self, place: str, item: str | None = None) -> None:
        """Show a place and, in it, an item."""
        # Asked before the former place is hidden: Qt then hands its focus to whatever comes next.
        stays = place == self._place and self._focused_in(self._built.get(place))
        if not self._show_place(place):
            return
        self._history.visit(place, item)
        if not stays:
            self._focus_place()
        if item is not None:
            self._active().open_item(item)

    def announce(self, text: str, *, assertive: bool = False) -> None:
        """Say `text` to assistive technology."""
        announce(self, text, assertive=assertive)

    def status(self, text: str) -> None:
        """A passing word in the status corner."""
        self.corner.set_passing(text)

    def sign_in(self) -> None:
        """Sign in to the current host in the browser."""
        backend = self._services.backend
        if backend is None:
            self.choose_host()
            return
        self._bridge.spawn(
            self,
            self._sign_in(backend),
            done=lambda _nothing: self.bar.sign_in_ended(),
            failed=self.bar.sign_in_ended,
            key="sign-in",
        )

    async def allow(self, scopes: Sequence[str]) -> None:
        """Have the browser ask for these permissions besides those granted; see `Navigator`."""
        backend = self._services.backend
        if backend is None:
            raise SignInNeeded("No server is connected.")
        sign_in = await backend.session.begin_sign_in(scopes=scopes)
        self.bar.show_browser(sign_in)
        try:
            await sign_in.finish()
        finally:
            # The card that asked says how it went.
            self.bar.leave_browser(sign_in, backend.session.status)

    # What a person can ask for

    def choose_host(self) -> None:
        """Show the choice of servers; the present one stays connected until another is chosen."""
        self._choosing_host = True
        self._choose_page()

    def stay_here(self) -> None:
        """Leave the choice of servers for the place that was shown."""
        self._choosing_host = False
        self._choose_page()

    def open_palette(self, typed: str = "") -> None:
        """Ctrl+K."""
        if self.palette_overlay is None:
            from app.ui.shell.palette import Palette

            self.palette_overlay = Palette(self, self._palette_commands)
        self.palette_overlay.open(typed)

    def toggle_drawer(self) -> None:
        """Ctrl+J."""
        if self.drawer is None:
            from app.ui.shell.drawer import ActivityDrawer

            self.drawer = ActivityDrawer(self._services.activity, self._bridge)
            self.drawer.closed.connect(self._close_drawer)
            self._vertical.addWidget(self.drawer)
            remembered = self._services.storage.settings.get(DRAWER_SETTING)
            self._vertical.setSizes(two_sizes(remembered, self._vertical.height()))
            self.drawer.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)
        elif self.drawer.isVisible():
            self._close_drawer()
        else:
            self.drawer.setVisible(True)
            self.drawer.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def open_key_sheet(self) -> None:
        """Ctrl+/."""
        from app.ui.shell.key_sheet import KeySheet

        KeySheet(self._every_command(), self).open()

    def open_sign_in_details(self) -> None:
        """Account ▸ Sign-in details: one page, which is raised when it is asked for again."""
        if self._backend is None:
            return
        if self._details is None:
            from app.ui.shell.details import SignInDetails

            self._details = SignInDetails(self._backend, self._bridge, self)
            self._details.sign_in_wanted.connect(self.sign_in)
            self._details.sign_out_wanted.connect(self.sign_out)
            self._details.finished.connect(self._details_closed)
            self._details.show()
        self._details.raise_()
        self._details.activateWindow()

    def _details_closed(self) -> None:
        self._details = None

    def sign_out(self) -> None:
        """Forget the grant here and revoke it there."""
        if self._backend is not None:
            self._bridge.spawn(self, self._backend.session.sign_out(), key="sign-out")

    def set_mode(self, mode: str) -> None:
        """Light, dark or as the system; remembered."""
        app = QApplication.instance()
        if isinstance(app, QApplication) and mode in {"system", "light", "dark"}:
            apply_theme(app, cast("Any", mode), theme().user_scale)
            self._remember(MODE_SETTING, mode)

    def change_scale(self, step: int) -> None:
        """Larger or smaller text by a step; 0 is the usual size; remembered."""
        near = min(range(len(SCALES)), key=lambda n: abs(SCALES[n] - theme().user_scale))
        scale = SCALES[min(max(near + step, 0), len(SCALES) - 1)] if step else 1.0
        app = QApplication.instance()
        if isinstance(app, QApplication):
            apply_theme(app, theme().mode, scale)
            self._remember(SCALE_SETTING, scale)

    async def flush(self) -> None:
        """Let every place write what it still holds back: half a second of typing, a deletion that could be undone."""
        import asyncio

        held = [place.flush() for place in self._built.values()]
        done = await asyncio.gather(*(asyncio.wait_for(each, FLUSH_SECONDS) for each in held), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                log.warning("a place could not write what it held back: %s", type(failure).__name__)

    async def save_layout(self) -> None:
        """Write size, place and drawer; await it before the storage closes."""
        self._save.stop()
        for key, value in self._layout().items():
            await self._services.storage.settings.set(key, value)

    # Building

    def _build(self) -> None:
        self.corner = StatusCorner()
        self.corner.project_wanted.connect(self.select_project)
        self.corner.all_projects_wanted.connect(lambda: self.open_palette(self.tr("Project ")))
        self.corner.sign_in_wanted.connect(self.sign_in)
        self.corner.sign_out_wanted.connect(self.sign_out)
        self.corner.details_wanted.connect(self.open_sign_in_details)
        self.corner.host_wanted.connect(self.choose_host)
        self.corner.mode_wanted.connect(self.set_mode)
        self.rail = Rail(self.corner)
        self.rail.chosen.connect(self._look_at)
        self.rail.list.opened.connect(self.go)
        self.bar = SignInBar()
        self.bar.sign_in_wanted.connect(self.sign_in)
        self.bar.details_wanted.connect(self.open_sign_in_details)
        self.bar.store_wanted.connect(self._choose_store)
        self.bar.said.connect(lambda text, assertive: self.announce(text, assertive=assertive))
        self.previous_account = PreviousAccountBanner(self._services.storage, self._bridge)
        self.previous_account.said.connect(self.announce)
        self.stack = QStackedWidget()
        self._vertical = RememberedSplitter(
            Qt.Orientation.Vertical, [self.stack], [500], lambda _sizes: self._save.start()
        )
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.bar)
        column.addWidget(self.previous_account)
        column.addWidget(self._vertical, 1)
        self._shell = QWidget()
        row = QHBoxLayout(self._shell)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.rail)
        row.addWidget(right, 1)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._shell)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._pages)
        self.setMinimumSize(theme().px(SMALLEST.width()), SMALLEST.height())
        show_focus_ring(self)

    def _available(self) -> list[PlaceInfo]:
        return [info for info in self._infos.values() if info.available(self._backend)]

    def _show_place(self, name: str) -> bool:
        if name not in {info.id for info in self._available()}:
            return False
        widget = self._built.get(name)
        if widget is None:
            widget = self._build_place(name)
        if self._choosing_host:
            self.stay_here()
        changed = self._place != name
        self._place = name
        self._listen_here()
        self.stack.setCurrentWidget(widget)
        self.rail.set_current(name)
        if changed:
            self._active().activate()
            self._save.start()
        return True

    def _look_at(self, name: str) -> None:
        """Show a place while the focus stays in the rail."""
        if self._show_place(name):
            self._history.visit(name, None)

    def _focus_place(self) -> None:
        place = self._built.get(self._place)
        found = (first_focus(part) for part in (*_visible_panes(place), place)) if place is not None else iter(())
        target = next((each for each in found if each is not None), None)
        if target is not None:
            target.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _focused_in(self, widget: QWidget | None) -> bool:
        focused = QApplication.focusWidget()
        return widget is not None and focused is not None and widget.isAncestorOf(focused)

    def _build_place(self, name: str) -> Place:
        place = self._infos[name].make(self.context)
        self._built[name] = place
        self.stack.addWidget(place)
        place.count_changed.connect(lambda count, name=name: self._counted(name, count))
        place.waiting_sent.connect(self.bar.add_sent)
        place.call_resumed.connect(self.bar.add_repeated)
        place.waiting_changed.connect(self._waiting_changed)
        place.set_backend(self._backend)
        self._shortcuts.bind((command.keys for command in place.commands()), place)
        return place

    def _counted(self, place: str, count: int) -> None:
        self.rail.set_count(place, count)
        self._waiting_changed()

    def _waiting_changed(self) -> None:
        if self._backend is not None and self._backend.session.status.state is CredentialState.NEEDS_SIGN_IN:
            self._count_waiting()

    def _active(self) -> Place:
        return self._built[self._place]

    # Keys and commands

    def _key_pressed(self, keys: str) -> None:
        if self._pages.currentWidget() is not self._shell:
            return
        home = self._home_of_key.get(keys)
        if home is not None:
            self.go(home)
        command = self._command_of(keys)
        if command is not None and command.enabled():
            command.run()

    def _command_of(self, keys: str) -> Command | None:
        """The command a key means here: the place in view goes before the window."""
        here = self._active().commands() if self._place in self._built else ()
        return next((each for each in (*here, *self._commands) if each.keys and portable(each.keys) == keys), None)

    def _listen_here(self) -> None:
        """Bind the keys of the window and of the place in view: another place's keys belong to the focus."""
        commands = (*self._commands, *self._active().commands())
        self._shortcuts.listen_only_to([*self._home_of_key, *(command.keys for command in commands)])

    def _every_command(self) -> list[Command]:
        names = sorted(self._built, key=lambda name: name != self._place)
        found: dict[str, Command] = {}
        for commands in (*(self._built[name].commands() for name in names), self._commands):
            for command in commands:
                found.setdefault(command.id, command)
        return list(found.values())

    def _palette_commands(self) -> list[Command]:
        commands = [command for command in self._every_command() if command.id != "window.palette"]
        for place in self._built.values():
            commands.extend(place.items())
        return commands + project_commands(self)

    def refresh_place(self) -> None:
        """F5."""
        if self._place:
            self._active().refresh()

    def filter_place(self) -> None:
        """`/` and Ctrl+F."""
        if self._place:
            self._active().focus_filter()

    def back(self) -> None:
        """Alt+Left."""
        self._go_without_history(self._history.back())

    def forward(self) -> None:
        """Alt+Right."""
        self._go_without_history(self._history.forward())

    def _go_without_history(self, stop: tuple[str, str | None] | None) -> None:
        if stop is not None and self._show_place(stop[0]) and stop[1] is not None:
            self._active().open_item(stop[1])

    def move_pane(self, step: int) -> None:
        """F6 and Shift+F6."""
        panes: list[QWidget] = [self.rail]
        panes.extend(bar for bar in (self.bar, self.previous_account) if bar.isVisible())
        if self._place:
            panes.extend(_visible_panes(self._active()))
        if self.drawer is not None and self.drawer.isVisible():
            panes.append(self.drawer)
        pane = next_pane(panes, QApplication.focusWidget(), step)
        target = first_focus(pane) if pane is not None else None
        if target is not None:
            target.setFocus(Qt.FocusReason.TabFocusReason)

    def _close_drawer(self) -> None:
        drawer = self.drawer
        if drawer is None:
            return
        inside = self._focused_in(drawer)
        drawer.setVisible(False)
        if inside:
            self._focus_place()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            if self._focused_in(self.drawer):
                self._close_drawer()
                return
            if self._choosing_host and self._signed_in_once():
                self.stay_here()
                return
        super().keyPressEvent(event)

    # The backend

    def _backend_changed(self, backend: Backend | None) -> None:
        for unsubscribe in self._unsubscribes:
            unsubscribe()
        self._unsubscribes = []
        self._backend = backend
        self._choosing_host = False
        if backend is not None:
            self._unsubscribes = [
                self._bridge.listen(self, backend.changed, self._account_changed),
                self._bridge.listen(self, backend.session.changed, self._session_changed),
            ]
        self._bridge.cancel(self, "sign-in")
        if self._details is not None:
            self._details.reject()
        self.bar.set_status(None)
        self.previous_account.forget()
        self._known = _known(backend)
        self.rail.set_places(self._available())
        self._tell_places()
        self._session_changed(backend.session.status if backend is not None else None)

    def _account_changed(self, backend: Backend) -> None:
        if backend is self._backend:
            (former, name), self._known = self._known, _known(backend)
            self.corner.refresh()
            self.rail.set_places(self._available())
            self._tell_places()
            if former is not None and former != self._known[0]:
                # After the places have kept what was being typed: it belongs to the former account too.
                self.previous_account.forget()
                self.previous_account.ask(former, name)

    def _session_changed(self, status: CredentialStatus | None) -> None:
        # Values arrive in a later turn: what counts is how the session stands now.
        current = self._backend.session.status if self._backend is not None else status
        self.corner.set_backend(self._backend)
        grant = self._backend.session.grant if self._backend is not None else None
        self.bar.set_status(current, grant.tokens.generation if grant is not None else 0)
        if current is not None and current.state is CredentialState.NEEDS_SIGN_IN:
            self._count_waiting()
        self._choose_page()

    def _tell_places(self) -> None:
        for place in self._built.values():
            place.set_backend(self._backend)
        self.backend_shown.emit(self._backend)

    def _choose_page(self) -> None:
        """The choice of servers while nobody is signed in anywhere, else the places."""
        page: QWidget = self._shell
        if self._make_first_run is not None and self._wants_first_run():
            if self._first_run is None:
                self._first_run = self._make_first_run()
                self._pages.addWidget(self._first_run)
            self._first_run.set_can_leave(self._choosing_host and self._signed_in_once())
            page = self._first_run
        turned = self._pages.currentWidget() is not page
        if turned:
            self._pages.setCurrentWidget(page)
        if page is self._shell and self._place not in {info.id for info in self._available()}:
            remembered = self._services.storage.settings.get(PLACE_SETTING, "")
            if not self._filled:
                self.rail.set_current(str(remembered or next(iter(self._infos), "")))
            elif not self._show_place(str(remembered)):
                self._show_place(next(iter(self._infos), ""))
        if turned and page is self._shell and self.isVisible():
            self._focus_place()

    def _wants_first_run(self) -> bool:
        if self._choosing_host:
            return True
        if self._backend is None:
            return self._services.storage.settings.get("host") is None
        status = self._backend.session.status
        if status.state is CredentialState.RESTORING and status.trouble is None:
            return self._first_run is not None and self._pages.currentWidget() is self._first_run
        return status.state is CredentialState.SIGNED_OUT

    def _signed_in_once(self) -> bool:
        return self._backend is not None and self._backend.session.status.state is not CredentialState.SIGNED_OUT

    async def _sign_in(self, backend: Backend) -> None:
        sign_in = await backend.session.begin_sign_in()
        self.bar.show_browser(sign_in)
        await sign_in.finish()

    def _choose_store(self, kind: str) -> None:
        if self._backend is not None:
            self._bridge.spawn(self, self._backend.session.choose_store(kind), key="store")

    def select_project(self, project_id: int) -> None:
        """Work in another project."""
        if self._backend is not None:
            self._bridge.spawn(self, self._backend.select_project(project_id), key="project")

    def _count_waiting(self) -> None:
        backend = self._backend
        if backend is None or backend.scope is None:
            return
        outbox = self._services.storage.outbox
        scope = backend.scope

        async def count() -> int:
            return len(await outbox.list(scope))

        calls = sum(place.waiting for place in self._built.values())
        self._bridge.spawn(self, count(), done=lambda found: self.bar.set_waiting_work(found, calls), key="waiting")

    # What nobody else shows

    def _show_failure(self, failure: BurrowError) -> None:
        """An expected error that no place took: a word in the corner; the details are in the activity."""
        self.status(failure.title)
        self.announce(f"{failure.title}. {failure.cause}")

    def _show_crash(self, failure: BaseException) -> None:
        if self._crashes is None:
            from app.ui.shell.crash import Crashes

            self._crashes = Crashes(self, self._services.folder)
        self._crashes.show(failure)

    # What is remembered

    def _layout(self) -> dict[str, object]:
        found: dict[str, object] = {WINDOW_SETTING: geometry(self)}
        if self._place:
            found[PLACE_SETTING] = self._place
        if self.drawer is not None and self.drawer.isVisible():
            found[DRAWER_SETTING] = self._vertical.sizes()
        return found

    def _save_later(self) -> None:
        for key, value in self._layout().items():
            self._remember(key, value)

    def _remember(self, key: str, value: object) -> None:
        try:
            self._bridge.spawn(self, self._services.storage.settings.set(key, value), failed=_ignore, key=f"save {key}")
        except RuntimeError:
            return

    @guarded()
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.WindowStateChange and self.isVisible():
            self._save.start()

    @guarded()
    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        if self.isVisible():
            self._save.start()

    @guarded()
    def moveEvent(self, event: Any) -> None:
        super().moveEvent(event)
        if self.isVisible():
            self._save.start()

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if QApplication.focusWidget() is None and self.focusWidget() is None:
            self._focus_place()

    @guarded()
    def closeEvent(self, event: QCloseEvent) -> None:
        self._save.stop()
        self.closing.emit()
        super().closeEvent(event)


def _known(backend: Backend | None) -> tuple[Scope | None, str]:
    """The account of a backend and what it is called."""
    if backend is None or backend.account is None:
        return None, ""
    return backend.scope, backend.account.short_name


def _visible_panes(place: Place) -> list[QWidget]:
    return [pane for pane in place.panes() if pane.isVisible()]


def _ignore(_error: BurrowError) -> None:
    """A size that could not be written is not worth a word."""
