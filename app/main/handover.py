"""A start is the first on its data folder, or hands over to the window that is open on it.

A start that hands over imports neither Qt nor the services.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from app.main.display import has_display

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.instance.lock import InstanceLock
    from app.main.options import StartOptions

# The exit code of a start that found a window which does not answer: trying again may help (`EX_TEMPFAIL`).
NOT_ANSWERING = 75


def lock_or_hand_over(folder: Path, options: StartOptions) -> tuple[InstanceLock | None, int | None]:
    """The lock of a start that opens a window, if it is the first; the exit code of one that opens none."""
    # Safe mode is wanted where the window that is open does not work.
    if options.new_window or options.offscreen or options.screenshot or options.safe_mode:
        return None, None
    from app.core.instance.entry import NotAnswering, enter
    from app.core.instance.request import StartRequest, token_of

    request = StartRequest(
        host=options.named_host,
        place=options.place or "",
        link=options.link or "",
        hidden=options.hidden,
        folder=_working_folder(),
        activation_token=token_of(os.environ.get("XDG_ACTIVATION_TOKEN")),
        startup_id=token_of(os.environ.get("DESKTOP_STARTUP_ID")),
    )
    try:
        lock = enter(folder, request)
    except OSError:
        # What is wrong with the folder, the storage says.
        return None, None
    except NotAnswering as silent:
        sys.stderr.write(f"burrow: {silent}\n")
        if not sys.stderr.isatty() and has_display():
            # Started from a menu or by a link: nobody reads standard error.
            from app.ui.shell.silent_window import say_silent

            say_silent(str(silent))
        return None, NOT_ANSWERING
    return (lock, None) if lock is not None else (None, 0)


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        # It was deleted meanwhile.
        return ""
