"""A workspace that carries out runs, and is killed, stopped for a while, and made to fail."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import httpx

from app.core.embedded import RUNTIME_FILE
from tests.conftest import Process, start_workspace_process

# Streams end by themselves after so long, instead of 15 minutes.
ROTATION_SECONDS = 6.0
ARGUMENTS = ("--cancel-seconds", "2")


class CarryingWorkspace:
    """One process after the other on the same data and the same port."""

    def __init__(self, folder: Path, runs: int) -> None:
        self.folder, self._runs = folder, runs
        self.ready: dict[str, Any] = {}
        self._process: Process | None = None

    @property
    def port(self) -> int:
        return int(str(self.ready["url"]).rpartition(":")[2])

    async def start(self) -> None:
        port = ("--port", str(self.port)) if self.ready else ()
        process = start_workspace_process(self.folder, "--runs", str(self._runs), *ARGUMENTS, *port)
        self._process = process
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line, "the workspace ended before it was ready"
        self.ready = json.loads(line)
        await self.fault("runs", rotation_seconds=ROTATION_SECONDS)

    async def kill(self) -> None:
        """End it as a crash would."""
        process = self._process
        assert process is not None
        process.kill()
        await asyncio.to_thread(process.wait, 10)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    async def sleep(self, seconds: float) -> None:
        """Stop the process for a while, as a machine that sleeps does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._process.send_signal(signal.SIGCONT)

    async def fault(self, name: str, **body: object) -> Any:
        """Use a switch of the fault switchboard."""
        async with httpx.AsyncClient(base_url=str(self.ready["url"]), trust_env=False, timeout=30) as client:
            headers = {"X-Workspace-Secret": str(self.ready["secret"])}
            answer = await client.post(f"/_faults/{name}", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    async def heal(self) -> None:
        """Lift every fault."""
        await self.fault("reset")
        await self.fault("runs", rotation_seconds=ROTATION_SECONDS)

    def announce(self, folder: Path, origin: str) -> None:
        """Let a Burrow with this data folder find the workspace at `origin`."""
        folder.mkdir(parents=True)
        (folder / RUNTIME_FILE).write_text(json.dumps({**self.ready, "url": origin}), encoding="utf-8")
