"""A bare HTTP/1.1 server in its own process that answers every GET with the same page of tasks.

`python benchmarks/_json_server.py` prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys

BODY_BYTES = 240_000


def page() -> bytes:
    """A page of tasks as PostHog answers it, `BODY_BYTES` long within a row."""
    rows: list[dict[str, object]] = []
    size = 0
    while size < BODY_BYTES:
        number = len(rows)
        row: dict[str, object] = {
            "id": f"0192f0c1-7b7e-7000-8000-{number:012x}",
            "task_number": number,
            "slug": f"BUR-{number}",
            "title": f"Look at what happened to event {number} last week",
            "description": "The number of events went down after the release. " * 6,
            "origin_product": "user_created",
            "repository": "example/shop",
            "created_at": "2026-11-23T09:15:00.000000Z",
            "updated_at": "2026-11-23T10:15:00.000000Z",
            "created_by": {"id": number % 7, "email": "ada@example.com", "first_name": "Ada"},
            "latest_run": {"id": f"run-{number}", "status": "completed", "environment": "cloud"},
            "labels": ["growth", "checkout"],
            "archived": False,
        }
        rows.append(row)
        size += len(json.dumps(row))
    return json.dumps({"count": len(rows), "next": None, "previous": None, "results": rows}).encode()


class Answer(asyncio.Protocol):
    """Answers as many requests of a connection as come."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.waiting = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        *requests, self.waiting = (self.waiting + data).split(b"\r\n\r\n")
        for _ in requests:
            self.transport.write(self.answer)


async def serve() -> None:
    """Listen on a free port of the loopback interface until standard input ends."""
    body = page()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = head.encode() + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answer(answer), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
