"""AgentProcess: an agent that runs as a process of its own, spoken to over its standard input and output.

https://agentclientprotocol.com/protocol/transports, "stdio". The agent leads a session and process group of its own, so
that all it started ends with it, and with this process (`processes/guard.py`).
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from app.acp.messages import PeerBroken
from app.acp.peer import Peer
from app.processes.child import exit_words
from app.processes.guarded import start_guarded
from app.processes.last_lines import LastLines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from app.acp.peer import OnNotification, OnRequest
    from app.processes.child import ChildProcess
    from app.processes.guard import OrphanGuard

# How long an agent may take to end: after its input was closed, and then after SIGTERM.
EXIT_SECONDS = (0.4, 0.4)
# How long to wait for the exit code of an agent that closed its output, and for the rest of its standard error.
EXIT_CODE_SECONDS = 0.5


class AgentProcess:
    """A process that was started. Whoever started it awaits `end`.

    `peer` is the conversation with it, which runs until the agent closes its output. `stderr_tail` are the last 20
    lines of its standard error, each at most 400 characters.
    """

    def __init__(
        self,
        name: str,
        child: ChildProcess,
        guard: OrphanGuard,
        on_request: OnRequest,
        on_notification: OnNotification,
        on_notice: Callable[[str], None] | None,
    ) -> None:
        self.name = name
        self.pid = child.pid
        self._child = child
        self._guard = guard
        self._stderr = LastLines()
        self._broken = ""
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        self.peer = Peer(
            *(child.stdout, child.stdin),
            on_request=on_request,
            on_notification=on_notification,
            on_notice=on_notice,
        )
        self._speaking = asyncio.create_task(self._speak(), name=f"acp {name}")
        self._stderr_reading = asyncio.create_task(self._stderr.read(child.stderr), name=f"acp {name} stderr")
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        on_request: OnRequest,
        on_notification: OnNotification,
        on_notice: Callable[[str], None] | None = None,
    ) -> AgentProcess:
        """Start a command, without a shell, in `folder` and with exactly `environment` and `MARK`.

        Raises `NotStarted`. The handlers are those of `Peer`.
        """
        child, guard = await start_guarded(command, folder, environment, marked=True)
        return cls(os.path.basename(command[0]), child, guard, on_request, on_notification, on_notice)

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._child.exit_code

    @property
    def stderr_tail(self) -> tuple[str, ...]:
        return tuple(self._stderr)

    async def wait(self) -> None:
        """Wait until the agent closed its output, or said what ends the conversation. Then nothing answers any more."""
        await asyncio.wait((self._speaking,))

    async def how_it_ended(self) -> str:
        """After `wait`: how it ended, as a sentence. Its standard error is in `stderr_tail`."""
        # One that closed its output and goes on is not waited for. A child may keep the pipe of standard error open.
        await self._child.has_exited(EXIT_CODE_SECONDS)
        await asyncio.wait((self._stderr_reading,), timeout=EXIT_CODE_SECONDS)
        if self._broken:
            return f"{self.name} does not keep to the protocol. {self._broken}"
        code = self.exit_code
        return f"{self.name} {'closed its output' if code is None else f'ended with {exit_words(code)}'}."

    async def end(self) -> None:
        """Close its input, wait, send SIGTERM to its group, wait, then kill all that it started; a second at most.

        A second call waits for the first. The ending goes on when the caller is cancelled.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name=f"acp {self.name} ends")
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        try:
            await self._child.end(EXIT_SECONDS)
            await self._guard.end_marked()
        finally:
            self._speaking.cancel()
            self._stderr_reading.cancel()
            await asyncio.wait((self._speaking, self._stderr_reading))
            await self._guard.dismiss()

    async def _speak(self) -> None:
        try:
            await self.peer.run()
        except PeerBroken as failure:
            self._broken = str(failure)
