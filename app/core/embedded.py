"""EmbeddedWorkspace: finds, starts, supervises and stops the workspace process.

The workspace is never imported, only started; a frozen Burrow starts itself with the subcommand `workspace`. It belongs
to no process: whoever uses it holds a lease, and it ends when the last lease is gone. A lease is a file lock, which
the system releases when its process ends, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from app.core.errors import BurrowError, ServerTrouble, StorageTrouble
from app.core.events import Event
from app.core.fetcher import plain_json
from app.core.file_lock import file_lock
from app.core.hosts import Host, workspace_host
from app.core.private import make_private_folder, open_private
from app.processes.child import NO_CONSOLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from filelock import FileLock

log = logging.getLogger(__name__)

READY_SECONDS = 30.0
STOP_SECONDS = 3.0
# How long to wait while another process finds or starts the workspace. That one waits for two answers at most.
TURN_SECONDS = READY_SECONDS + 25.0
TURN_POLL_SECONDS = 0.05
LOOK_SECONDS = 0.5
END_POLL_SECONDS = 0.02
# A workspace that ends by itself is restarted so often, unless it has run for this long in between.
RESTARTS = 3
STEADY_SECONDS = 60.0
LOG_FILE = "workspace.log"
RUNTIME_FILE = "runtime.json"
LEASES_FOLDER = "leases"
# Windows opens a console for a console program unless told otherwise.


@dataclass(frozen=True, slots=True)
class Ready:
    """The line that a workspace prints when it is ready. `secret` opens the switchboard and gets login tickets."""

    url: str
    secret: str
    client_id: str
    notices: tuple[str, ...] = ()
    pid: int = 0

    @staticmethod
    def parse(text: str | bytes) -> Ready:
        """Read a ready line. Raises `ValueError` for anything else."""
        record = json.loads(text)
        if not isinstance(record, dict):
            raise ValueError("not a ready line")
        try:
            notices = tuple(str(notice) for notice in record.get("notices", ()))
            pid = int(record.get("pid", 0))
            return Ready(str(record["url"]), str(record["secret"]), str(record["client_id"]), notices, pid)
        except (KeyError, TypeError):
            raise ValueError("not a ready line") from None

    @property
    def host(self) -> Host:
        return workspace_host(self.url, client_id=self.client_id, secret=self.secret)


class Leases:
    """The file locks by which users and workspace of one folder see each other (`app/workspace/lifetime.py`).

    The methods block for moments and raise `OSError`: to be called on a worker thread.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"user-{os.urandom(8).hex()}.lock"
        self._own: FileLock | None = None
        self._turn: FileLock | None = None

    def take_turn(self) -> bool:
        """Become the one process that looks for the workspace or starts it."""
        make_private_folder(self._folder)
        self._turn = _acquired(self._folder / "start.lock")
        return self._turn is not None

    def end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()

    def take(self) -> None:
        """Keep the workspace up. Only in one's turn, so that it does not end meanwhile."""
        if self._own is None:
            # The workspace may be looking at this very file.
            self._own = _acquired(self._folder / self._name, seconds=1.0)

    def tidy(self) -> None:
        """Remove the files of processes that have ended. Only in one's turn: a lock is taken after its file is made."""
        for path in [*self._folder.glob("user-*.lock"), *self._folder.glob("workspace-*.lock")]:
            if path.name != self._name and not _held(path):
                path.unlink(missing_ok=True)

    def release(self) -> None:
        own, self._own = self._own, None
        if own is not None:
            with contextlib.suppress(OSError):
                (self._folder / self._name).unlink()
            own.release()

    def others(self) -> bool:
        """Whether another user keeps the workspace up."""
        return any(path.name != self._name and _held(path) for path in self._folder.glob("user-*.lock"))

    def serves(self, pid: int) -> bool:
        """Whether a workspace that watches the leases runs as this process."""
        return self.watched_by(pid) and _held(self._workspace_lock(pid))

    def watched_by(self, pid: int) -> bool:
        """Whether the workspace of this process watches the leases, or watched them until it was killed."""
        return self._workspace_lock(pid).exists()

    def _workspace_lock(self, pid: int) -> Path:
        return self._folder / f"workspace-{pid}.lock"

    @property
    def port(self) -> int:
        """The port of the last workspace, 0 when there was none. Windows that are open still know it."""
        try:
            return int((self._folder / "port").read_text("ascii"))
        except (OSError, ValueError):
            return 0

    @port.setter
    def port(self, port: int) -> None:
        with (
            contextlib.suppress(OSError),
            open(self._folder / "port", "w", encoding="ascii", opener=open_private) as file,
        ):
            file.write(str(port))


class EmbeddedWorkspace:
    """The workspace of one data folder: one that runs already, or one that is started here.

    `moved` is emitted when it has another address than before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._leases = Leases(folder / LEASES_FOLDER)
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None
        # Held while it is looked for, started or restarted, so that two callers never start two.
        self._lock = asyncio.Lock()
        self.ready: Ready | None = None
        self.moved: Event[Ready] = Event()

    async def start(self) -> Ready:
        """Find or start the workspace, also when it has ended meanwhile.

        Raises `ServerTrouble`, which names the log file or the program, when it does not start; `StorageTrouble` when
        its folder cannot be written.
        """
        async with self._lock:
            if self.ready is not None and await asyncio.to_thread(self._is_ours_or_leased, self.ready):
                return self.ready
            ready = await self._find_or_launch()
            if self._watch is None or self._watch.done():
                self._watch = asyncio.create_task(self._supervise())
            return ready

    async def ticket(self) -> str:
        """A single-use login ticket. Raises what `start` raises, and `ServerTrouble`."""
        ready = await self.start()
        answer = await plain_json("POST", f"{ready.url}/_tickets", headers={"X-Workspace-Secret": ready.secret})
        if not isinstance(answer, dict) or not isinstance(answer.get("ticket"), str):
            raise ServerTrouble("The workspace gave no login ticket.")
        return str(answer["ticket"])

    async def stop(self) -> None:
        """Give the lease up. The last user waits until the workspace has ended."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        process, self._process = self._process, None
        await asyncio.to_thread(self._leases.release)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                # A process that is no child of this one can only be looked at.
                while await asyncio.to_thread(self._is_ending, process):  # noqa: ASYNC110
                    await asyncio.sleep(END_POLL_SECONDS)
        except TimeoutError:
            if process is not None and not await asyncio.to_thread(self._leases.others):
                process.kill()
        if process is not None:
            _reap(process)

    def _is_ending(self, process: subprocess.Popen[bytes] | None) -> bool:
        if process is not None:
            runs = process.poll() is None
        else:
            runs = self.ready is not None and self._leases.serves(self.ready.pid)
        return runs and not self._leases.others()

    def _is_ours_or_leased(self, ready: Ready) -> bool:
        """Whether this workspace runs, and no other one has taken its place."""
        if _recorded_pid(self._folder) not in {None, ready.pid}:
            return False
        if self._process is not None and self._process.poll() is None:
            return True
        return self._leases.serves(ready.pid)

    def _is_there(self, ready: Ready) -> bool:
        if self._is_ours_or_leased(ready):
            return True
        # A workspace that somebody started by hand watches no leases, and takes its record away when it ends.
        by_hand = self._process is None and not self._leases.watched_by(ready.pid)
        return by_hand and _recorded_pid(self._folder) == ready.pid

    async def _find_or_launch(self) -> Ready:
        async with self._turn():
            await asyncio.to_thread(self._leases.take)
            ready = await self._running()
            if ready is None:
                ready = await self._launch()
            elif self._process is not None and self._process.pid != ready.pid:
                # Another user has started one since, while this process or its workspace was suspended.
                _reap(self._process)
                self._process = None
        former, self.ready = self.ready, ready
        if former is not None and former.url != ready.url:
            self.moved.emit(ready)
        return ready

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        deadline = monotonic() + TURN_SECONDS
        try:
            while not await asyncio.to_thread(self._leases.take_turn):
                if monotonic() > deadline:
                    raise ServerTrouble(
                        "Another Burrow is starting the embedded workspace and does not get on.",
                        action="End that one, or try again.",
                    )
                await asyncio.sleep(TURN_POLL_SECONDS)
        except OSError as failure:
            raise self._cannot_start(failure) from None
        try:
            yield
        finally:
            self._leases.end_turn()

    async def _running(self) -> Ready | None:
        """The workspace that runs on the same data, if it answers."""
        try:
            ready = Ready.parse(await asyncio.to_thread((self._folder / RUNTIME_FILE).read_bytes))
            answer = await plain_json("GET", f"{ready.url}/_workspace")
        except (OSError, ValueError, BurrowError):
            return None
        return ready if isinstance(answer, dict) and answer.get("name") == "burrow-workspace" else None

    async def _launch(self) -> Ready:
        log_path = self._folder / LOG_FILE
        # The same port again, so that URLs in open windows stay valid.
        port = self._leases.port if self.ready is None else _port(self.ready)
        try:
            make_private_folder(self._folder)
            await asyncio.to_thread(self._leases.tidy)
            log_file = _log_file(log_path)
        except OSError as failure:
            raise self._cannot_start(failure) from None
        with log_file:
            process = self._process = self._spawn(log_file, port)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_SECONDS):
                ready = Ready.parse(await asyncio.to_thread(process.stdout.readline))
        except (TimeoutError, ValueError):
            code = await _ended(process)
            raise ServerTrouble(
                f"The embedded workspace did not start (exit code {code}).",
                action=f"Its log is {log_path}.",
            ) from None
        except BaseException:
            process.kill()
            _reap(process)
            raise
        process.stdout.close()
        self._leases.port = _port(ready)
        return ready if ready.pid else replace(ready, pid=process.pid)

    def _spawn(self, log_file: BinaryIO, port: int) -> subprocess.Popen[bytes]:
        command = [*_command(), "--watch-users", "--port", str(port), "--any-port", "--data", str(self._folder)]
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
                creationflags=NO_CONSOLE,
                # Ctrl+C and the end of the terminal are meant for the user who started it, not for all of them.
                start_new_session=True,
            )
        except OSError as failure:
            raise ServerTrouble(
                f"The embedded workspace cannot start: {command[0]}: {failure.strerror}.",
                action="Install Burrow again, or end programs if the system has too many.",
            ) from None

    def _cannot_start(self, failure: OSError) -> StorageTrouble:
        return StorageTrouble(f"The embedded workspace cannot start in {self._folder}: {failure}.")

    async def _supervise(self) -> None:
        """Find or start it again whenever it went away: three times, counted anew after a steady minute."""
        attempts, began = 0, monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            known = self.ready
            if known is None or await asyncio.to_thread(self._is_there, known):
                continue
            attempts = 0 if monotonic() - began > STEADY_SECONDS else attempts
            if attempts == RESTARTS:
                log.error("the embedded workspace ended once more and is not restarted")
                return
            log.warning("the embedded workspace went away")
            async with self._lock:
                # `start` has replaced it meanwhile.
                if self.ready is known:
                    await asyncio.sleep(0.2 * 2**attempts)
                    try:
                        await self._find_or_launch()
                    except BurrowError:
                        log.exception("the embedded workspace could not be started again")
                        return
            attempts, began = attempts + 1, monotonic()


async def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Give a process a moment to end, else kill it. Returns its exit code."""
    try:
        return await asyncio.to_thread(process.wait, STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return await asyncio.to_thread(process.wait)
    finally:
        _reap(process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait on a thread for a process that others may still use, so that it leaves no zombie."""

    def wait() -> None:
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    threading.Thread(target=wait, name="workspace", daemon=True).start()


def _recorded_pid(folder: Path) -> int | None:
    try:
        return Ready.parse((folder / RUNTIME_FILE).read_bytes()).pid
    except (OSError, ValueError):
        return None


def _held(path: Path) -> bool:
    lock = _acquired(path)
    if lock is None:
        return True
    lock.release()
    return False


def _acquired(path: Path, *, seconds: float = 0.0) -> FileLock | None:
    """The file lock at `path`; None if another holds it for longer than `seconds`. Raises `OSError`."""
    from filelock import Timeout

    lock = file_lock(path)
    try:
        lock.acquire(timeout=seconds, poll_interval=0.01)
    except Timeout:
        return None
    return lock


def _log_file(path: Path) -> BinaryIO:
    return open(path, "wb", opener=open_private)


def _port(ready: Ready) -> int:
    return urlsplit(ready.url).port or 0


def _command() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, "workspace"]
    return [sys.executable, "-m", "app", "workspace"]
