"""A scripted model on loopback: as much of OpenAI's chat completions as agents use, streamed. It needs no account.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

MODEL = "script-1"
REMEMBERED, WRITTEN = "You said first: ", "I wrote the file."


@dataclass
class ScriptedModel:
    """`requests` are the bodies of the requests. A prompt with `write NAME` calls the agent's tool that writes files.

    A prompt with `first` is answered with the first thing that the person said in the conversation; `slow` never ends.
    """

    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def replies(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The deltas of the answer."""
        messages = body.get("messages", [])
        said = [_text(each) for each in messages if each.get("role") == "user"]
        last = said[-1] if said else ""
        tools = {each["function"]["name"]: each["function"] for each in body.get("tools", [])}
        if messages and messages[-1].get("role") == "tool":
            return [{"content": f"{WRITTEN} {_text(messages[-1])[:200]}"}]
        if not tools:
            return [{"content": "A title"}]
        if "write " in last and "write" in tools:
            name = last.partition("write ")[2].split()[0]
            arguments = json.dumps({"filePath": name, "content": "Made by a scripted model.\n"})
            call = {"index": 0, "id": "call_1", "type": "function"}
            return [{"tool_calls": [{**call, "function": {"name": "write", "arguments": arguments}}]}]
        if "first" in last:
            return [{"content": f"{REMEMBERED}{said[0].strip()}"}]
        return [{"content": f"I heard {len(said)} messages."}]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(lines.get("content-length", "0")))
                if not head.startswith("POST") or "/chat/completions" not in head.split()[1]:
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    await writer.drain()
                    continue
                asked = json.loads(body)
                self.requests.append(asked)
                await self._answer(asked, writer)
        writer.close()

    async def _answer(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        deltas = self.replies(asked)
        tools = any("tool_calls" in each for each in deltas)
        head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        slow = "slow" in _text((asked.get("messages") or [{}])[-1])
        chunks: list[dict[str, Any]] = [
            {"delta": {"role": "assistant", **each}, "finish_reason": None} for each in deltas
        ]
        chunks.append({"delta": {}, "finish_reason": "tool_calls" if tools else "stop"})
        for number, chunk in enumerate(chunks):
            if slow and number:
                await self.over.wait()
                return
            _send(writer, json.dumps({**head, "choices": [{"index": 0, **chunk}]}))
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        _send(writer, json.dumps({**head, "choices": [], "usage": usage}))
        _send(writer, "[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def scripted_model() -> AsyncIterator[ScriptedModel]:
    """Serve until the block ends."""
    model = ScriptedModel()
    server = await asyncio.start_server(model.handle, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    model.port = server.sockets[0].getsockname()[1]
    try:
        yield model
    finally:
        model.over.set()
        server.close()


def _send(writer: asyncio.StreamWriter, data: str) -> None:
    event = f"data: {data}\n\n".encode()
    writer.write(b"%x\r\n%s\r\n" % (len(event), event))


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
