"""What the window starts a second later, when the saved data is shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.ui.loop import freeze_collector

if TYPE_CHECKING:
    from app.core.diagnostics.crash_watch import CrashWatch
    from app.main.window_opening import WindowOpening
    from app.ui.loop import Collector

SETTLE_SECONDS = 1.0
# How much later the local proxy starts where no client could use it.
UNUSED_PROXY_SECONDS = 3.0
# How much later the modules are loaded that showing a run takes.
PRELOAD_SECONDS = 3.0


class Settling:
    """Starts what can wait: the collector, the desktop's session, runs out of view, updates, tray, proxy, modules."""

    def __init__(self, opening: WindowOpening, watch: CrashWatch) -> None:
        self._opening, self._watch = opening, watch
        self._window, self._bridge, self._services = opening.window, opening.bridge, opening.services
        # Stays None if the window is closed before it has settled.
        self._collector: Collector | None = None

    async def settle(self) -> None:
        """Start what can wait until the saved data is shown."""
        window, bridge, options = self._window, self._bridge, self._opening.options
        await asyncio.sleep(SETTLE_SECONDS)
        self._watch.ready()
        window.follow_session()
        await self._services.activity.load()
        self._collector = freeze_collector()
        window.stack.build_telling()
        if not options.safe_mode:
            bridge.spawn(window, self._mend_login(), key="login")
            bridge.spawn(window, self._keep_links(), key="links", failed=lambda _refused: None)
        from app.core.runs.local.record import RUNS_FOLDER

        if await asyncio.to_thread((self._services.folder / RUNS_FOLDER).is_dir):
            # What was not written back goes on.
            bridge.spawn(window, self._services.local_runs.load(), key="local runs")
        if not options.screenshot:
            # In safe mode too: this version has come up.
            window.follow_updates(looks=self._services.serves_clients)
            bridge.spawn(window, self._preload(), key="preload")
        if self._services.serves_clients:
            bridge.spawn(window, window.background.begin(hidden=options.hidden), key="tray")
            await self._serve_clients()

    def end(self) -> None:
        """Stop the collector."""
        if self._collector is not None:
            self._collector.stop()

    async def _preload(self) -> None:
        """Load what showing a run takes, where somebody may show one soon."""
        await asyncio.sleep(PRELOAD_SECONDS)
        if self._services.backend is not None and self._window.isVisible():
            from app.main.preloading import preload

            await preload()

    async def _mend_login(self) -> None:
        """Have the system start this program at login where it would start one that has moved."""
        from app.core.desktop.autostart import autostart, mend
        from app.core.installation import installation

        data = ("--data", str(self._services.folder)) if self._opening.options.data else ()
        background = self._window.background
        background.login_command = (*installation().command, *data)
        await asyncio.to_thread(mend, autostart(), background.login_command)

    async def _keep_links(self) -> None:
        """Have the system find this program for links after it has moved."""
        from app.core.desktop.link_handler import KEEP_SETTING, keep
        from app.core.installation import installation

        await asyncio.to_thread(keep, installation(), self._services.storage.settings.get(KEEP_SETTING))

    async def _serve_clients(self) -> None:
        """Start the local proxy. Before a client has a key, nobody waits for it."""
        if not (await self._services.storage.proxy_clients.all()).keys:
            await asyncio.sleep(UNUSED_PROXY_SECONDS)
        self._window.attend(self._services.proxy.approvals)
        if self._services.proxy.enabled:
            await self._services.proxy.start()
