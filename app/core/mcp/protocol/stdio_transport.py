"""StdioTransport: a server that is a process on this machine, with messages as lines on its pipes (MCP, "stdio").

The SDK's transport is not used. It reads lines without a limit, drops what the process wrote to standard error before
it died, and needs four seconds to end a process that hangs.
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
# How many bytes of a pipe are buffered before the process has to wait.
STREAM_LIMIT = 1024 * 1024
# Lines of standard error that are kept for the error message.
STDERR_LINES = 20
STDERR_LINE_CHARACTERS = 400
# How long a process may take to end: after its input was closed, and then after SIGTERM.
EXIT_SECONDS = (0.3, 0.3)
# How long to wait for the exit code of a process that closed its output, and for the rest of its standard error.
EXIT_CODE_SECONDS = 0.5
POSIX = os.name == "posix"
NO_CONSOLE: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)


class StdioTransport:
    """Starts `command` for each session, and ends it with all its children when the session is left.

    The process gets a few variables of this process's environment, those that the SDK considers safe, and
    `environment`.
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
                tasks.start_soon(pipes.read_stderr)
                tasks.start_soon(pipes.read, read_send)
                tasks.start_soon(pipes.write, write_receive)
                yield read_receive, write_send
                tasks.cancel_scope.cancel()
        finally:
            # However the session ends, the process must not survive it.
            await _end(process)
            process_transport.close()

    async def _start(self) -> tuple[asyncio.subprocess.Process, asyncio.SubprocessTransport]:
        from mcp.client.stdio import get_default_environment

        if not self._command:
            raise ServerTrouble("The server has no command.", action="Give the command that starts it.")
        loop = asyncio.get_running_loop()
        try:
            # `create_subprocess_exec` does the same, but does not hand out the transport, which has to be closed in the
            # end.
            transport, protocol = await loop.subprocess_exec(
                lambda: asyncio.subprocess.SubprocessStreamProtocol(limit=STREAM_LIMIT, loop=loop),
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self._folder,
                env=get_default_environment() | self._environment,
                # A process group of its own, so that its children can be ended with it.
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
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._stderr_ended = asyncio.Event()
        self._close_reason = ""

    async def read(self, send: Any) -> None:
        """Send the messages of standard output, one for each line, to `send`; close it when there are no more."""
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
                # Whichever request this line answers cannot be told, so all fail with the limit.
                if len(waiting) > LINE_LIMIT:
                    for exchange in self._exchanges.by_id.values():
                        exchange.exceeded_limit = LINE_LIMIT
                    return
            await self._record_end()

    async def write(self, receive: Any) -> None:
        """Write the messages of `receive` to standard input, one on each line."""
        from app.core.mcp.protocol.message_tap import exchange_of

        async with receive:
            async for item in receive:
                exchange = exchange_of(item, self._exchanges)
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                if exchange is not None:
                    exchange.by_message = True
                    text = exchange.placeholders.restore(text) if exchange.placeholders else text
                if not await self._put(text.encode() + b"\n", exchange):
                    return

    async def _put(self, line: bytes, exchange: Exchange | None) -> bool:
        """Write one line; returns whether more may follow."""
        stdin = self._process.stdin
        assert stdin is not None
        if self._process.returncode is None and not stdin.is_closing():
            buffer_empty = stdin.transport.get_write_buffer_size() == 0
            stdin.write(line)
            # With an empty buffer, asyncio writes at once, and closes the pipe if that fails. So if it is closed now,
            # no byte left. In every other case the process may have read the whole line.
            sent = not (buffer_empty and stdin.is_closing())
            if exchange is not None:
                exchange.sent = sent
            if sent:
                try:
                    await stdin.drain()
                except (OSError, RuntimeError):
                    return False
                return True
        if exchange is not None:
            exchange.close_reason = self._close_reason
        return False

    async def read_stderr(self) -> None:
        """Keep the last lines of standard error. Reading it also keeps the process from blocking on a full pipe."""
        assert self._process.stderr is not None
        try:
            with contextlib.suppress(ValueError):
                async for line in self._process.stderr:
                    self._stderr.append(line.decode("utf-8", "replace").strip()[:STDERR_LINE_CHARACTERS])
        finally:
            self._stderr_ended.set()

    async def _record_end(self) -> None:
        """Record in all waiting requests how the process ended."""
        # A process that closed its output and goes on is not waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_CODE_SECONDS):
                await self._process.wait()
                # The rest of standard error may still arrive. A child may keep that pipe open for ever, hence the
                # timeout.
                await self._stderr_ended.wait()
        code = self._process.returncode
        how = "closed its output" if code is None else f"ended with {_exit(code)}"
        output = " ".join(line for line in self._stderr if line)
        suffix = f" Its last output: {output}" if output else ""
        self._close_reason = f"The process of {self._name} {how}.{suffix}"
        for exchange in self._exchanges.by_id.values():
            exchange.close_reason = self._close_reason


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
        # Some servers print other text to standard output by mistake. The messages are in the other lines.
        return problem


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close the input, send SIGTERM, then kill the process and its children. Takes less than a second in all."""
    if process.stdin is not None:
        process.stdin.close()
    for seconds, number in zip(EXIT_SECONDS, (signal.SIGTERM, None), strict=True):
        if await _has_ended(process, seconds):
            break
        _signal(process, number)
    # Also when the process has ended: its children may still run in the group.
    _signal(process, None)
    await _has_ended(process, EXIT_SECONDS[-1])


async def _has_ended(process: asyncio.subprocess.Process, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _signal(process: asyncio.subprocess.Process, number: int | None) -> None:
    """Send a signal to the process group; None kills."""
    with contextlib.suppress(ProcessLookupError, PermissionError, OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL if number is None else number)
