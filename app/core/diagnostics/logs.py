"""Log files without secrets, for their owner only: a rotating log and a crash file in the data folder."""

from __future__ import annotations

import faulthandler
import logging
import sys
import threading
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, TextIO

from app.core.private import make_private_folder, open_private
from app.core.redaction import redact_text

if TYPE_CHECKING:
    from io import TextIOWrapper
    from pathlib import Path
    from types import TracebackType

LOG_FILE = "burrow.log"
CRASH_FILE = "crash.log"
LOG_BYTES = 2 * 1024 * 1024
LOG_FILES = 2

log = logging.getLogger("burrow")

# faulthandler writes to the descriptor when the interpreter crashes, so the file must stay open.
_crash_file: TextIO | None = None


class _Redacting(logging.Formatter):
    """Redacts the formatted line, which includes exceptions and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))


class _PrivateLog(RotatingFileHandler):
    """A log that is worth less than what it tells of: where it cannot be written, its lines are dropped."""

    def _open(self) -> TextIOWrapper:
        # A path may have bytes that are no text; they are escaped.
        return open(self.baseFilename, "a", encoding="utf-8", errors="backslashreplace", opener=open_private)

    def emit(self, record: logging.LogRecord) -> None:
        # Objects that are destroyed with the interpreter may log, when even `open` is gone.
        if not sys.is_finalizing():
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        # A full disk would otherwise write a traceback to standard error for each line.
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)

    def close(self) -> None:
        # It flushes what a full disk has not taken.
        with suppress(OSError):
            super().close()


def start_logging(folder: Path, *, traces: bool = True) -> None:
    """Log to `folder`, with uncaught exceptions and, with `traces`, crashes of the interpreter.

    If the folder cannot be written, the log goes to standard error. A window has its trace elsewhere (`run_marker.py`).
    """
    global _crash_file
    form = _Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        make_private_folder(folder)
        handler: logging.Handler = _PrivateLog(
            folder / LOG_FILE, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True
        )
        if traces:
            # Closed by nobody: see above.
            _crash_file = open(folder / CRASH_FILE, "a", encoding="utf-8", opener=open_private)  # noqa: SIM115
            faulthandler.enable(_crash_file)
    except OSError:
        handler = logging.StreamHandler()
    handler.setFormatter(form)
    # `force`: a library may have configured the root logger before.
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # The activity record has a line for each request. These libraries would log the full URLs, with their queries.
    for name in ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "mcp", "keyring"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _uncaught(kind: type[BaseException], failure: BaseException, trace: TracebackType | None) -> None:
    log.critical("uncaught", exc_info=(kind, failure, trace))
    if sys.stderr is not None:
        sys.stderr.write(redact_text(f"burrow: {kind.__name__}: {failure}\n"))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        log.critical(
            "uncaught in a thread", exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        )
