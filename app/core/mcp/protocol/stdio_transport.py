"""StdioTransport: a server that is a process of this machine, with messages as lines on its pipes (MCP, "stdio").

Not the SDK's: that one reads lines without a bound, shows nothing of what the process said before it died, and takes
four seconds to end one that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from app.core.errors import Facts, ServerTrouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from app.core.mcp.protocol.exchange import Exchange
    from app.core.mcp.protocol.transport import OpenExchanges

LINE_LIMIT = 32 * 1024 * 1024
READ_BYTES = 256 * 1024
# Bytes of a pipe that wait in memory until they are read.
STREAM_LIMIT = 1024 * 1024
LAST_WORDS = 20
LAST_WORD_CHARACTERS = 400
# How long a process may take to end after its input was closed, and then after it was asked to.
LEAVE_SECONDS = (0.3, 0.3)
# How long to wait for the exit code of a process that closed its output, and for its last words.
END_SECONDS = 0.5
POSIX = os.name == "posix"
NO_CONSOLE: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)


class StdioTransport:
    """Starts `command` for each session and ends it, with all that it started, when the session is left.

    It gets the harmless part of this process's environment and `environment` besides.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = tuple(command)
        self._folder = folder
        self._environment = dict(environment or {})

    @property
    def address(self) -> str:
        """The name of the command."""
        return os.path.basename(self._command[0]) if self._command else ""

    @asynccontextmanager
    async def connect(self, exchanges: OpenExchanges) -> AsyncIterator[tuple[Any, Any]]:
        """See `Transport.connect`. Raises `ServerTrouble` when the command cannot be started."""
        import anyio
        from mcp.shared.message import SessionMessage

        process, process_transport = await self._start()
        read_send, read_receive = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write_send, write_receive = anyio.create_memory_object_stream[SessionMessage](0)
        pipes = _Pipes(self.address, process, exchanges)
        try:
            async with anyio.create_task_group() as tasks, read_send, read_receive, write_send, write_receive:
                tasks.start_soon(pipes.keep_last_words)
                tasks.start_soon(pipes.read, read_send)
                tasks.start_soon(pipes.write, write_receive)
                yield read_receive, write_send
                tasks.cancel_scope.cancel()
        finally:
            await _end(process)
            process_transport.close()

    async def _start(self) -> tuple[asyncio.subprocess.Process, asyncio.SubprocessTransport]:
        from mcp.client.stdio import get_default_environment

        if not self._command:
            raise ServerTrouble("The server has no command.", action="Give the command that starts it.")
        loop = asyncio.get_running_loop()
        try:
            # `create_subprocess_exec` does the same and keeps the pipes' transport to itself, which nobody closes then.
            transport, protocol = await loop.subprocess_exec(
                lambda: asyncio.subprocess.SubprocessStreamProtocol(limit=STREAM_LIMIT, loop=loop),
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self._folder,
                env=get_default_environment() | self._environment,
                # A group of its own, so that what it starts ends with it.
                start_new_session=POSIX,
                creationflags=NO_CONSOLE,
            )
        except (OSError, ValueError) as failure:
            reason = getattr(failure, "strerror", None) or str(failure)
            raise ServerTrouble(
                f"“{self._command[0]}” cannot be started: {reason}.",
                Facts(code="not-started"),
                action="Check the command and its path.",
            ) from None
        return asyncio.subprocess.Process(transport, protocol, loop), transport


class _Pipes:
    """The three pipes of one process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, exchanges: OpenExchanges) -> None:
        self._name = name
        self._process = process
        self._exchanges = exchanges
        self._last_words: deque[str] = deque(maxlen=LAST_WORDS)
        self._heard_out = asyncio.Event()
        self._ending = ""

    async def read(self, send: Any) -> None:
        """Messages from its standard output, one a line; closes `send` when there are no more."""
        from app.core.mcp.protocol.message_tap import exchange_of
        from app.core.mcp.protocol.result_tap import without_result

        assert self._process.stdout is not None
        async with send:
            waiting = bytearray()
            while chunk := await self._process.stdout.read(READ_BYTES):
                searched = len(waiting)
                waiting += chunk
                while (end := waiting.find(b"\n", searched)) >= 0:
                    line = bytes(waiting[:end]).strip()
                    del waiting[: end + 1]
                    searched = 0
                    if line:
                        item = _parsed(without_result(line, self._exchanges.by_id))
                        exchange = exchange_of(item, self._exchanges)
                        if exchange is not None:
                            exchange.replied = True
                        await send.send(item)
                if len(waiting) > LINE_LIMIT:
                    for exchange in self._exchanges.by_id.values():
                        exchange.limit = LINE_LIMIT
                    return
            await self._note_the_end()

    async def write(self, receive: Any) -> None:
        """Messages to its standard input, one a line."""
        from app.core.mcp.protocol.message_tap import exchange_of

        async with receive:
            async for item in receive:
                exchange = exchange_of(item, self._exchanges)
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                if exchange is not None:
                    exchange.by_message = True
                    text = exchange.marks.restore(text) if exchange.marks else text
                if not await self._put(text.encode() + b"\n", exchange):
                    return

    async def _put(self, line: bytes, exchange: Exchange | None) -> bool:
        """Write one line; whether more may follow. Of a line that was begun the process may have read all."""
        stdin = self._process.stdin
        assert stdin is not None
        if self._process.returncode is None and not stdin.is_closing():
            nothing_waits = stdin.transport.get_write_buffer_size() == 0
            stdin.write(line)
            # A pipe that nobody reads is refused at once, unless earlier bytes wait still.
            left = not (nothing_waits and stdin.is_closing())
            if exchange is not None:
                exchange.sent = left
            if left:
                try:
                    await stdin.drain()
                except (OSError, RuntimeError):
                    return False
                return True
        if exchange is not None:
            exchange.ending = self._ending
        return False

    async def keep_last_words(self) -> None:
        """What it says on its standard error, the newest lines."""
        assert self._process.stderr is not None
        try:
            with contextlib.suppress(ValueError):
                async for line in self._process.stderr:
                    self._last_words.append(line.decode("utf-8", "replace").strip()[:LAST_WORD_CHARACTERS])
        finally:
            self._heard_out.set()

    async def _note_the_end(self) -> None:
        """Tell all who wait how the process ended. One that closed its output and goes on is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
                # Its last words may be on their way still; what it started may keep that pipe open for ever.
                await self._heard_out.wait()
        code = self._process.returncode
        how = "closed its output" if code is None else f"ended with {_exit(code)}"
        last = " ".join(word for word in self._last_words if word)
        said = f" Its last words: {last}" if last else ""
        self._ending = f"The process of {self._name} {how}.{said}"
        for exchange in self._exchanges.by_id.values():
            exchange.ending = self._ending


def _exit(code: int) -> str:
    """How a process ended: its code, or the signal that ended it."""
    if code >= 0:
        return f"code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _parsed(line: bytes) -> Any:
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as problem:
        # Servers print to their standard output by mistake; the message that was meant comes in a later line.
        return problem


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its input, ask it to end, then kill it and all that it started; under a second in all."""
    if process.stdin is not None:
        process.stdin.close()
    for seconds, number in zip(LEAVE_SECONDS, (signal.SIGTERM, None), strict=True):
        if await _has_ended(process, seconds):
            break
        _signal(process, number)
    # Children that left the process behind are in its group still.
    _signal(process, None)
    await _has_ended(process, LEAVE_SECONDS[-1])


async def _has_ended(process: asyncio.subprocess.Process, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _signal(process: asyncio.subprocess.Process, number: int | None) -> None:
    """Send a signal to its whole group; None kills."""
    with contextlib.suppress(ProcessLookupError, PermissionError, OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL if number is None else number)
