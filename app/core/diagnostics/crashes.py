"""Crash reports: files in the data folder, without secrets, that only the user reads and passes on.

A report is text: what runs, what happened, where, and the end of the log. It has nothing that was typed, sent or
received. There are at most `MOST` of them, of at most `REPORT_BYTES` each.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.private import make_private_folder, open_private
from app.core.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.core.diagnostics.run_marker import EndedRun

log = logging.getLogger(__name__)

FOLDER = "crashes"
PREFIX, SUFFIX = "crash-", ".txt"
AT_START = "start"
MOST, REPORT_BYTES = 20, 256 * 1024
LOG_FILE, LOG_TAIL_BYTES = "burrow.log", 16 * 1024
# What an exception says may be a whole answer of a server. `EDGE` is longer than any secret.
TRACE_CHARACTERS, EDGE = 96 * 1024, 8 * 1024
# A frame of each thread is a line, and a deep recursion has a thousand.
MOST_FRAMES, MOST_THREADS = 60, 40
# In Unix seconds: the end of the year 9999.
LATEST = 253_402_300_800
CUT = "\n… The report was cut here.\n"
NO_TRACE = "No trace was written."


@dataclass(frozen=True, slots=True)
class CrashReport:
    """A report on disk. `at` is in Unix seconds; `at_start` says that Burrow had not finished to start."""

    path: Path
    at: float
    at_start: bool = False

    @property
    def name(self) -> str:
        return self.path.name

    def read(self) -> str:
        """Its text. Raises `OSError`."""
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read(REPORT_BYTES + len(CUT))


class CrashReports:
    """The reports of a data folder."""

    def __init__(self, folder: Path, facts: Mapping[str, str]) -> None:
        """`facts` say what this process is: version, system, how it was installed."""
        self.folder = folder / FOLDER
        self._data = folder
        self._facts = dict(facts)

    def all(self) -> list[CrashReport]:
        """The reports, the newest first. Reads the folder."""
        try:
            names = [name for name in os.listdir(self.folder) if name.startswith(PREFIX) and name.endswith(SUFFIX)]
        except OSError:
            return []
        found = [report for name in names if (report := _report(self.folder / name)) is not None]
        return sorted(found, key=lambda report: (report.at, report.name), reverse=True)

    def of_failure(
        self,
        failure: BaseException,
        where: str,
        *,
        activity: Iterable[str] = (),
        at_start: bool = False,
        threads: bool = True,
    ) -> CrashReport | None:
        """Write the report of an exception that nobody handled; None where it cannot be written.

        `where` says what it left, such as "a job of the window".
        """
        parts = [f"An exception left {where}.\n\n{safe_trace(failure)}"]
        if threads:
            parts.append(f"Threads\n\n{_stacks()}")
        return self._write(parts, self._facts, activity, time.time(), at_start)

    def of_run(self, run: EndedRun) -> CrashReport | None:
        """Write the report of a window that crashed; None where it cannot be written."""
        facts = {"Burrow": run.version, **{name: value for name, value in run.facts if name != "ready"}}
        facts["Ran for"] = f"{max(0.0, run.ended - run.started):.1f} s"
        parts = [f"Burrow crashed. The trace is the one of the interpreter.\n\n{run.trace or NO_TRACE}"]
        return self._write(parts, facts, (), run.ended or time.time(), not run.ready)

    def _write(
        self, parts: list[str], facts: Mapping[str, str], activity: Iterable[str], at: float, at_start: bool
    ) -> CrashReport | None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
        head = "\n".join(["Crash report of Burrow", f"Time: {stamp}", *(f"{k}: {v}" for k, v in facts.items())])
        shown = [head, *parts]
        lines = list(activity)
        if lines:
            shown.append("Activity before, without content\n\n" + "\n".join(lines))
        tail = self._log_tail()
        if tail:
            shown.append(f"End of the log\n\n{tail}")
        text = _without_home(redact_text("\n\n".join(part.strip() for part in shown) + "\n"))
        data = text.encode("utf-8", "backslashreplace")
        if len(data) > REPORT_BYTES:
            data = data[:REPORT_BYTES].decode("utf-8", "ignore").encode() + CUT.encode()
        try:
            make_private_folder(self.folder)
            path = self._new_path(at, at_start)
            with open(path, "xb", opener=open_private) as file:
                file.write(data)
            self._drop_oldest()
        except OSError as failure:
            log.warning("no crash report: %s", failure)
            return None
        return CrashReport(path, at, at_start)

    def _new_path(self, at: float, at_start: bool) -> Path:
        mark = f"-{AT_START}" if at_start else ""
        return self.folder / f"{PREFIX}{at:.3f}-{os.urandom(3).hex()}{mark}{SUFFIX}"

    def _drop_oldest(self) -> None:
        for report in self.all()[MOST:]:
            report.path.unlink(missing_ok=True)

    def _log_tail(self) -> str:
        try:
            with open(self._data / LOG_FILE, "rb") as file:
                skipped = max(0, os.fstat(file.fileno()).st_size - LOG_TAIL_BYTES)
                file.seek(skipped)
                data = file.read(LOG_TAIL_BYTES)
        except OSError:
            return ""
        text = data.decode("utf-8", "replace")
        # The first line may be half of one, with half a secret.
        return (text.partition("\n")[2] if skipped else text).strip()


def safe_trace(failure: BaseException) -> str:
    """The traceback of an exception without secrets, of at most `TRACE_CHARACTERS`."""
    trace = "".join(traceback.format_exception(failure))
    if len(trace) <= TRACE_CHARACTERS:
        return redact_text(trace)
    # Where, and the last words. A secret that lies across an edge is recognised, since more is read than is kept.
    half = TRACE_CHARACTERS // 2
    first, last = redact_text(trace[: half + EDGE]), redact_text(trace[-half - EDGE :])
    return f"{first[:-EDGE]}\n…\n{last[EDGE:]}"


def crashed_starts(reports: Iterable[CrashReport], now: float, within: float) -> int:
    """How many of the newest starts crashed one after the other, the last one less than `within` seconds ago."""
    times = sorted((report.at for report in reports if report.at_start and report.at <= now), reverse=True)
    count, after = 0, now
    for at in times:
        if after - at > within:
            break
        count, after = count + 1, at
    return count


def _report(path: Path) -> CrashReport | None:
    words = path.name.removeprefix(PREFIX).removesuffix(SUFFIX).split("-")
    try:
        at = float(words[0])
    except ValueError:
        return None
    # Not every number is a time.
    return CrashReport(path, at, AT_START in words[1:]) if 0 <= at < LATEST else None


def _stacks() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = []
    for ident, frame in list(sys._current_frames().items())[:MOST_THREADS]:
        # No lines of source: a frame says where it is, and the exception has the lines.
        frames = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=MOST_FRAMES, lookup_lines=False)
        lines = [f"  {each.filename}:{each.lineno} in {each.name}" for each in frames]
        found.append("\n".join([names.get(ident, str(ident)), *lines]))
    return "\n\n".join(found)


def _without_home(text: str) -> str:
    """The user's home folder, which has their name, as `~`."""
    try:
        home = str(Path.home())
    except RuntimeError:
        return text
    return text.replace(home, "~") if len(home) > 3 else text
