"""A bare HTTP/1.1 server in its own process: a small JSON answer to every GET that carries the token.

`python benchmarks/_scripted_server.py TOKEN` prints its port and serves until its standard input ends. `/now` answers
at once, `/later` 20 ms after the request came in, so that only the client's own work is told apart.
"""

from __future__ import annotations

import asyncio
import json
import sys

LATENCY_SECONDS = 0.020
TASK = {
    "id": "0192f0c1-7b7e-7000-8000-00000000002a",
    "task_number": 42,
    "slug": "BUR-42",
    "title": "Look at what happened to the events last week",
    "description": "The number of events went down after the release. " * 6,
    "origin_product": "user_created",
    "repository": "example/shop",
    "created_at": "2026-11-23T09:15:00.000000Z",
    "updated_at": "2026-11-23T10:15:00.000000Z",
    "created_by": {"id": 4, "email": "ada@example.com", "first_name": "Ada"},
    "latest_run": {"id": "run-42", "status": "completed", "environment": "cloud"},
    "archived": False,
}


def message(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """Answers one request after the other."""

    def __init__(self, token: str) -> None:
        self.token = f"bearer {token}".encode()
        self.waiting = b""
        self.good = message("200 OK", json.dumps(TASK).encode())
        self.refusal = message("401 Unauthorized", b'{"code": "authentication_failed"}')
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self.waiting = (self.waiting + data).split(b"\r\n\r\n")
        for request in requests:
            answer = self.good if self.token in request.lower() else self.refusal
            if request.startswith(b"GET /later"):
                asyncio.get_running_loop().call_later(LATENCY_SECONDS, self.write, answer)
            else:
                self.write(answer)

    def write(self, answer: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(answer)


async def serve(token: str) -> None:
    """Listen on a free port of the loopback interface until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(token), "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
