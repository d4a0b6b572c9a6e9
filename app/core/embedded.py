"""EmbeddedWorkspace: finds, starts, supervises and stops the workspace process.

The workspace is never imported, only started; a frozen Burrow starts itself with the subcommand `workspace`. It watches
its standard input, a pipe from this process, so it ends with this process even when that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from app.core.errors import BurrowError, ServerTrouble, StorageTrouble
from app.core.fetcher import plain_json
from app.core.hosts import Host, workspace_host
from app.core.private import make_private_folder, open_private

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

READY_SECONDS = 30.0
STOP_SECONDS = 2.0
# A workspace that ends by itself is restarted so often, unless it has run for this long in between.
RESTARTS = 3
STEADY_SECONDS = 60.0
LOG_FILE = "workspace.log"
RUNTIME_FILE = "runtime.json"
# Windows opens a console for a console program unless told otherwise.
NO_CONSOLE: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)


@dataclass(frozen=True, slots=True)
class Ready:
    """The line that a workspace prints when it is ready. `secret` opens the switchboard and gets login tickets."""

    url: str
    secret: str
    client_id: str
    notices: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str | bytes) -> Ready:
        """Read a ready line. Raises `ValueError` for anything else."""
        record = json.loads(text)
        if not isinstance(record, dict):
            raise ValueError("not a ready line")
        try:
            notices = tuple(str(notice) for notice in record.get("notices", ()))
            return Ready(str(record["url"]), str(record["secret"]), str(record["client_id"]), notices)
        except (KeyError, TypeError):
            raise ValueError("not a ready line") from None

    @property
    def host(self) -> Host:
        return workspace_host(self.url, client_id=self.client_id, secret=self.secret)


class EmbeddedWorkspace:
    """The workspace of one data folder: one that runs already, or one that is started here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        # Held while the process is started or restarted, so that two callers never start two.
        self._lock = asyncio.Lock()
        self.ready: Ready | None = None

    async def start(self) -> Ready:
        """Find or start the workspace, also when it has ended meanwhile.

        Raises `ServerTrouble`, which names the log file, when it does not start; `StorageTrouble` when its folder
        cannot be written.
        """
        async with self._lock:
            ours = self._process
            if self.ready is not None and ours is not None and ours.returncode is None:
                return self.ready
            # One that another process runs is looked for each time: it may have ended with that process.
            found = await self._running() if ours is None else None
            if found is None:
                # The same port again after a restart of our own, so that URLs in the window stay valid.
                port = 0 if self.ready is None or ours is None else _port(self.ready)
                found, process = await self._launch(port)
                self._watch = asyncio.create_task(self._supervise(process, found))
            self.ready = found
            return found

    async def ticket(self) -> str:
        """A single-use login ticket. Raises what `start` raises, and `ServerTrouble`."""
        ready = await self.start()
        answer = await plain_json("POST", f"{ready.url}/_tickets", headers={"X-Workspace-Secret": ready.secret})
        if not isinstance(answer, dict) or not isinstance(answer.get("ticket"), str):
            raise ServerTrouble("The workspace gave no login ticket.")
        return str(answer["ticket"])

    async def stop(self) -> None:
        """End the process if it was started here; one that was found stays."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _running(self) -> Ready | None:
        """The workspace that another process runs on the same data, if it answers."""
        try:
            ready = Ready.parse(await asyncio.to_thread((self._folder / RUNTIME_FILE).read_bytes))
            answer = await plain_json("GET", f"{ready.url}/_workspace")
        except (OSError, ValueError, BurrowError):
            return None
        return ready if isinstance(answer, dict) and answer.get("name") == "burrow-workspace" else None

    async def _launch(self, port: int) -> tuple[Ready, asyncio.subprocess.Process]:
        log_path = self._folder / LOG_FILE
        try:
            make_private_folder(self._folder)
            with _log_file(log_path) as log_file:
                process = await asyncio.create_subprocess_exec(
                    *_command(),
                    "--watch-stdin",
                    "--port",
                    str(port),
                    "--data",
                    str(self._folder),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log_file,
                    creationflags=NO_CONSOLE,
                )
        except OSError as failure:
            raise StorageTrouble(f"The embedded workspace cannot start in {self._folder}: {failure}.") from None
        self._process = process
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_SECONDS):
                return Ready.parse(await process.stdout.readline()), process
        except (TimeoutError, ValueError):
            await self._end()
            raise ServerTrouble(
                f"The embedded workspace did not start (exit code {process.returncode}).",
                action=f"Its log is {log_path}.",
            ) from None

    async def _supervise(self, process: asyncio.subprocess.Process, ready: Ready) -> None:
        """Restart it at the same port whenever it ends by itself: three times, counted anew after a steady minute."""
        attempts = 0
        while True:
            began = monotonic()
            code = await process.wait()
            attempts = 0 if monotonic() - began > STEADY_SECONDS else attempts
            if attempts == RESTARTS:
                log.error("the embedded workspace ended with %s once more and is not restarted", code)
                return
            log.warning("the embedded workspace ended with %s", code)
            async with self._lock:
                # `stop` or `start` has replaced it meanwhile.
                if self._process is not process:
                    return
                await asyncio.sleep(0.2 * 2**attempts)
                try:
                    self.ready, process = await self._launch(_port(ready))
                except BurrowError:
                    log.exception("the embedded workspace could not be started again")
                    return
            attempts += 1


def _log_file(path: Path) -> BinaryIO:
    return open(path, "wb", opener=open_private)


def _port(ready: Ready) -> int:
    return urlsplit(ready.url).port or 0


def _command() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, "workspace"]
    return [sys.executable, "-m", "app", "workspace"]
