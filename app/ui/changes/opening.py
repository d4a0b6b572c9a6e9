"""Opens a file of a run in the person's editor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QProcess, QUrl
from PySide6.QtGui import QDesktopServices

from app.core.desktop.editor import editor_command, is_run_by_desktops
from app.ui.changes.words import tr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def start_detached(command: list[str], folder: str) -> bool:
    """Start a program that goes on without Burrow, with the environment that the person started Burrow with."""
    process = QProcess()
    process.setProgram(command[0])
    process.setArguments(command[1:])
    process.setWorkingDirectory(folder)
    process.setStandardInputFile(QProcess.nullDevice())
    process.setStandardOutputFile(QProcess.nullDevice())
    process.setStandardErrorFile(QProcess.nullDevice())
    return bool(process.startDetached()[0])


def open_in_editor(
    path: Path,
    *,
    start: Callable[[list[str], str], bool] = start_detached,
    open_address: Callable[[QUrl], bool] = QDesktopServices.openUrl,
) -> str:
    """Open a file. Returns what to tell the person; empty when it opened.

    A file that the desktop would run is not given to it: its folder is.
    """
    if not path.exists():
        return tr("The file is not there any more.")
    command = editor_command(path)
    if command is not None:
        return "" if start(command, str(path.parent)) else tr("{0} could not be started.").format(command[0])
    if is_run_by_desktops(path):
        open_address(QUrl.fromLocalFile(str(path.parent)))
        return tr("The desktop would run this file, so its folder was opened. Set VISUAL to open it in an editor.")
    return "" if open_address(QUrl.fromLocalFile(str(path))) else tr("No program of the desktop opens this file.")
