"""The frame of the window: what can be seen of it before it is filled, how that is arranged, and its room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.settings import UiSettings
from app.ui.shell.appearance import Appearance, restore_appearance
from app.ui.shell.backend_follower import BackendFollower
from app.ui.shell.bar_stack import BarStack
from app.ui.shell.corner import StatusCorner
from app.ui.shell.doors import DoorsButton
from app.ui.shell.drawer_host import DrawerHost
from app.ui.shell.footnote import Footnote
from app.ui.shell.layout import SMALLEST, WindowLayout
from app.ui.shell.pages import WindowPages
from app.ui.shell.panes import visible_panes
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
    from collections.abc import Callable, Sequence

    from app.ui.context import Command, Context
    from app.ui.place_info import PlaceInfo
    from app.ui.signin.connector import HostConnector


class WindowFrame(QWidget):
    """Makes and arranges the visible parts. `MainWindow` adds what they do.

    Attributes:
        context: what every place is given.
        appearance, layout_memory: light or dark and text size; what is remembered of the window itself.
        follower: which host is connected, as whom, and how its credential stands.
        pages: the first page, or everything below; made by `arrange`.
        rail, corner, doors: the places at the left; below them project, account and state, and the window's commands.
        footnote: what the corner says, below the place, while the window is too narrow for it there.
        bars: the bars above everything: of an update, a crash, a link, safe mode, the end of Burrow.
        bar: the sign-in bar.
        stack: the places, each built when it is first shown.
        drawers: the stack, and below it the activity drawer.
    """

    pages: WindowPages

    def __init__(
        self,
        context: Context,
        places: Sequence[PlaceInfo],
        connector: HostConnector | None,
        *,
        commands: Callable[[], Sequence[Command]],
    ) -> None:
        """`commands` are those of the window, asked when the user opens their menu."""
        services, bridge = context.services, context.bridge
        restore_appearance(services.storage.settings)
        super().__init__()
        self.setWindowTitle(window_title(""))
        self.context = context
        self._services, self._bridge, self._places, self._connector = services, bridge, places, connector
        settings = self._settings = UiSettings(services.storage.settings, bridge, self)
        self.appearance = Appearance(settings)
        self.follower = BackendFollower(services, bridge, self)
        self.corner = StatusCorner(connector)
        self.doors = DoorsButton(commands)
        self.rail = Rail(self.corner, doors=self.doors)
        self.bars = BarStack()
        self.bar = SignInBar()
        self.footnote = Footnote()
        self.corner.unsaid.connect(self.footnote.say)
        self.stack = PlaceStack(self.context, places)
        # Each of the next two asks the other: the layout has the height of the drawer.
        self.drawers = DrawerHost(self.stack, services, bridge, settings, lambda: self.layout_memory.changed())
        self.layout_memory = WindowLayout(
            self, settings, place=lambda: self.stack.current_id, drawer=self.drawers.heights
        )

    def put_above(self, bar: QWidget) -> None:
        """Show a bar above everything, the first page too."""
        self.bars.put(bar)

    def put_question(self, prompt: QWidget) -> None:
        """Show the question of an agent above everything, the bars too: a client can call a tool at any time."""
        self._whole.insertWidget(0, prompt)

    def _arrange(self, doors: Sequence[tuple[str, str, Callable[[], None]]]) -> None:
        """Make the pages, lay everything out as it was left. `doors` stand below the first page (`WindowPages`)."""
        self.pages = WindowPages(self._arranged(), self._services, self.follower, self._connector, doors)
        self._whole = QVBoxLayout(self)
        self._whole.setContentsMargins(0, 0, 0, 0)
        self._whole.setSpacing(0)
        self._whole.addWidget(self.bars)
        self._whole.addWidget(self.pages)
        self._fit_text()
        theme().changed.connect(self._fit_text)
        show_focus_ring(self)
        show_mnemonics(self)
        self.layout_memory.restore()

    def _show_outline(self) -> None:
        """Show what the first paint needs of the places: their names, and which one comes."""
        self.rail.set_places(self.stack.available())
        self.rail.set_current(self.layout_memory.place or self.stack.first_id)
        self.pages.choose()

    def _show_notice(self) -> None:
        """Say what was set aside because it could not be read, and where it is."""
        notice = self._services.storage.notice
        if notice:
            from app.ui.widgets.feedback import Banner

            banner = Banner()
            self._column.insertWidget(0, banner)
            banner.show_message(notice, secondary=[(self.tr("Close"), banner.clear)])
            announce(self, notice)

    def _panes(self, *bars: QWidget | None) -> list[QWidget]:
        """What F6 goes through: the rail, those of these bars that are in view, the place, the drawer."""
        panes: list[QWidget] = [self.rail, *(bar for bar in bars if bar is not None and bar.isVisible())]
        if self.stack.current is not None:
            panes.extend(visible_panes(self.stack.current))
        if self.drawers.drawer is not None and self.drawers.drawer.isVisible():
            panes.append(self.drawers.drawer)
        return panes

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

    def _fit_text(self) -> None:
        """Have room for the text size in force."""
        self.setMinimumSize(theme().px(SMALLEST.width()), SMALLEST.height())
        self._fit_rail()

    def _fit_rail(self) -> None:
        self.rail.set_narrow(self.width() < theme().px(tokens.WINDOW_WIDE))

    @guarded()
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.WindowStateChange and self.isVisible():
            self.layout_memory.changed()

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
