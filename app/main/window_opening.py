"""The window before the loop: made, painted, filled.

Imported once PySide6's hook on `import` is off (`app.main`). Nothing here may import asyncio: it takes 50 ms, and
the first paint needs none of it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from app import __version__
from app.core import safe_mode
from app.core.own_environment import own_qt_plugins
from app.ui.bridge import Bridge
from app.ui.painted import FirstPaint
from app.ui.places import PLACES
from app.ui.shell.window import MainWindow
from app.ui.signin.connector import HostConnector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtCore import QAbstractNativeEventFilter

    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.services import Services
    from app.main.options import StartOptions


def make_application() -> QApplication:
    """The application of Qt."""
    with own_qt_plugins():
        app = QApplication(sys.argv[:1])
    safe_mode.give_back(os.environ)
    app.setApplicationName("Burrow")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("burrow")
    return app


def ask_after_crashes(options: StartOptions, watch: CrashWatch) -> tuple[bool, Sequence[str] | None]:
    """Ask the user how to start after starts that crashed.

    Returns whether to go on; where not, the arguments of the start that takes this one's place, None for no start.
    """
    # A picture is taken without anybody who could answer.
    if options.safe_mode or options.screenshot or watch.crashed_starts < safe_mode.ASKED_AFTER:
        return True, None
    from app.ui.shell.start_question import StartAnswer, ask_how_to_start

    answer = ask_how_to_start(watch.reports)
    return answer is StartAnswer.AS_USUAL, (safe_mode.OPTION,) if answer is StartAnswer.SAFELY else None


class WindowOpening:
    """Makes the window. Then `paint` and `fill` are called once each, in this order.

    Attributes:
        app, services, options: what it was given.
        bridge, connector, window: what it made.
        held_keys: the filter of native events that `fill` installed, None where the platform needs none.
    """

    def __init__(self, app: QApplication, services: Services, options: StartOptions) -> None:
        self.app, self.services, self.options = app, services, options
        self.held_keys: QAbstractNativeEventFilter | None = None
        if options.safe_mode:
            services.storage.settings.use_defaults(safe_mode.SET_ASIDE)
            services.safe_mode = True
        services.serves_clients = not options.screenshot and not options.safe_mode
        self.bridge = Bridge()
        # The window is made with the connector, which calls it later.
        self.connector = HostConnector(
            services, self.bridge, choose=lambda: window.choose_host(), stay=lambda: window.stay_here()
        )
        window = self.window = MainWindow(services, self.bridge, PLACES, self.connector, paint_first=True)
        # A window that is hidden when it ends is not the last one that closes.
        window.left.connect(app.quit, Qt.ConnectionType.QueuedConnection)
        place = options.place
        if place:
            # Which places are available depends on the host.
            window.backend_shown.connect(
                lambda backend: window.go(place) if backend is not None or services.without_account else None
            )

    def paint(self) -> None:
        """Show the window, unless it begins hidden; returns once it was painted."""
        if not self.options.hidden:
            painted = FirstPaint(self.window)
            self.window.show()
            painted.wait()
        # Qt has used them. A program that is started from here must not get them.
        for used in ("XDG_ACTIVATION_TOKEN", "DESKTOP_STARTUP_ID"):
            os.environ.pop(used, None)

    def fill(self) -> None:
        """Fill the window with what was saved, and take what the arguments and the system ask for."""
        window = self.window
        window.fill()
        if self.options.link:
            window.links.open(self.options.link)
        from app.ui.held_keys import recognise_held_keys
        from app.ui.shell.opened_urls import take_opened_urls

        take_opened_urls(self.app, window.further_starts.take_link)
        self.held_keys = recognise_held_keys(self.app)
        # After `fill`, which shows the place, and before the loop, in which the first request is made.
        self._hold_network()

    def _hold_network(self) -> None:
        """Hold the HTTP client back until the saved list is shown: importing it would delay that."""
        place = self.window.place(self.window.current)
        if place is not None and place.shows_saved:
            self.services.transport.hold()
            place.saved_shown.connect(self.services.transport.release)
