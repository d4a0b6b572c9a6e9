"""The loop of the filled window: its life, and its end in order."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from app.core.diagnostics.logs import start_logging
from app.main.settling import Settling
from app.ui.loop import run
from app.ui.shell.qt_messages import take_messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.instance.listener import InstanceListener
    from app.core.instance.lock import InstanceLock
    from app.main.window_opening import WindowOpening

# How long what the window still wants to send or store may take when it ends.
FLUSH_SECONDS = 5.0


class WindowRun:
    """Runs the loop until the user quits. `lock` makes it the window that further starts hand over to."""

    def __init__(self, opening: WindowOpening, lock: InstanceLock | None, watch: CrashWatch) -> None:
        self._opening, self._lock, self._watch = opening, lock, watch
        self._settling = Settling(opening, watch)

    def run(self) -> tuple[int, Sequence[str] | None]:
        """Returns the exit code, and the arguments of the next start, None where there is to be none."""
        opening, watch = self._opening, self._watch
        start_logging(opening.services.folder, traces=False)
        watch.install()
        release_messages = take_messages(watch.note)
        named = opening.options.named_host or opening.services.remembered_host()
        # The window may be hidden in the tray while a dialog of it closes: `left` says that it is over.
        code = run(opening.app, lambda quitting: self._live(quitting, named), windows=False)
        release_messages()
        leaving = opening.window.leaving
        return code, leaving.again if leaving is not None else None

    async def _live(self, quitting: asyncio.Event, named: str | None) -> int:
        """Connect the host of this name, start what can wait, and end everything once `quitting` is set."""
        opening = self._opening
        listener = self._listen(quitting)
        try:
            self._watch.recorder.watch(asyncio.get_running_loop())
            opening.window.care_for(self._watch, safe=opening.options.safe_mode)
            opening.connector.begin(named)
            opening.bridge.spawn(opening.window, self._settling.settle(), key="settle")
            if opening.options.screenshot:
                from app.ui.screenshot import take_screenshot

                return await take_screenshot(
                    opening.window, opening.options.screenshot, quitting, connecting=named is not None
                )
            await quitting.wait()
        finally:
            await self._end(listener)
        return 0

    def _listen(self, quitting: asyncio.Event) -> InstanceListener | None:
        """Hear of further starts from now on, if this is the window that they hand over to."""
        if self._lock is None:
            return None
        from app.core.instance.listener import InstanceListener

        opening = self._opening
        listener = InstanceListener(
            opening.services.folder, self._lock, opening.window.further_starts.take, ending=quitting.is_set
        )
        opening.bridge.spawn(opening.window, listener.start(), key="further starts")
        return listener

    async def _end(self, listener: InstanceListener | None) -> None:
        opening, window = self._opening, self._opening.window
        if window.crashes is not None:
            window.crashes.end()
        # What writes goes before what it writes through: the places use the bridge, and every job the services.
        await _tried(window.stack.flush())
        await _tried(window.layout_memory.save())
        if listener is not None:
            # What was typed is stored: the next window may show it, while this one finishes a request.
            await _tried(listener.close())
        await _tried(opening.bridge.close())
        await opening.services.close()
        if opening.held_keys is not None:
            opening.app.removeNativeEventFilter(opening.held_keys)
        self._settling.end()


async def _tried(step: Awaitable[None]) -> None:
    """Run a step of the end. A failure, such as a full disk, must not keep the services from being closed."""
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await step
    except Exception:
        logging.getLogger(__name__).exception("a step of the end failed")
