"""The composition root of the window: arguments, services, Qt, window, loop, and their end in order.

`main` hands over to the window that is open on the same data (`handover.py`), or opens one: `WindowOpening` paints and
fills it, `WindowRun` is its loop and its end, `Settling` starts what can wait. Only this package and `app.cli` know
everything.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from app import __version__
from app.core import safe_mode
from app.main.display import NO_DISPLAY, has_display
from app.main.handover import lock_or_hand_over
from app.main.options import read_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.errors import BurrowError
    from app.core.instance.lock import InstanceLock
    from app.core.services import Services
    from app.main.options import StartOptions


def main(arguments: Sequence[str]) -> int:
    """Open the window, or hand over to the one that is open on the same data; returns the exit code."""
    options = read_options(arguments)
    if options.offscreen:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    if options.safe_mode:
        safe_mode.prepare(os.environ)
    from app.core.data_folder import data_folder

    try:
        folder = data_folder(options.data)
        lock, code = lock_or_hand_over(folder, options)
        if code is not None:
            return code
        if not has_display():
            sys.stderr.write(f"{NO_DISPLAY}\n")
            return 1
        from app.core.services import Services
        from app.core.updates.process_ends import put_back_failed_update, start_instead

        former = None if options.screenshot else put_back_failed_update(folder, __version__)
        if former is not None:
            if lock is not None:
                lock.release()
            start_instead(former, sys.argv[1:])
            return 1

        services = Services(folder)
    except _burrow_error() as failure:
        sys.stderr.write(f"burrow: {failure.title}: {failure.cause}\n        {failure.advice}\n")
        return failure.exit_code
    return _guarded(options, services, lock)


def _guarded(options: StartOptions, services: Services, lock: InstanceLock | None) -> int:
    """Open the window. A crash is recorded, here and by the next start; returns the exit code."""
    from app.core.diagnostics.crash_hooks import crash_words
    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.updates.process_ends import start_again_updated

    watch = CrashWatch(services.folder, services.activity.records, safe=options.safe_mode)
    if not options.safe_mode and watch.crashed_starts >= safe_mode.FORCED_AFTER:
        # Asking would need what crashes.
        options = options.safely()
        safe_mode.prepare(os.environ)
    again: Sequence[str] | None = None
    try:
        code, again = _open(options, services, lock, watch)
    except Exception as failure:  # noqa: BLE001 - the last resort: a report is written
        report = watch.recorder.record(failure, "the window")
        sys.stderr.write(crash_words(failure, report))
        code = 1
    finally:
        watch.end()
        if lock is not None:
            lock.release()
    if again is not None:
        updates = services.updates if services.began_updates else None
        start_again_updated(services.folder, updates, [*options.repeated(), *again])
    return code


def _burrow_error() -> type[BurrowError]:
    # A start that hands over needs none of the errors, which take long to import.
    from app.core.errors import BurrowError

    return BurrowError


def _open(
    options: StartOptions, services: Services, lock: InstanceLock | None, watch: CrashWatch
) -> tuple[int, Sequence[str] | None]:
    """Paint the window before anything else is imported, then fill it, then start the loop.

    `lock` makes it the window that further starts hand over to. Returns the exit code, and the arguments of the next
    start, None where there is to be none.
    """
    # No garbage collection during the start. `Settling` sets up the collector.
    gc.disable()
    from app.ui.imports import unhook  # isort: skip - before PySide6
    import PySide6.QtWidgets  # noqa: F401 - its hook on `import` is undone before anything else is imported

    unhook()

    from app.main.window_opening import WindowOpening, ask_after_crashes, make_application

    app = make_application()
    goes_on, instead = ask_after_crashes(options, watch)
    if not goes_on:
        return 0, instead
    opening = WindowOpening(app, services, options)
    opening.paint()
    opening.fill()

    # Not above: asyncio takes 50 ms to import, and the first paint needs none of it.
    from app.main.window_run import WindowRun

    return WindowRun(opening, lock, watch).run()
