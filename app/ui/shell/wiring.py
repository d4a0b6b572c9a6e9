"""Connects the parts of the window: what one of them emits is done by another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QGuiApplication

from app.ui.shell.titles import window_title

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.core.errors import BurrowError
    from app.ui.place import Place
    from app.ui.shell.shown_host import ShownHost
    from app.ui.shell.window_parts import WindowParts
    from app.ui.signin.connector import HostConnector


class WindowWiring(QObject):
    """Connects everything when it is made, once the window has all parts; each place when that is built."""

    def __init__(
        self, window: WindowParts, parent: QWidget, host: ShownHost, connector: HostConnector | None = None
    ) -> None:
        super().__init__(parent)
        self._window, self._host, self._connector = window, host, connector
        # Whether the user has been in another application since.
        self._was_left = False
        bridge = window.context.bridge
        bridge.failed_job.connect(self._show_failure)
        bridge.crashed.connect(self._show_crash)
        self._connect_corner()
        self._connect_sign_ins()
        self._connect_places()
        QGuiApplication.instance().applicationStateChanged.connect(self._application_state_changed)  # type: ignore[union-attr]

    def _connect_corner(self) -> None:
        window, corner = self._window, self._window.corner
        corner.project_wanted.connect(window.select_project)
        corner.all_projects_wanted.connect(lambda: window.open_palette(self.tr("Project ")))
        corner.account_wanted.connect(window.switch_account)
        corner.all_accounts_wanted.connect(lambda: window.open_palette(self.tr("Switch to ")))
        corner.addition_wanted.connect(window.add_account)
        corner.details_wanted.connect(window.open_sign_in_details)
        corner.host_wanted.connect(window.choose_host)
        corner.mode_wanted.connect(window.appearance.set_mode)
        corner.sign_in_wanted.connect(window.sign_in)
        corner.sign_out_wanted.connect(window.sign_ins.sign_out)

    def _connect_sign_ins(self) -> None:
        window, bar = self._window, self._window.bar
        window.dialogs.sign_in_wanted.connect(window.sign_ins.sign_in)
        window.dialogs.sign_out_wanted.connect(window.sign_ins.sign_out)
        bar.sign_in_wanted.connect(window.sign_ins.sign_in)
        bar.details_wanted.connect(window.open_sign_in_details)
        bar.said.connect(lambda text, assertive: window.announce(text, assertive=assertive))
        bar.said.connect(
            lambda text, assertive: window.notices.sign_in_needed(text, window.sign_in) if assertive else None
        )
        window.sign_ins.needed_changed.connect(window.notices.sign_in_need_changed)
        window.sign_ins.needed_changed.connect(window.background.refresh)
        window.previous_account.said.connect(window.announce)

    def _connect_places(self) -> None:
        window = self._window
        window.rail.chosen.connect(window.navigation.look_at)
        window.rail.list.opened.connect(window.go)
        window.stack.made.connect(self._connect_place)
        window.stack.shown.connect(self._place_shown)
        window.stack.turned.connect(window.layout_memory.changed)
        window.stack.turned.connect(self._show_title)
        window.pages.currentChanged.connect(self._show_title)
        window.drawers.focus_left.connect(window.navigation.focus_place)

    def _connect_place(self, place_id: str, place: Place) -> None:
        window = self._window
        place.titled.connect(self._show_title)
        place.count_changed.connect(lambda count: self._counted(place_id, count))
        place.waiting_sent.connect(window.bar.add_sent)
        place.call_resumed.connect(window.bar.add_repeated)
        place.call_silent.connect(window.notices.call_silent)
        place.told.connect(lambda notice: window.notices.place_told(notice, lambda: window.go(place_id, notice.item)))
        place.over.connect(window.notices.withdraw)
        place.waiting_changed.connect(window.sign_ins.count_waiting)
        window.commands.bind(place)
        if place.shows_saved:
            place.saved_shown.connect(window.sign_ins.start)
        else:
            window.sign_ins.start()

    def _show_title(self, *_: object) -> None:
        """Say in the title of the window what is open, else the place."""
        stack = self._window.stack
        place = stack.current if self._window.pages.shows_places else None
        open_title = "" if place is None else place.open_title or stack.label
        self._window.setWindowTitle(window_title(open_title))

    def _counted(self, place_id: str, count: int) -> None:
        self._window.rail.set_count(place_id, count)
        self._window.sign_ins.count_waiting()

    def _place_shown(self) -> None:
        window = self._window
        # Whatever shows a place ends the choice of a server.
        if window.pages.choosing_host:
            self._host.choose(False)
        window.rail.set_current(window.current)
        window.commands.listen()

    def _show_failure(self, failure: BurrowError) -> None:
        """Show an expected error that no place handled: its title in the corner. The details are in the activity."""
        self._window.status(failure.title)
        self._window.announce(f"{failure.title}. {failure.cause}")

    def _show_crash(self, failure: BaseException) -> None:
        # With `crashes` the dialog comes when the report is written.
        if self._window.crashes is None:
            self._window.dialogs.show_crash(failure, self._window.context.services.folder)

    def _application_state_changed(self, state: Qt.ApplicationState) -> None:
        """Read the accounts again when the window becomes active: the command line may have changed them meanwhile."""
        active = state is Qt.ApplicationState.ApplicationActive
        if active and self._was_left and self._connector is not None:
            self._connector.refresh_accounts()
        self._was_left = not active
        self._window.notices.application_changed()
