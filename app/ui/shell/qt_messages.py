"""What Qt says goes to the log too, and its last words before it aborts to the trace of the crash."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

from app.core.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("qt")

LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def take_messages(note: Callable[[str], None]) -> Callable[[], None]:
    """Log what Qt says; `note` gets the message with which it aborts. Returns what puts the former handler back."""

    def handle(kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
        # Standard error has it as before: scripts and terminals read it there.
        if sys.stderr is not None:
            sys.stderr.write(f"{message}\n")
        if kind is QtMsgType.QtFatalMsg:
            note(redact_text(f"Qt aborts: {message}"))
        log.log(LEVELS.get(kind, logging.WARNING), "%s", message)

    former = qInstallMessageHandler(handle)

    def restore() -> None:
        qInstallMessageHandler(former)

    return restore
