"""The marker of a running window, and what became of the windows that left theirs behind.

A window holds a lock on its marker while it lives, so the end of the process releases it, however it ends. Beside the
marker is the file that `faulthandler` writes to when the interpreter crashes. The next start finds markers that nobody
holds: with a trace that process crashed; without one it was killed, or the machine lost power.

Standard library only: it is written before the window is made.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from app import __version__
from app.core.private import make_private_folder, open_private

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

log = logging.getLogger(__name__)

FOLDER = "crashes"
MARKER, TRACE = ".run", ".trace"
# What faulthandler writes has at most 100 frames of 100 threads.
TRACE_BYTES = 512 * 1024
MARKER_BYTES = 16 * 1024
# Windows locks bytes for readers too: one that nobody reads.
LOCKED_BYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A window that ended without saying so. `trace` is empty where it was killed.

    Times are in Unix seconds; `ended` is when the trace was written, 0 without one. `ready` says that its start was
    over by then, `facts` what else its marker has.
    """

    pid: int
    started: float
    version: str
    trace: str = ""
    ended: float = 0.0
    ready: bool = False
    facts: tuple[tuple[str, str], ...] = ()


class RunMarker:
    """The marker of this process. `faulthandler` writes to `trace` until `end`."""

    def __init__(self, path: Path, marker: IO[bytes], trace: IO[bytes], facts: dict[str, Any]) -> None:
        self.path = path
        self.trace = trace
        self._marker = marker
        self._facts = facts

    @staticmethod
    def begin(folder: Path, facts: dict[str, str]) -> RunMarker | None:
        """Mark that this process runs in the data `folder`; None where that cannot be written.

        `facts` are short words about it for a report.
        """
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        path = folder / FOLDER / f"{name}{MARKER}"
        try:
            make_private_folder(path.parent)
            marker = open(path, "x+b", opener=open_private)  # noqa: SIM115 - open until the end
            trace = open(path.with_suffix(TRACE), "x+b", buffering=0, opener=open_private)  # noqa: SIM115
            _lock(marker)
        except OSError as failure:
            log.info("no marker of this run: %s", failure)
            return None
        known = {"pid": os.getpid(), "started": time.time(), "version": __version__, "ready": False, **facts}
        made = RunMarker(path, marker, trace, known)
        made._write()
        faulthandler.enable(trace)
        return made

    def ready(self) -> None:
        """The start is over."""
        self._facts["ready"] = True
        self._write()

    def note(self, line: str) -> None:
        """Add a line to the trace, before the process is about to crash."""
        with suppress(OSError):
            os.write(self.trace.fileno(), line.encode("utf-8", "backslashreplace") + b"\n")

    def end(self) -> None:
        """This process ends as it should."""
        faulthandler.disable()
        for file in (self.path.with_suffix(TRACE), self.path):
            with suppress(OSError):
                file.unlink()
        with suppress(OSError):
            self.trace.close()
            self._marker.close()
        # Windows deletes no file that is open.
        for file in (self.path.with_suffix(TRACE), self.path):
            with suppress(OSError):
                file.unlink()

    def _write(self) -> None:
        with suppress(OSError):
            self._marker.seek(0)
            self._marker.write(json.dumps(self._facts).encode())
            self._marker.truncate()
            self._marker.flush()


def take_ended(folder: Path) -> list[EndedRun]:
    """The windows of the data `folder` that left a marker behind, each once among all processes, the oldest first."""
    found: list[EndedRun] = []
    try:
        markers = [entry.path for entry in os.scandir(folder / FOLDER) if entry.name.endswith(MARKER)]
    except OSError:
        return []
    for each in markers:
        with suppress(OSError):
            run = _take(Path(each))
            if run is not None:
                found.append(run)
    return sorted(found, key=lambda run: run.started)


def _take(path: Path) -> EndedRun | None:
    trace = path.with_suffix(TRACE)
    with open(path, "r+b") as marker:
        try:
            _lock(marker)
        except OSError:
            return None
        # Another process may have taken it between the two.
        if not path.exists():
            return None
        facts = _facts_of(marker.read(MARKER_BYTES))
        text, ended = "", 0.0
        with suppress(OSError), open(trace, "rb") as file:
            text = file.read(TRACE_BYTES).decode("utf-8", "replace")
            ended = os.fstat(file.fileno()).st_mtime
        for file_path in (trace, path):
            with suppress(OSError):
                file_path.unlink()
    with suppress(OSError):
        path.unlink(missing_ok=True)
    more = tuple((name, str(value)) for name, value in facts.items() if name not in {"pid", "started", "version"})
    return EndedRun(
        int(_number(facts.get("pid"))),
        _number(facts.get("started")),
        str(facts.get("version", "")),
        text,
        ended if text else 0.0,
        facts.get("ready") is True,
        more,
    )


def _facts_of(data: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(data)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _lock(file: IO[bytes]) -> None:
    """Lock an open file for this process, without waiting. Raises `OSError` where another one has it."""
    if sys.platform == "win32":
        file.seek(LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
