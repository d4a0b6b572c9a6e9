"""The main window: the places beside a rail, the sign-in bar above them. Places navigate through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QApplication

from app.ui.context import Context
from app.ui.shell.forward import bring_forward
from app.ui.shell.frame import WindowFrame
from app.ui.shell.panes import holds_focus, move_focus
from app.ui.widgets.announce import announce
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QCloseEvent, QKeyEvent, QShowEvent

    from app.core.backend import Backend
    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.known_accounts import KnownAccount
    from app.core.mcp.proxy.approvals import Approvals
    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.context import Command
    from app.ui.place import Place
    from app.ui.place_info import PlaceInfo
    from app.ui.shell.approval_desk import ApprovalDesk
    from app.ui.shell.background import Background
    from app.ui.shell.command_map import CommandMap
    from app.ui.shell.crash_care import CrashCare
    from app.ui.shell.leaving import Leaving
    from app.ui.shell.session_end import DesktopSession
    from app.ui.shell.update_care import UpdateCare
    from app.ui.signin.connector import HostConnector

# The setting where the settings page shows the updates.
UPDATES_SETTING = "updates.mode"


class MainWindow(WindowFrame):
    """Fills its frame with what the parts do.

    It is the `Navigator` of its places and the `WindowActions` of its commands. It is built without the network and
    before any coroutine runs; what needs the loop starts with the first event of the services. Until `fill` there are
    only the attributes of the frame, which can be seen.

    Attributes, besides those of the frame:
        previous_account: what another account left here.
        navigation: which place is in view, back and forward.
        sign_ins: signing in and out, permissions, the store of the sign-in.
        leaving: ends Burrow, and asks before if something would be lost or broken off; None until `fill`.
        account_leaving: asks before an account is left, if something is under way for it.
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
        # The places get the window before it is made, and call it later.
        super().__init__(Context(services, bridge, self), places, connector, commands=lambda: self.commands.own)
        self.leaving: Leaving | None = None
        self.approvals: ApprovalDesk | None = None
        self.crashes: CrashCare | None = None
        self.updates: UpdateCare | None = None
        self.session: DesktopSession | None = None
        self._arrange([(self.tr("Settings"), "Ctrl+,", self.open_settings), (self.tr("Help"), "F1", self.open_help)])
        if paint_first:
            self._show_outline()
        else:
            self.fill()

    def fill(self) -> None:
        """Make what was left out for the first paint, and follow the services from now on."""
        from app.ui.shell.account_leaving import AccountLeaving
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
        from app.ui.shell.shown_host import ShownHost
        from app.ui.shell.sign_in import SignInController
        from app.ui.shell.wiring import WindowWiring
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
            self, self.stack, services.storage.drafts, services.busy, self._bridge, place=self.put_above
        )
        self.leaving.show_window = self.bring_forward
        self.account_leaving = AccountLeaving(self, services.busy, self._bridge, place=self.put_above)
        self.background: Background = Background(self, self, services, self._settings, self._bridge, self.notices)
        self.leaving.hides = self.background.hides
        self._show_notice()
        self.sign_ins = SignInController(
            self._services,
            self._bridge,
            self.bar,
            choose_host=self.choose_host,
            waiting_calls=lambda key: sum(place.waiting_for(key) for _, place in self.stack.built()),
            leaves=self.account_leaving.sign_out,
        )
        if self._connector is not None:
            self._connector.leaves = self.account_leaving.switch
        self.commands: CommandMap = CommandMap(
            self,
            self.stack,
            own_commands(self, self._places),
            self._places,
            active=lambda: self.pages.shows_places,
            go=self.go,
        )
        self._host = ShownHost(self, self)
        self._wiring = WindowWiring(self, self, self._host, self._connector)
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
        self._host.choose(True)

    def stay_here(self) -> None:
        """Leave the choice of servers for the place that was shown."""
        self._host.choose(False)

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
        connector = self._connector
        if connector is None or (self.backend is not None and account.key == self.backend.credential.key):
            return

        def go() -> None:
            self.status(self.tr("Opening {0}…").format(account.name))
            connector.open_account(account)

        connector.leaves(go)

    def attend(self, approvals: Approvals) -> None:
        """Show the questions of agents from now on. Called once, after `fill`."""
        from app.ui.shell.late_parts import approval_desk

        self.approvals = approval_desk(self, self, approvals)

    def follow_session(self) -> None:
        """Store what is typed when the desktop's session ends, and tell it of work. Called once, in the loop."""
        from app.ui.shell.late_parts import desktop_session

        self.session = desktop_session(self, self)

    def care_for(self, watch: CrashWatch, *, safe: bool = False) -> None:
        """Tell of crashes from now on. `safe`: Burrow is in safe mode. Called once, in the loop."""
        from app.ui.shell.late_parts import crash_care

        self.crashes = crash_care(self, self, self._settings, watch, safe=safe)

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
        from app.ui.shell.late_parts import update_care

        self.updates = update_care(self, self, looks=looks)

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
        move_focus(self._panes(prompt, self.bars, self.bar, self.previous_account), step)

    def _palette_commands(self) -> list[Command]:
        from app.ui.shell.commands import palette_commands

        return palette_commands(self, self.commands)

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
