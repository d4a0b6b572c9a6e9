"""A scripted model on loopback, in the interface that an agent speaks. It needs no account."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.proof._dialects import Asked, Dialect, Members, ToolUse

REMEMBERED, WRITTEN = "You said first: ", "It answered: "


@dataclass
class ScriptedModel:
    """What the person says decides what it does; `asked` is what it was asked so far.

    `write NAME` writes a file with the agent's tool, `run COMMAND` runs one with it. `slow` never ends. To `first` it
    answers with what was said first in the conversation.
    """

    dialect: Dialect
    write: Callable[[str], ToolUse]
    run: Callable[[str], ToolUse]
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def hangs(self) -> bool:
        """Whether the newest request is one that it does not answer to the end."""
        return bool(self.asked) and self._is_slow(self.asked[-1])

    def reply(self, asked: Asked) -> str | ToolUse:
        last = asked.said[-1] if asked.said else ""
        if asked.result is not None:
            return f"{WRITTEN}{asked.result[:200]}"
        if not asked.has_tools:
            return "A title"
        for word, tool in (("write ", self.write), ("run ", self.run)):
            if word in last:
                return tool(last.partition(word)[2].strip())
        if "first" in last:
            return f"{REMEMBERED}{asked.said[0]}"
        return f"I heard {len(asked.said)} messages."

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path = head.split()[:2]
                lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(lines.get("content-length", "0")))
                if method != "POST" or not self.dialect.serves(path.partition("?")[0]):
                    _send_plain(writer, "404 Not Found", {})
                elif (plain := self.dialect.plain(path)) is not None:
                    _send_plain(writer, "200 OK", plain)
                else:
                    await self._answer(self.dialect.asked(json.loads(body)), writer)
                await writer.drain()
        writer.close()

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.asked.append(asked)
        began, ended = self.dialect.answer(self.reply(asked), len(self.asked))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        _send_events(writer, began)
        if self._is_slow(asked):
            await self.over.wait()
            raise ConnectionResetError
        _send_events(writer, ended)
        writer.write(b"0\r\n\r\n")

    def _is_slow(self, asked: Asked) -> bool:
        return asked.result is None and bool(asked.said) and "slow" in asked.said[-1]


@asynccontextmanager
async def served(model: ScriptedModel) -> AsyncIterator[ScriptedModel]:
    """Serve until the block ends."""
    server = await asyncio.start_server(model.handle, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    model.port = server.sockets[0].getsockname()[1]
    try:
        yield model
    finally:
        model.over.set()
        server.close()


def _send_plain(writer: asyncio.StreamWriter, status: str, answer: Members) -> None:
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


def _send_events(writer: asyncio.StreamWriter, events: list[str]) -> None:
    for each in events:
        event = f"data: {each}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
