"""GroupGuard: ends a process group when this process is gone without having ended it, as when it was killed.

A shell waits for the end of a pipe that only this process holds. (Linux could send a signal by itself: prctl(2),
PR_SET_PDEATHSIG. But that has to be asked for between fork and exec, and then a fork copies the tables of all memory:
25 ms in a window, in which nothing else runs. It would not reach the children of a server either.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess

log = logging.getLogger(__name__)

SHELL = "/bin/sh"
# A server that notices the end of its input ends by itself, and in order. The script is not run on after a line.
SCRIPT = 'read -r over || { sleep 1; kill -s KILL -- "-$1"; }'
END_SECONDS = 1.0


class GroupGuard:
    """Guards one group, from its start to `dismiss`."""

    def __init__(self, group: int) -> None:
        self._shell: subprocess.Popen[bytes] | None = None
        try:
            self._shell = subprocess.Popen(
                (SHELL, "-c", SCRIPT, SHELL, str(group)),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                # What a terminal sends to its programs does not reach it.
                start_new_session=True,
            )
        except OSError as failure:
            log.warning("a process is not guarded: %s", failure)

    async def dismiss(self) -> None:
        """The group has ended."""
        shell, self._shell = self._shell, None
        if shell is None:
            return
        assert shell.stdin is not None
        with contextlib.suppress(OSError):
            shell.stdin.write(b"over\n")
            shell.stdin.close()
        try:
            await asyncio.to_thread(shell.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            shell.kill()
            shell.wait()
