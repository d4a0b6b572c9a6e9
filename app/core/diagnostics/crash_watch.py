"""CrashWatch: what one window does about crashes, from before Qt is loaded until its end."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from app import __version__
from app.core.diagnostics.crash_hooks import CrashRecorder
from app.core.diagnostics.crashes import CrashReports, crashed_starts
from app.core.diagnostics.run_marker import RunMarker, take_ended
from app.core.installation import installation
from app.core.safe_mode import WITHIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from app.core.diagnostics.activity import ActivityRecord
    from app.core.diagnostics.crashes import CrashReport
    from app.core.diagnostics.run_marker import EndedRun

log = logging.getLogger(__name__)


class CrashWatch:
    """Made before the window. `crashed` has the reports of windows that crashed since the last start, the oldest first;
    `killed` the windows that ended without a trace.
    """

    def __init__(
        self, folder: Path, activity: Callable[[], Iterable[ActivityRecord]] = lambda: (), *, safe: bool = False
    ) -> None:
        """`folder` is the data folder. Raises nothing: a folder that cannot be written has no reports."""
        facts = process_facts(safe=safe)
        self.reports = CrashReports(folder, facts)
        self.recorder = CrashRecorder(self.reports, activity)
        self.recorder.starting = True
        self.crashed: list[CrashReport] = []
        self.killed: list[EndedRun] = []
        for run in take_ended(folder):
            report = self.reports.of_run(run) if run.trace else None
            if report is not None:
                self.crashed.append(report)
            else:
                self.killed.append(run)
        self._marker = RunMarker.begin(folder, facts)
        self._restore: Callable[[], None] | None = None

    @property
    def crashed_starts(self) -> int:
        """How many starts have just crashed, one after the other."""
        return crashed_starts(self.reports.all(), time.time(), WITHIN_SECONDS)

    def note(self, line: str) -> None:
        """Add a line to the trace: what Qt says before it aborts."""
        if self._marker is not None:
            self._marker.note(line)

    def install(self) -> None:
        """Record what escapes everybody. After the log was started, whose hooks are called too."""
        self._restore = self.recorder.install()
        for run in self.killed:
            log.warning("a window (process %d) ended without a trace: it was killed, or the machine stopped", run.pid)

    def ready(self) -> None:
        """The start is over."""
        self.recorder.starting = False
        if self._marker is not None:
            self._marker.ready()

    def end(self) -> None:
        """The process ends as it should."""
        if self._restore is not None:
            self._restore()
        if self._marker is not None:
            self._marker.end()


def process_facts(*, safe: bool = False) -> dict[str, str]:
    """What this process is, in words for a report."""
    # `platform` would read files and start programs.
    if sys.platform == "win32":
        release = str(sys.getwindowsversion()[:3])
    else:
        release = os.uname().release
    return {
        "Burrow": __version__,
        "Python": sys.version.partition(" ")[0],
        "System": f"{sys.platform} {release}",
        "Installed as": installation().kind.value,
        "Safe mode": "yes" if safe else "no",
    }
