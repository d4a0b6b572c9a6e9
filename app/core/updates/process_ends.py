"""What the window's process does about updates before it builds anything, and after it has closed everything.

Imports nothing of updates before it is needed: a start without an update looks for one file.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.core.updates.service import Updates


def put_back_failed_update(folder: Path, running: str) -> Path | None:
    """What to start instead of this version, where it did not come up twice after an update: the former one is back.

    `folder` is the data folder.
    """
    if not (folder / "updates" / "record.json").exists():
        return None
    from app.core.updates.trial import begin_trial

    return begin_trial(folder, running)


def start_instead(former: Path, arguments: Sequence[str]) -> None:
    """Start the version that was put back. What keeps it from starting is said on standard error."""
    from app.core.installation import installation
    from app.core.updates.handover import start_former

    try:
        start_former(former, installation(), arguments)
    except OSError as failure:
        sys.stderr.write(f"burrow: {former} cannot be started: {failure.strerror}\n")


def start_again_updated(folder: Path, updates: Updates | None, arguments: Sequence[str]) -> None:
    """Start Burrow again, when all is closed; before that, install the update that the person asked for.

    `folder` is the data folder, `updates` those of this process, if it had any. Raises `OSError`.
    """
    if updates is None or updates.armed is None:
        from app.core.restart import start_again

        start_again(arguments)
        return
    from app.core.updates.handover import restart_into_update

    restart_into_update(folder, updates.installed, updates.armed, updates.running, arguments)
