"""CrashRecorder: writes a report of every exception that nobody handled, whatever it left.

It stands behind `sys.excepthook`, `threading.excepthook`, `sys.unraisablehook` and the handler of an asyncio loop. The
former hooks are called too: they log.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.core.errors import BurrowError
from app.core.events import Event
from app.core.redaction import redact_text

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from app.core.diagnostics.activity import ActivityRecord
    from app.core.diagnostics.crashes import CrashReport, CrashReports

log = logging.getLogger(__name__)

# Of one process. A defect that occurs at each paint has one place, but its places are not bounded.
MOST_REPORTS = 10
ACTIVITIES = 20
LONGEST_WORDS = 2000
EXPECTED = (BurrowError, KeyboardInterrupt, SystemExit, GeneratorExit)


@dataclass(frozen=True)
class RecordedCrash:
    """An exception that nobody handled, and its report, None where none could be written."""

    failure: BaseException
    report: CrashReport | None


def crash_words(failure: BaseException, report: CrashReport | None) -> str:
    """What a terminal is told of an exception that nobody handled."""
    # As the interpreter words it, also where the exception cannot say what it is.
    said = "".join(traceback.format_exception_only(failure)).strip()[:LONGEST_WORDS]
    words = redact_text(f"burrow: This is a defect of Burrow: {said}\n")
    return words if report is None else f"{words}        A report without secrets is in {report.path}\n"


class CrashRecorder:
    """`recorded` emits each exception once for its type and line, on the thread where it was raised."""

    def __init__(self, reports: CrashReports, activity: Callable[[], Iterable[ActivityRecord]] = lambda: ()) -> None:
        self.recorded: Event[RecordedCrash] = Event()
        self.reports = reports
        # Whether the start is still under way.
        self.starting = False
        self._activity = activity
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def record(self, failure: BaseException, where: str) -> CrashReport | None:
        """Write the report of `failure`, and tell it. Raises nothing; None where it is known or none was written."""
        if isinstance(failure, EXPECTED):
            return None
        frames = traceback.extract_tb(failure.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        kind = f"{type(failure).__name__} {place}"
        with self._lock:
            if kind in self._known:
                return None
            self._known.add(kind)
            bounded = len(self._known) <= MOST_REPORTS
        report = None
        if bounded:
            try:
                report = self.reports.of_failure(
                    failure, where, activity=self._activity_lines(), at_start=self.starting
                )
            except Exception:
                # What the exception holds may fail when it is shown.
                log.exception("no crash report")
        self.recorded.emit(RecordedCrash(failure, report))
        return report

    def install(self) -> Callable[[], None]:
        """Stand behind the hooks of the interpreter; returns what puts the former ones back."""
        former, in_threads, unraisable = sys.excepthook, threading.excepthook, sys.unraisablehook

        def escaped(kind: type[BaseException], failure: BaseException, trace: TracebackType | None) -> None:
            former(kind, failure, trace)
            self.record(failure, "the main thread")

        def left_thread(arguments: threading.ExceptHookArgs) -> None:
            in_threads(arguments)
            if arguments.exc_value is not None:
                name = arguments.thread.name if arguments.thread is not None else "unknown"
                self.record(arguments.exc_value, f"the thread {name}")

        def not_raised(unraised: Any) -> None:
            unraisable(unraised)
            if unraised.exc_value is not None:
                self.record(unraised.exc_value, "a place that cannot raise")

        sys.excepthook, threading.excepthook, sys.unraisablehook = escaped, left_thread, not_raised

        def restore() -> None:
            sys.excepthook, threading.excepthook, sys.unraisablehook = former, in_threads, unraisable

        return restore

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Record what the tasks and callbacks of `loop` raise and nobody retrieves."""

        def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            loop.default_exception_handler(context)
            failure = context.get("exception")
            if isinstance(failure, BaseException):
                self.record(failure, "a task of the loop")

        loop.set_exception_handler(handle)

    def _activity_lines(self) -> list[str]:
        """Kinds and outcomes only: the rest may name what the user works on."""
        lines = []
        for record in list(self._activity())[-ACTIVITIES:]:
            took = "" if record.milliseconds is None else f" {record.milliseconds:.0f} ms"
            lines.append(f"{record.at:.3f} {record.kind} {record.status}{took}")
        return lines
