"""The main window: the places beside a rail, the sign-in bar above them. Places navigate through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.context import Context
from app.ui.settings import UiSettings
from app.ui.shell.appearance import Appearance, restore_appearance
from app.ui.shell.backend_follower import BackendFollower
from app.ui.shell.bar_stack import BarStack
from app.ui.shell.corner import StatusCorner
from app.ui.shell.doors import DoorsButton
from app.ui.shell.drawer_host import DrawerHost
from app.ui.shell.footnote import Footnote
from app.ui.shell.forward import bring_forward
from app.ui.shell.layout import SMALLEST, WindowLayout
from app.ui.shell.pages import WindowPages
from app.ui.shell.panes import holds_focus, move_focus, visible_panes
from app.ui.shell.place_stack import PlaceStack
from app.ui.shell.rail import Rail
from app.ui.shell.signin_bar import SignInBar
from app.ui.shell.titles import window_title
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.guard import guarded
from app.ui.widgets.mnemonics import show_mnemonics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QCloseEvent, QKeyEvent, QShowEvent

    from app.core.backend import Backend
    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.errors import BurrowError
    from app.core.known_accounts import KnownAccount
    from app.core.mcp.proxy.approvals import Approvals
    from app.core.services import Services
    from app.core.storage import Scope
    from app.ui.bridge import Bridge
    from app.ui.context import Command
    from app.ui.place import Place
    from app.ui.place_info import PlaceInfo
    from app.ui.shell.approval_desk import ApprovalDesk
    from app.ui.shell.approval_prompt import ApprovalPrompt
    from app.ui.shell.background import Background
    from app.ui.shell.command_map import CommandMap
    from app.ui.shell.crash_care import CrashCare
    from app.ui.shell.leaving import Leaving
    from app.ui.shell.session_end import DesktopSession
    from app.ui.shell.update_care import UpdateCare
    from app.ui.signin.connector import HostConnector

# The setting where the settings page shows the updates.
UPDATES_SETTING = "updates.mode"


class MainWindow(QWidget):
    """Builds the parts of the window and connects them.

    It is the `Navigator` of its places and the `WindowActions` of its commands. It is built without the network and
    before any coroutine runs; what needs the loop starts with the first event of the services. Until `fill` there are
    only the attributes that can be seen: `rail`, `corner`, `bar`, `stack`, `drawers`, `pages`.

    Attributes:
        context: what every place is given.
        appearance, layout_memory: light or dark and text size; what is remembered of the window itself.
        follower: which host is connected, as whom, and how its credential stands.
        pages: the first page, or everything below.
        rail, corner: the places at the left, and below them project, account and state.
        footnote: what the corner says, below the place, while the window is too narrow for it there.
        bars: the bars above everything: of an update, a crash, a link, safe mode, the end of Burrow.
        bar, previous_account: the sign-in bar, and what another account left here.
        stack: the places, each built when it is first shown.
        drawers: the stack, and below it the activity drawer.
        navigation: which place is in view, back and forward.
        sign_ins: signing in and out, permissions, the store of the sign-in.
        leaving: ends Burrow, and asks before if something would be lost or broken off; None until `fill`.
        updates: tells of updates; None until `follow_updates`.
        crashes: tells of crashes and of safe mode, and restarts Burrow; None until `care_for`.
        notices: the notifications of the desktop.
        background: what closing the window does, and the icon in the tray.
        session: the end of the desktop's session; None until `follow_session`.
        approvals: the calls of agents that wait for the user's word; None until `attend`.
        dialogs: palette, key sheet, sign-in details, the dialog for a bug.
        commands: which command a key means, and what the palette offers.
        links, further_starts: `burrow://` links; what starting Burrow again asks for.

    `backend_shown(Backend | None)` once the places know of another host, account or project. `left()` once the window
    has closed for good.
    """

    backend_shown = Signal(object)
    left = Signal()

    def __init__(
        self,
        services: Services,
        bridge: Bridge,
        places: Sequence[PlaceInfo],
        connector: HostConnector | None = None,
        *,
        paint_first: bool = False,
    ) -> None:
        """`paint_first` makes only what can be seen, and leaves the rest to `fill`: it takes as long again.

        `connector` makes the page that is shown while nobody is signed in, and goes from account to account.
        """
        restore_appearance(services.storage.settings)
        super().__init__()
        self.setWindowTitle(window_title(""))
        self.context = Context(services, bridge, self)
        self._services, self._bridge, self._places, self._connector = services, bridge, places, connector
        settings = self._settings = UiSettings(services.storage.settings, bridge, self)
        self.appearance = Appearance(settings)
        # Whether the user has been in another application since.
        self._was_left = False
        self.follower = BackendFollower(services, bridge, self)
        self.corner = StatusCorner(connector)
        self.doors = DoorsButton(lambda: self.commands.own)
        self.rail = Rail(self.corner, doors=self.doors)
        self.bar = SignInBar()
        self.footnote = Footnote()
        self.corner.unsaid.connect(self.footnote.say)
        self.stack = PlaceStack(self.context, places)
        # Each of the next two asks the other: the layout has the height of the drawer.
        self.drawers = DrawerHost(self.stack, services, bridge, settings, lambda: self.layout_memory.changed())
        self.layout_memory = WindowLayout(
            self, settings, place=lambda: self.stack.current_id, drawer=self.drawers.heights
        )
        self.leaving: Leaving | None = None
        self.approvals: ApprovalDesk | None = None
        self.crashes: CrashCare | None = None
        self.updates: UpdateCare | None = None
        self.session: DesktopSession | None = None
        self.pages = WindowPages(
            self._arranged(),
            services,
            self.follower,
            connector,
            [
                (self.tr("Settings"), "Ctrl+,", self.open_settings),
                (self.tr("Help"), "F1", self.open_help),
            ],
        )
        self._whole = QVBoxLayout(self)
        self._whole.setContentsMargins(0, 0, 0, 0)
        self._whole.setSpacing(0)
        self.bars = BarStack()
        self._whole.addWidget(self.bars)
        self._whole.addWidget(self.pages)
        self._fit_text()
        theme().changed.connect(self._fit_text)
        show_focus_ring(self)
        show_mnemonics(self)
        self.layout_memory.restore()
        if paint_first:
            self.rail.set_places(self.stack.available())
            self.rail.set_current(self.layout_memory.place or self.stack.first_id)
            self.pages.choose()
        else:
            self.fill()

    def fill(self) -> None:
        """Make what was left out for the first paint, and follow the services from now on."""
        from app.ui.shell.background import Background
        from app.ui.shell.command_map import CommandMap
        from app.ui.shell.commands import own_commands
        from app.ui.shell.dialogs import Dialogs
        from app.ui.shell.further_starts import FurtherStarts
        from app.ui.shell.leaving import Leaving
        from app.ui.shell.link_desk import LinkDesk
        from app.ui.shell.navigation import Navigation
        from app.ui.shell.notices import Notices
        from app.ui.shell.previous_account import PreviousAccountBanner
        from app.ui.shell.sign_in import SignInController
        from app.ui.theme.app_icon import app_icon
        from app.ui.widgets.accessible_roles import install_roles

        install_roles(self)
        QApplication.setWindowIcon(app_icon())
        self.dialogs = Dialogs(self, self._bridge)
        self.notices = Notices(self, self._services.activity, self._bridge, self._settings, forward=self.bring_forward)
        self.navigation = Navigation(self.stack)
        self.links = LinkDesk(self, self)
        self.further_starts = FurtherStarts(self, self, self._connect_host)
        self.previous_account = PreviousAccountBanner(self._services.storage, self._bridge)
        self._column.insertWidget(1, self.previous_account)
        services = self._services
        self.leaving = Leaving(
            self,
            self.stack,
            services.storage.drafts,
            services.busy,
            self._bridge,
            place=self.bars.put,
        )
        self.leaving.show_window = self.bring_forward
        self.background: Background = Background(self, self, services, self._settings, self._bridge, self.notices)
        self.leaving.hides = self.background.hides
        self._show_notice()
        self.sign_ins = SignInController(
            self._services,
            self._bridge,
            self.bar,
            choose_host=self.choose_host,
            waiting_calls=lambda key: sum(place.waiting_for(key) for _, place in self.stack.built()),
        )
        self.commands: CommandMap = CommandMap(
            self,
            self.stack,
            own_commands(self, self._places),
            self._places,
            active=lambda: self.pages.shows_places,
            go=self.go,
        )
        self._connect()
        self.follower.start()

    @property
    def backend(self) -> Backend | None:
        """The host the window shows."""
        return self.follower.backend

    @property
    def current(self) -> str:
        """The id of the place in view, empty while there is none."""
        return self.stack.current_id

    def place(self, place_id: str) -> Place | None:
        """A place, None until it was first shown."""
        return self.stack.place(place_id)

    def go(self, place: str, item: str | None = None) -> None:
        """Show a place and, in it, an item."""
        self.navigation.go(place, item)

    def bring_forward(self, activation_token: str = "") -> None:
        """Show the window if it is hidden or minimised, and put it in front of all others.

        `activation_token` is the desktop's word that the user wants it, such as that of a notification's action.
        """
        bring_forward(self, activation_token)

    def put_above(self, bar: QWidget) -> None:
        """Show a bar above everything, the first page too."""
        self.bars.put(bar)

    def _connect_host(self, named: str) -> None:
        if self._connector is not None:
            self._connector.begin(named)

    def announce(self, text: str, *, assertive: bool = False) -> None:
        """Say `text` to assistive technology."""
        announce(self, text, assertive=assertive)

    def status(self, text: str) -> None:
        """Show a temporary message in the status corner."""
        self.corner.set_message(text)

    def sign_in(self) -> None:
        """Sign in to the current host in the browser."""
        self.sign_ins.sign_in()

    async def allow(self, scopes: Sequence[str]) -> None:
        """Have the browser ask for these permissions besides those granted."""
        await self.sign_ins.allow(scopes)

    def choose_host(self) -> None:
        """Show the choice of servers; the present one stays connected until another is chosen."""
        self.status("")
        self._set_choosing(True)

    def stay_here(self) -> None:
        """Leave the choice of servers for the place that was shown."""
        self._set_choosing(False)

    @property
    def accounts(self) -> tuple[KnownAccount, ...]:
        """The accounts that are signed in to on this computer."""
        return self._connector.accounts if self._connector is not None else ()

    @property
    def can_add_account(self) -> bool:
        """Whether one more account of the current host can be added."""
        return self._connector is not None and self._connector.can_add

    def add_account(self) -> None:
        """Show the sign-in page for one more account of the current host."""
        if self._connector is not None:
            self._connector.add_account()

    def switch_account(self, account: KnownAccount) -> None:
        """Connect as another account. Do nothing if it is the current one."""
        if self._connector is not None and (self.backend is None or account.key != self.backend.credential.key):
            self.status(self.tr("Opening {0}…").format(account.name))
            self._connector.use_account(account)

    def attend(self, approvals: Approvals) -> None:
        """Show the questions of agents from now on. Called once, after `fill`."""
        from app.ui.shell.approval_desk import ApprovalDesk

        self.approvals = ApprovalDesk(
            self,
            self,
            approvals,
            self._bridge,
            self.notices,
            place=self._place_prompt,
            leave=self.navigation.focus_place,
        )

    def follow_session(self) -> None:
        """Store what is typed when the desktop's session ends, and tell it of work. Called once, in the loop."""
        from app.ui.shell.session_end import DesktopSession

        if self.leaving is not None:
            self.session = DesktopSession(self.leaving, self._services.busy, self._bridge, self)

    def care_for(self, watch: CrashWatch, *, safe: bool = False) -> None:
        """Tell of crashes from now on. `safe`: Burrow is in safe mode. Called once, in the loop."""
        from app.ui.shell.crash_care import CrashCare

        self.crashes = CrashCare(
            self,
            self,
            watch,
            self._bridge,
            self._settings,
            place=self.bars.put,
            safe=safe,
        )

    @property
    def in_safe_mode(self) -> bool | None:
        """Whether Burrow is in safe mode; None where it cannot be started again."""
        return None if self.crashes is None else self.crashes.safe

    def restart(self, *, safe: bool = False) -> None:
        """End Burrow and start it again, with `safe` in safe mode. The user is asked first as when quitting."""
        if self.crashes is not None:
            self.crashes.restart(safe=safe)

    @property
    def asked(self) -> bool:
        """Whether an agent waits for the user's word."""
        return self.approvals is not None and self.approvals.waiting > 0

    def go_to_question(self) -> None:
        """Put the focus on the question of an agent (Ctrl+Shift+A)."""
        if self.approvals is not None:
            self.approvals.go()

    def leave(self) -> None:
        """End Burrow (Ctrl+Q). The user is asked first if something would be lost or broken off."""
        if self.leaving is not None:
            self.leaving.leave()
        else:
            self.close()

    def open_palette(self, typed: str = "") -> None:
        """Open the command palette (Ctrl+K) with `typed` in its field."""
        self.dialogs.open_palette(self._palette_commands, typed)

    def open_key_sheet(self) -> None:
        """Show the keyboard shortcuts (Ctrl+/)."""
        self.dialogs.open_key_sheet(self.commands.every())

    def open_settings(self, key: str = "") -> None:
        """Show the settings (Ctrl+,), with the focus on the one with this key."""
        from app.ui.shell.settings.section import SettingsContext

        context = SettingsContext(
            self._services, self._bridge, self._settings, self.appearance, self._places, self.background
        )
        self.dialogs.open_settings(context, key)

    def follow_updates(self, *, looks: bool = True) -> None:
        """Say what became of the last update, and with `looks` look for one once a day. Called once, in the loop."""
        from app.ui.shell.notices import NOTIFY_UPDATES
        from app.ui.shell.update_care import UpdateCare

        title = self.tr("An update is ready")
        self.updates = UpdateCare(
            self,
            self._services.updates,
            self._bridge,
            place=self.bars.put,
            restart=self.restart,
            tell=lambda words: self.notices.tell("update", title, words, NOTIFY_UPDATES),
            looks=looks,
        )

    def check_for_updates(self) -> None:
        """Look for updates now, and show in the settings what is found."""
        self.open_settings(UPDATES_SETTING)
        if self._services.updates.possible:
            check = self._services.updates.check()
            # The settings say what went wrong.
            self._bridge.spawn(self, check, failed=lambda trouble: self.status(trouble.title), key="updates")

    def open_about(self) -> None:
        """Show version, licences and the data folder."""
        self.dialogs.open_about(self._services)

    def open_help(self) -> None:
        """Show how to get around (F1)."""
        from app.ui.shell.commands import restarting

        self.dialogs.open_help(
            [
                (self.tr("Keyboard shortcuts"), self.open_key_sheet),
                (self.tr("Settings"), self.open_settings),
                (self.tr("About Burrow"), self.open_about),
                *([(self.tr("Restart in safe mode"), restarting(self, True))] if self.in_safe_mode is False else []),
            ]
        )

    def open_sign_in_details(self, key: str = "") -> None:
        """Account ▸ Sign-in details: of the current account, or of the sign-in with this key."""
        sign_in = self.sign_ins.find(key)
        if sign_in is not None:
            self.dialogs.open_details(self._services, sign_in.key)

    def select_project(self, project_id: int) -> None:
        """Work in another project."""
        if self.backend is not None:
            self._bridge.spawn(self, self.backend.select_project(project_id), key="project")

    def move_pane(self, step: int) -> None:
        """Move the focus to the next (1) or previous (-1) pane (F6, Shift+F6)."""
        prompt = self.approvals.prompt if self.approvals is not None else None
        told = (prompt, self.bars, self.bar, self.previous_account)
        bars = [bar for bar in told if bar is not None and bar.isVisible()]
        panes: list[QWidget] = [self.rail, *bars]
        if self.stack.current is not None:
            panes.extend(visible_panes(self.stack.current))
        if self.drawers.drawer is not None and self.drawers.drawer.isVisible():
            panes.append(self.drawers.drawer)
        move_focus(panes, step)

    def _place_prompt(self, prompt: ApprovalPrompt) -> None:
        # Above everything: a client can call a tool while the first page is in view.
        self._whole.insertWidget(0, prompt)
        prompt.covering.connect(lambda covered: self.pages.setVisible(not covered))

    def _arranged(self) -> QWidget:
        right = QWidget()
        self._column = QVBoxLayout(right)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.addWidget(self.bar)
        self._column.addWidget(self.drawers, 1)
        self._column.addWidget(self.footnote)
        whole = QWidget()
        row = QHBoxLayout(whole)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.rail)
        row.addWidget(right, 1)
        return whole

    def _connect(self) -> None:
        self._bridge.failed_job.connect(self._show_failure)
        self._bridge.crashed.connect(self._show_crash)
        self.follower.backend_changed.connect(self._show_backend)
        self.follower.account_changed.connect(self._show_account)
        self.follower.account_left.connect(self._ask_about)
        self.follower.status_changed.connect(self._show_status)
        corner = self.corner
        corner.project_wanted.connect(self.select_project)
        corner.all_projects_wanted.connect(lambda: self.open_palette(self.tr("Project ")))
        corner.account_wanted.connect(self.switch_account)
        corner.all_accounts_wanted.connect(lambda: self.open_palette(self.tr("Switch to ")))
        corner.addition_wanted.connect(self.add_account)
        corner.details_wanted.connect(self.open_sign_in_details)
        corner.host_wanted.connect(self.choose_host)
        corner.mode_wanted.connect(self.appearance.set_mode)
        corner.sign_in_wanted.connect(self.sign_in)
        corner.sign_out_wanted.connect(self.sign_ins.sign_out)
        self.dialogs.sign_in_wanted.connect(self.sign_ins.sign_in)
        self.dialogs.sign_out_wanted.connect(self.sign_ins.sign_out)
        self.bar.sign_in_wanted.connect(self.sign_ins.sign_in)
        self.bar.details_wanted.connect(self.open_sign_in_details)
        self.bar.said.connect(lambda text, assertive: self.announce(text, assertive=assertive))
        self.bar.said.connect(
            lambda text, assertive: self.notices.sign_in_needed(text, self.sign_in) if assertive else None
        )
        self.sign_ins.needed_changed.connect(self.notices.sign_in_need_changed)
        self.sign_ins.needed_changed.connect(self.background.refresh)
        self.previous_account.said.connect(self.announce)
        self.rail.chosen.connect(self.navigation.look_at)
        self.rail.list.opened.connect(self.go)
        self.stack.made.connect(self._connect_place)
        self.stack.shown.connect(self._place_shown)
        self.stack.turned.connect(self.layout_memory.changed)
        self.stack.turned.connect(self._show_title)
        self.pages.currentChanged.connect(self._show_title)
        self.drawers.focus_left.connect(self.navigation.focus_place)
        QGuiApplication.instance().applicationStateChanged.connect(self._application_state_changed)  # type: ignore[union-attr]

    def _show_crash(self, failure: BaseException) -> None:
        # With `crashes` the dialog comes when the report is written.
        if self.crashes is None:
            self.dialogs.show_crash(failure, self._services.folder)

    def _application_state_changed(self, state: Qt.ApplicationState) -> None:
        """Read the accounts again when the window becomes active: the command line may have changed them meanwhile."""
        active = state is Qt.ApplicationState.ApplicationActive
        if active and self._was_left and self._connector is not None:
            self._connector.refresh_accounts()
        self._was_left = not active
        self.notices.application_changed()

    def _connect_place(self, place_id: str, place: Place) -> None:
        place.titled.connect(self._show_title)
        place.count_changed.connect(lambda count: self._counted(place_id, count))
        place.waiting_sent.connect(self.bar.add_sent)
        place.call_resumed.connect(self.bar.add_repeated)
        place.call_silent.connect(self.notices.call_silent)
        place.waiting_changed.connect(self.sign_ins.count_waiting)
        self.commands.bind(place)
        if place.shows_saved:
            place.saved_shown.connect(self.sign_ins.start)
        else:
            self.sign_ins.start()

    def _show_title(self, *_: object) -> None:
        """Say in the title of the window what is open, else the place."""
        place = self.stack.current if self.pages.shows_places else None
        open_title = "" if place is None else place.open_title or self.stack.label
        self.setWindowTitle(window_title(open_title))

    def _counted(self, place_id: str, count: int) -> None:
        self.rail.set_count(place_id, count)
        self.sign_ins.count_waiting()

    def _place_shown(self) -> None:
        # Whatever shows a place ends the choice of a server.
        if self.pages.choosing_host:
            self.stay_here()
        self.rail.set_current(self.current)
        self.commands.listen()

    def _palette_commands(self) -> list[Command]:
        from app.ui.shell.commands import account_commands, project_commands, setting_commands

        # The palette does not offer to open itself.
        own = [command for command in self.commands.every() if command.id != "window.palette"]
        more = (*account_commands(self), *project_commands(self), *setting_commands(self))
        return [*own, *self.commands.items(), *more]

    def _show_backend(self) -> None:
        # The choice has been made.
        self.pages.choosing_host = False
        self.corner.set_message("")
        self.sign_ins.reset()
        self.dialogs.close_details()
        self.previous_account.forget()
        self._tell_places()

    def _show_account(self) -> None:
        self.corner.refresh()
        self._tell_places()

    def _ask_about(self, former: Scope, name: str) -> None:
        """The places have saved by now what was being typed: that belongs to the former account too."""
        self.previous_account.forget()
        self.previous_account.ask(former, name)

    def _show_status(self) -> None:
        self.corner.set_backend(self.backend)
        self.sign_ins.show()
        self._choose_page()

    def _show_notice(self) -> None:
        """Say what was set aside because it could not be read, and where it is."""
        notice = self._services.storage.notice
        if notice:
            from app.ui.widgets.feedback import Banner

            banner = Banner()
            self._column.insertWidget(0, banner)
            banner.show_message(notice, secondary=[(self.tr("Close"), banner.clear)])
            self.announce(notice)

    def _tell_places(self) -> None:
        self.stack.set_backend(self.backend)
        self.rail.set_places(self.stack.available())
        self.backend_shown.emit(self.backend)

    def _set_choosing(self, choosing: bool) -> None:
        self.pages.choosing_host = choosing
        self._choose_page()

    def _choose_page(self) -> None:
        """Show the first page or the places."""
        turned = self.pages.choose()
        if not self.pages.shows_places:
            return
        # The host may not have the place in view, such as the lab.
        if not self.stack.can_show(self.current):
            self.stack.show_first(self.layout_memory.place)
        if turned and self.isVisible():
            self.navigation.focus_place()

    def _show_failure(self, failure: BurrowError) -> None:
        """Show an expected error that no place handled: its title in the corner. The details are in the activity."""
        self.status(failure.title)
        self.announce(f"{failure.title}. {failure.cause}")

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            if holds_focus(self.drawers.drawer):
                self.drawers.close_drawer()
                return
            if self.pages.can_leave and self._connector is not None:
                self._connector.leave()
                return
        super().keyPressEvent(event)

    @guarded()
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.WindowStateChange and self.isVisible():
            self.layout_memory.changed()

    def _fit_text(self) -> None:
        """Have room for the text size in force."""
        self.setMinimumSize(theme().px(SMALLEST.width()), SMALLEST.height())
        self._fit_rail()

    def _fit_rail(self) -> None:
        self.rail.set_narrow(self.width() < theme().px(tokens.WINDOW_WIDE))

    @guarded()
    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit_rail()
        # Before it is shown the size is that of `restore`, not a choice of the user.
        if self.isVisible():
            self.layout_memory.changed()

    @guarded()
    def moveEvent(self, event: Any) -> None:
        super().moveEvent(event)
        if self.isVisible():
            self.layout_memory.changed()

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.leaving is not None:
            self.background.window_shown()
        if self.stack.current is not None and QApplication.focusWidget() is None and self.focusWidget() is None:
            self.navigation.focus_place()

    @guarded()
    def closeEvent(self, event: QCloseEvent) -> None:
        if self.leaving is not None and not self.leaving.closes():
            event.ignore()
            return
        self.layout_memory.stop()
        if self.leaving is not None:
            self.background.close()
        super().closeEvent(event)
        self.left.emit()
