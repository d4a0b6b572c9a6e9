"""StdioChannel: a server that is a process, with messages as lines on its pipes (MCP, "stdio")."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from app.core.mcp.protocol.process import start_process
from app.core.mcp.proxy.bridge.channel import MESSAGE_LIMIT, ChannelClosed, Unhandled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from app.core.mcp.protocol.process import ServerProcess
    from app.core.mcp.proxy.parts import StdioUpstream

READ_BYTES = 256 * 1024


class ProcessCount:
    """How many processes of servers run, and how many may. `make_room` ends one that is not used, if there is one."""

    def __init__(self, most: int, make_room: Callable[[], Awaitable[bool]]) -> None:
        self.most = most
        self.running = 0
        self._make_room = make_room
        # What ends processes goes on when whoever began it is cancelled.
        self._endings: set[asyncio.Task[None]] = set()

    def end(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin to end a process."""
        task = asyncio.create_task(work)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task

    async def ended(self) -> None:
        """Wait for all that are being ended."""
        await asyncio.gather(*self._endings, return_exceptions=True)

    async def take(self) -> bool:
        """Count one more; False when there are as many as may be, and all are used."""
        if self.running >= self.most and not await self._make_room():
            return False
        # Another one may have taken the room.
        if self.running >= self.most:
            return False
        self.running += 1
        return True

    def give_back(self) -> None:
        """One has ended."""
        self.running -= 1


class StdioChannel:
    """One process. Its environment has what the user set for it, and nothing of Burrow's."""

    def __init__(self, upstream: StdioUpstream, count: ProcessCount) -> None:
        self._upstream = upstream
        self._count = count
        self._counted = False
        self._server: ServerProcess | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._reason: str | None = None
        self._closed: Callable[[str], None] | None = None

    @property
    def reason(self) -> str | None:
        """Why it is closed; None while it is open."""
        return self._reason

    @property
    def process_id(self) -> int | None:
        """The id of the process, None before it was started."""
        return None if self._server is None else self._server.child.pid

    async def open(self, received: Callable[[bytes], Awaitable[None]], closed: Callable[[str], None]) -> None:
        """Start the process; see `Channel.open`. Raises `ServerTrouble` when it cannot be started."""
        if not await self._count.take():
            raise ChannelClosed(
                f"{self._count.most} processes of servers run already, and all are used. End a session of a client, or "
                "let the clients share one process of a server.",
                sent=False,
            )
        self._counted = True
        self._closed = closed
        try:
            server = await start_process(
                self._upstream.command, self._upstream.folder, dict(self._upstream.environment)
            )
        except BaseException:
            self._give_back()
            raise
        self._server = server
        self._tasks = [asyncio.create_task(server.read_stderr()), asyncio.create_task(self._read(server, received))]

    async def send(self, message: bytes) -> None:
        """Write a line. Raises `ChannelClosed`."""
        server = self._server
        if server is None:
            raise ChannelClosed(await self._why(), sent=False)
        stdin = server.child.stdin
        assert stdin is not None
        async with self._writing:
            # Before it is written: what waits for a process that does not read is not kept, however often it is tried.
            with contextlib.suppress(OSError, RuntimeError):
                await stdin.drain()
            if self._reason is not None or server.child.exit_code is not None or stdin.is_closing():
                raise ChannelClosed(await self._why(), sent=False)
            buffer_empty = stdin.transport.get_write_buffer_size() == 0
            stdin.write(message + b"\n")
            # With an empty buffer, asyncio writes at once, and closes the pipe if that fails. So if it is closed now,
            # no byte left. In every other case the process may have read the whole line.
            if buffer_empty and stdin.is_closing():
                raise ChannelClosed(await self._why(), sent=False)

    async def close(self) -> None:
        """End the process with its children. Whoever calls it meanwhile waits for the same end."""
        self._reason = self._reason or f"The process of {self._name} was ended."
        server, self._server = self._server, None
        if server is not None:
            # A client that goes away meanwhile must not leave the process behind: the bridges wait for it at their end.
            self._ending = self._count.end(self._end(server))
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def _end(self, server: ServerProcess) -> None:
        try:
            await server.end()
        finally:
            self._give_back()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _give_back(self) -> None:
        if self._counted:
            self._counted = False
            self._count.give_back()

    @property
    def _name(self) -> str:
        return self._upstream.title or self._upstream.id

    async def _why(self) -> str:
        """Why nothing can be sent, in words."""
        if self._reason is None and self._server is not None:
            self._reason = await self._server.how_it_ended()
        return self._reason or f"The process of {self._name} was ended."

    async def _read(self, server: ServerProcess, received: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand on the messages of standard output, one for each line, until it ends."""
        try:
            if await self._read_lines(server, received):
                reason = await server.how_it_ended()
            else:
                # Whichever request the line answers cannot be told.
                reason = f"{self._name} sent a message of more than {MESSAGE_LIMIT >> 20} MiB."
        except Unhandled:
            reason = "Burrow could not handle a message of it. Its log says why."
        self._has_closed(reason)

    async def _read_lines(self, server: ServerProcess, received: Callable[[bytes], Awaitable[None]]) -> bool:
        """Returns False at a line that is too long. Raises `Unhandled`."""
        assert server.child.stdout is not None
        waiting = bytearray()
        while chunk := await server.child.stdout.read(READ_BYTES):
            searched = len(waiting)
            waiting += chunk
            while (end := waiting.find(b"\n", searched)) >= 0:
                line = bytes(waiting[:end])
                del waiting[: end + 1]
                searched = 0
                await received(line)
            if len(waiting) > MESSAGE_LIMIT:
                return False
        return True

    def _has_closed(self, reason: str) -> None:
        self._reason = self._reason or reason
        if self._closed is not None:
            self._closed(self._reason)
