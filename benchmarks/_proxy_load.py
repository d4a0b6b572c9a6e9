"""The load of a client in its own process: raw connections that stay open, each with one request at a time.

`python benchmarks/_proxy_load.py` reads jobs from standard input, one a line as JSON, and answers each with a line of
JSON. A job names `url`, `headers` and `what`:

- `calls`: `requests` calls of the tool `echo` over `connections`: their times in microseconds and the calls a second.
- `piped`: the same over the pipes of a process that `command` starts, with `connections` calls in flight.
- `first`: the microseconds from when the server wrote the first event of a stream to when it was read here, of `count`
  streams, one after the other.
- `gaps`: the same of each event of one stream of `count` events that are `gap` seconds apart.
- `flood`: a stream of `bytes` bytes: its seconds.

Times are those of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
from statistics import median, quantiles
from time import monotonic_ns, perf_counter
from typing import Any
from urllib.parse import urlsplit

READ = 256 * 1024
OPENING = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}


class Raw:
    """One connection. It reads answers with a length and answers in chunks."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self.place = (parts.hostname, parts.port)
        self.connect()
        lines = {
            "Host": parts.netloc,
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": "2025-06-18",
            "User-Agent": "benchmark",
            **headers,
        }
        self.start = f"POST {parts.path or '/'} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        self.buffer = b""

    def connect(self) -> None:
        self.socket = socket.create_connection(self.place)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def session(self, identity: str) -> None:
        self.start += f"Mcp-Session-Id: {identity}\r\n"

    def request(self, message: dict[str, Any]) -> bytes:
        body = json.dumps(message).encode()
        return f"{self.start}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def more(self) -> None:
        data = self.socket.recv(READ)
        if not data:
            raise ConnectionError(f"closed after {self.buffer[:200]!r}")
        self.buffer += data

    def head(self) -> bytes:
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self.more()
        head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
        if head[9:10] != b"2":
            raise ConnectionError(f"refused: {head!r} {self.buffer!r}")
        return head.lower()

    def complete(self) -> bool:
        """Take a whole answer out of the buffer, if there is one."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if self.buffer[9:10] != b"2":
            raise ConnectionError(f"refused: {self.buffer!r}")
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        if at >= 0:
            end += 4 + int(head[at + 15 :].partition(b"\r\n")[0])
            if len(self.buffer) < end:
                return False
            self.buffer = self.buffer[end:]
            return True
        if b"\r\ntransfer-encoding: chunked" not in head:
            self.buffer = self.buffer[end + 4 :]
            return True
        if not self.buffer.endswith(b"\r\n0\r\n\r\n"):
            return False
        self.buffer = b""
        return True

    def ask(self, message: dict[str, Any]) -> bytes:
        self.socket.sendall(self.request(message))
        head = self.head()
        whole = head + b"\r\n\r\n" + self.buffer
        self.buffer = whole
        while not self.complete():
            self.more()
        return head

    def open(self) -> None:
        head = self.ask({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": OPENING})
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name == b"mcp-session-id":
                self.session(value.strip().decode())
        self.ask({"jsonrpc": "2.0", "method": "notifications/initialized"})


def call(number: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def calls(job: dict[str, Any]) -> dict[str, Any]:
    connections = [Raw(job["url"], job["headers"]) for _ in range(job["connections"])]
    for each in connections:
        each.open()
        each.socket.close()
    for each in connections:
        # Opening many sessions may take longer than a server keeps a connection that is idle.
        each.connect()
    selector = selectors.DefaultSelector()
    left = job["requests"]
    times: list[float] = []
    sent: dict[int, float] = {}
    requests = {each.socket.fileno(): each.request(call(1, "echo", {"text": "hello"})) for each in connections}
    for each in connections[:left]:
        selector.register(each.socket, selectors.EVENT_READ, each)
    began = perf_counter()
    for each in connections[:left]:
        left -= 1
        sent[each.socket.fileno()] = perf_counter()
        each.socket.sendall(requests[each.socket.fileno()])
    waiting = len(sent)
    single = connections[0] if len(connections) == 1 else None
    while waiting:
        ready = [single] if single is not None else [key.data for key, _ in selector.select()]
        for each in ready:
            each.more()
            if not each.complete():
                continue
            now = perf_counter()
            number = each.socket.fileno()
            times.append((now - sent[number]) * 1e6)
            if left:
                left -= 1
                sent[number] = perf_counter()
                each.socket.sendall(requests[number])
            else:
                waiting -= 1
    seconds = perf_counter() - began
    selector.close()
    for each in connections:
        each.socket.close()
    return outcome(times, seconds)


def outcome(times: list[float], seconds: float) -> dict[str, Any]:
    return {"p50": median(times), "p99": quantiles(times, n=100)[98], "rate": len(times) / seconds}


def piped(job: dict[str, Any]) -> dict[str, Any]:
    with subprocess.Popen(
        job["command"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, lines = process.stdin, process.stdout

        def send(message: dict[str, Any]) -> None:
            to.write(json.dumps(message).encode() + b"\n")
            to.flush()

        send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": OPENING})
        lines.readline()
        send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        sent: dict[int, float] = {}
        times: list[float] = []
        asked = 0
        began = perf_counter()
        while len(times) < job["requests"]:
            while len(sent) < job["connections"] and asked < job["requests"]:
                asked += 1
                sent[asked] = perf_counter()
                send(call(asked, "echo", {"text": "hello"}))
            answer = json.loads(lines.readline())
            if answer.get("id") in sent:
                if "error" in answer:
                    raise ConnectionError(f"refused: {answer}")
                times.append((perf_counter() - sent.pop(answer["id"])) * 1e6)
        seconds = perf_counter() - began
        to.close()
        process.terminate()
    return outcome(times, seconds)


def events(raw: Raw, count: int, gap: float) -> list[float]:
    """How late each event of a stream was, in microseconds."""
    raw.socket.sendall(raw.request(call(1, "stream", {"count": count, "gap": gap})))
    raw.head()
    late = []
    mark = b'"data": '
    while True:
        while (at := raw.buffer.find(mark)) >= 0 and (end := raw.buffer.find(b"}", at)) >= 0:
            late.append((monotonic_ns() - int(raw.buffer[at + len(mark) : end])) / 1e3)
            raw.buffer = raw.buffer[end:]
        if raw.buffer.endswith(b"\r\n0\r\n\r\n"):
            raw.buffer = b""
            return late
        raw.more()


def first(job: dict[str, Any]) -> dict[str, Any]:
    raw = Raw(job["url"], job["headers"])
    raw.open()
    late = [events(raw, 1, 0.0)[0] for _ in range(job["count"])]
    raw.socket.close()
    return {"p50": median(late), "p99": quantiles(late, n=100)[98]}


def gaps(job: dict[str, Any]) -> dict[str, Any]:
    raw = Raw(job["url"], job["headers"])
    raw.open()
    late = events(raw, job["count"], job["gap"])
    raw.socket.close()
    return {"p50": median(late), "p99": quantiles(late, n=100)[98]}


def flood(job: dict[str, Any]) -> dict[str, Any]:
    raw = Raw(job["url"], job["headers"])
    raw.open()
    began = perf_counter()
    raw.socket.sendall(raw.request(call(1, "flood", {"bytes": job["bytes"]})))
    raw.head()
    total, last = 0, raw.buffer
    buffer = bytearray(READ)
    while not last.endswith(b"\r\n0\r\n\r\n"):
        size = raw.socket.recv_into(buffer)
        if not size:
            raise ConnectionError("closed in the middle of the stream")
        total += size
        last = (last + buffer[max(size - 16, 0) : size])[-16:]
    raw.socket.close()
    if total < job["bytes"]:
        raise ConnectionError(f"{total} bytes are not {job['bytes']}")
    return {"seconds": perf_counter() - began, "bytes": total}


def main() -> None:
    kinds = {"calls": calls, "first": first, "gaps": gaps, "flood": flood, "piped": piped}
    for line in sys.stdin:
        job = json.loads(line)
        try:
            found = kinds[job["what"]](job)
        except (OSError, ValueError, KeyError) as failure:
            found = {"error": f"{type(failure).__name__}: {failure}"}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
