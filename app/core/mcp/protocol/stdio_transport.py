"""StdioTransport: a server that is a process on this machine, with messages as lines on its pipes (MCP, "stdio").

The SDK's transport is not used. It reads lines without a limit, drops what the process wrote to standard error before
it died, and needs four seconds to end a process that hangs.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from app.core.mcp.protocol.process import start_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from app.core.mcp.protocol.exchange import Exchange
    from app.core.mcp.protocol.process import ServerProcess
    from app.core.mcp.protocol.transport import OpenExchanges

LINE_LIMIT = 32 * 1024 * 1024
READ_BYTES = 256 * 1024


class StdioTransport:
    """Starts `command` for each session, and ends it with all its children when the session is left.

    The process gets a few variables of this process's environment (`process.INHERITED`) and `environment`.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = tuple(command)
        self.folder = folder
        self.environment = dict(environment or {})

    @property
    def address(self) -> str:
        """The name of the command."""
        return os.path.basename(self.command[0]) if self.command else ""

    @asynccontextmanager
    async def connect(self, exchanges: OpenExchanges) -> AsyncIterator[tuple[Any, Any]]:
        """See `Transport.connect`. Raises `ServerTrouble` when the command cannot be started."""
        import anyio
        from mcp.shared.message import SessionMessage

        process = await start_process(self.command, self.folder, self.environment)
        read_send, read_receive = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write_send, write_receive = anyio.create_memory_object_stream[SessionMessage](0)
        pipes = _Pipes(process, exchanges)
        try:
            async with anyio.create_task_group() as tasks, read_send, read_receive, write_send, write_receive:
                tasks.start_soon(process.read_stderr)
                tasks.start_soon(pipes.read, read_send)
                tasks.start_soon(pipes.write, write_receive)
                yield read_receive, write_send
                tasks.cancel_scope.cancel()
        finally:
            # However the session ends, the process must not survive it.
            await process.end()


class _Pipes:
    """The three pipes of one process."""

    def __init__(self, server: ServerProcess, exchanges: OpenExchanges) -> None:
        self._server = server
        self._child = server.child
        self._exchanges = exchanges
        self._close_reason = ""

    async def read(self, send: Any) -> None:
        """Send the messages of standard output, one for each line, to `send`; close it when there are no more."""
        from app.core.mcp.protocol.message_tap import exchange_of
        from app.core.mcp.protocol.result_tap import without_result

        assert self._child.stdout is not None
        async with send:
            waiting = bytearray()
            while chunk := await self._child.stdout.read(READ_BYTES):
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
        stdin = self._child.stdin
        assert stdin is not None
        if self._child.exit_code is None and not stdin.is_closing():
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

    async def _record_end(self) -> None:
        """Record in all waiting requests how the process ended."""
        self._close_reason = await self._server.how_it_ended()
        for exchange in self._exchanges.by_id.values():
            exchange.close_reason = self._close_reason


def _parsed(line: bytes) -> Any:
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as problem:
        # Some servers print other text to standard output by mistake. The messages are in the other lines.
        return problem
