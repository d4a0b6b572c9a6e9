"""OrphanGuard: ends what a process started once this process is gone without having done so, as when it was killed.

A shell waits for the end of a pipe that only this process holds. It then ends the process group, and on Linux whatever
carries a mark in its environment, where one is given: agents start the commands of their tools in sessions of their
own, which neither the group nor PR_SET_PDEATHSIG (prctl(2)) of their parent reaches. That signal is not used at all: it
has to be asked for between fork and exec, and such a fork copies the tables of all memory, 25 ms in a window.

On macOS the group is ended. On Windows a job object does it (`windows_job.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path

if sys.platform == "win32":
    from app.processes.windows_job import JobObject

log = logging.getLogger(__name__)

SHELL = "/bin/sh"
MARK = "BURROW_AGENT_MARK"
"""The variable by which everything that an agent started is found. Its value is random and no secret."""
# The first line says the group, the second that all is over. A process that notices the end of its input gets a moment
# to end by itself. The shell has no such variable, so it does not find itself.
SCRIPT = f"""
read -r group
read -r over && exit
sleep 1
[ -n "$group" ] && kill -s KILL -- "-$group"
[ -n "$1" ] || exit
for round in 1 2 3; do
  found=$(grep -lsaE "(^|[^A-Z_]){MARK}=$1" /proc/[0-9]*/environ)
  [ -n "$found" ] || exit
  for each in $found; do
    number=${{each#/proc/}}
    kill -s KILL "${{number%/environ}}"
  done
done
"""
END_SECONDS = 1.0
SWEEPS = 3


class OrphanGuard:
    """Guards a process group, and what is started with `MARK` set to `mark`, from before the start to `dismiss`."""

    def __init__(self, mark: str = "") -> None:
        self.mark = mark
        self._shell: subprocess.Popen[bytes] | None = None
        if sys.platform == "win32":
            self._job: JobObject | None = None
        else:
            self._shell = _shell(mark)

    def watch(self, group: int) -> None:
        """The process is there, and leads this group."""
        if sys.platform == "win32":
            self._job = JobObject(group)
        self._tell(f"{group}\n".encode())

    async def end_marked(self) -> None:
        """End what carries the mark."""
        if self.mark and sys.platform == "linux":
            await asyncio.to_thread(kill_marked, self.mark)

    async def dismiss(self) -> None:
        """All has ended. On Windows it is ended now."""
        if sys.platform == "win32" and self._job is not None:
            self._job.end()
        self._tell(b"over\nover\n")
        shell, self._shell = self._shell, None
        if shell is None:
            return
        assert shell.stdin is not None
        with contextlib.suppress(OSError):
            shell.stdin.close()
        try:
            await asyncio.to_thread(shell.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            shell.kill()
            shell.wait()

    def _tell(self, line: bytes) -> None:
        if self._shell is not None and self._shell.stdin is not None:
            with contextlib.suppress(OSError):
                self._shell.stdin.write(line)
                self._shell.stdin.flush()


def _shell(mark: str) -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(
            (SHELL, "-c", SCRIPT, SHELL, mark),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath},
            # What a terminal sends to its programs does not reach it.
            start_new_session=True,
        )
    except OSError as failure:
        log.warning("a process is not guarded: %s", failure)
        return None


def kill_marked(mark: str) -> int:
    """Kill the processes of this user that carry the mark, and say how many there were. Linux; elsewhere it finds none.

    What is started meanwhile is found by the next sweep; three are enough for all but a program that fights it. Reads
    `/proc`, so it belongs in a thread.
    """
    wanted = f"{MARK}={mark}".encode()
    killed = 0
    for _ in range(SWEEPS):
        found = [number for number in _processes() if wanted in _environment(number).split(b"\0")]
        for number in found:
            with contextlib.suppress(OSError):
                os.kill(number, 9)
        killed += len(found)
        if not found:
            break
    return killed


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _environment(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/environ").read_bytes()
    except OSError:
        return b""
