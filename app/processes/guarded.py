"""start_guarded: a child process that ends with this one, however this one ends."""

from __future__ import annotations

import secrets
import subprocess
from typing import TYPE_CHECKING

from app.processes.child import ChildProcess
from app.processes.guard import MARK, OrphanGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


async def start_guarded(
    command: Sequence[str],
    folder: Path | str | None,
    environment: Mapping[str, str],
    *,
    marked: bool,
    stdin: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    on_output: Callable[[bytes], None] | None = None,
) -> tuple[ChildProcess, OrphanGuard]:
    """Start a command as `ChildProcess.start` does, and guard its group; dismiss the guard after the process's end.

    With `marked` its environment has `MARK` too, and the guard finds what left the group. Raises `NotStarted`.
    """
    mark = secrets.token_hex(8) if marked else ""
    variables = {**environment, MARK: mark} if marked else environment
    guard = OrphanGuard(mark)
    try:
        child = await ChildProcess.start(command, folder, variables, stdin=stdin, stderr=stderr, on_output=on_output)
    except BaseException:
        try:
            await guard.end_marked()
        finally:
            await guard.dismiss()
        raise
    guard.watch(child.pid)
    return child, guard
