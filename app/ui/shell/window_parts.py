"""The parts of the filled window, as those see them that connect them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtCore import SignalInstance
    from PySide6.QtWidgets import QWidget

    from app.core.backend import Backend
    from app.core.known_accounts import KnownAccount
    from app.ui.context import Context
    from app.ui.shell.appearance import Appearance
    from app.ui.shell.backend_follower import BackendFollower
    from app.ui.shell.background import Background
    from app.ui.shell.command_map import CommandMap
    from app.ui.shell.corner import StatusCorner
    from app.ui.shell.crash_care import CrashCare
    from app.ui.shell.dialogs import Dialogs
    from app.ui.shell.drawer_host import DrawerHost
    from app.ui.shell.layout import WindowLayout
    from app.ui.shell.leaving import Leaving
    from app.ui.shell.navigation import Navigation
    from app.ui.shell.notices import Notices
    from app.ui.shell.pages import WindowPages
    from app.ui.shell.place_stack import PlaceStack
    from app.ui.shell.previous_account import PreviousAccountBanner
    from app.ui.shell.rail import Rail
    from app.ui.shell.sign_in import SignInController
    from app.ui.shell.signin_bar import SignInBar


class WindowParts(Protocol):
    """`MainWindow` has them and says what each is."""

    context: Context
    appearance: Appearance
    layout_memory: WindowLayout
    follower: BackendFollower
    pages: WindowPages
    rail: Rail
    corner: StatusCorner
    bar: SignInBar
    stack: PlaceStack
    drawers: DrawerHost
    previous_account: PreviousAccountBanner
    navigation: Navigation
    sign_ins: SignInController
    notices: Notices
    background: Background
    dialogs: Dialogs
    commands: CommandMap
    leaving: Leaving | None
    crashes: CrashCare | None

    @property
    def backend_shown(self) -> SignalInstance: ...

    @property
    def backend(self) -> Backend | None: ...

    @property
    def current(self) -> str: ...

    def isVisible(self) -> bool: ...

    def setWindowTitle(self, title: str, /) -> None: ...

    def go(self, place: str, item: str | None = None) -> None: ...

    def announce(self, text: str, *, assertive: bool = False) -> None: ...

    def status(self, text: str) -> None: ...

    def put_above(self, bar: QWidget) -> None: ...

    def put_question(self, prompt: QWidget) -> None: ...

    def sign_in(self) -> None: ...

    async def allow(self, scopes: Sequence[str]) -> None: ...

    def choose_host(self) -> None: ...

    def add_account(self) -> None: ...

    def switch_account(self, account: KnownAccount) -> None: ...

    def select_project(self, project_id: int) -> None: ...

    def restart(self, *, safe: bool = False) -> None: ...

    def open_palette(self, typed: str = "") -> None: ...

    def open_sign_in_details(self, key: str = "") -> None: ...
