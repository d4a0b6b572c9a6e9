"""A scripted MCP server on the loopback interface, for what well-behaved vendors never do."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Seen:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Upstream:
    """The server's script: `answer` may take over any request; otherwise it lists `tools`."""

    url: str = ""
    tools: list[str] = field(default_factory=lambda: ["first", "second"])
    seen: list[Seen] = field(default_factory=list)
    answer: Callable[[Seen, BaseHTTPRequestHandler], bool] | None = None
    release: threading.Event = field(default_factory=threading.Event)

    def reply(self, handler: BaseHTTPRequestHandler, status: int, body: object, **headers: str) -> bool:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)
        return True

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw.decode("utf-8", "replace")
        seen = Seen(handler.command, handler.path, headers, body)
        self.seen.append(seen)
        if self.answer is not None and self.answer(seen, handler):
            return
        if handler.command != "POST" or not isinstance(body, dict):
            self.reply(handler, 404, {"error": "nothing here"})
        elif "id" not in body:
            self.reply(handler, 202, b"")
        else:
            self.reply(handler, 200, {"jsonrpc": "2.0", "id": body["id"], "result": self._result(body["method"])})

    def _result(self, method: str) -> dict[str, Any]:
        if method == "initialize":
            return {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "scripted", "version": "1"},
            }
        if method == "server/discover":
            return {"resultType": "complete"}
        if method == "tools/list":
            schema = {"type": "object", "properties": {}}
            return {"tools": [{"name": name, "description": "", "inputSchema": schema} for name in self.tools]}
        return {"content": [{"type": "text", "text": "done"}]}


@contextmanager
def scripted_upstream() -> Iterator[Upstream]:
    """Run a scripted server; its address is `Upstream.url`."""
    script = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            pass

        def _serve(self) -> None:
            script.handle(self)

        do_GET = do_POST = do_DELETE = _serve

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        script.url = f"http://127.0.0.1:{server.server_address[1]}/mcp"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield script
        finally:
            script.release.set()
            server.shutdown()
            thread.join(5)
