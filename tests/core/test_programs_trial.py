"""Trying a connected program: its entry, a real session through it, and what the program itself says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.core.mcp.programs import trial
from app.core.mcp.programs.edits import add
from app.core.mcp.programs.entries import Access
from app.core.mcp.programs.listing import NotListed, environment, listed_servers
from app.core.mcp.programs.places import ConfigFile, Found
from app.core.mcp.programs.program import OfferedServer, Program
from app.core.mcp.programs.table import CLAUDE_CODE, CLAUDE_DESKTOP, CURSOR, GENERIC
from app.core.mcp.programs.trial import TrialOutcome, TrialStep, try_client

KEY = "bw_" + "k" * 43
POSTHOG = OfferedServer("posthog", "PostHog")


class Peer(ThreadingHTTPServer):
    """A server of MCP whose behaviour is the server's id: `json`, `stream`, `stateless` and those that fail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, str]] = []
        self.asked = threading.Event()
        self.ended = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


TOOLS = [{"name": f"tool-{number}", "inputSchema": {"type": "object"}} for number in range(3)]


class Handler(BaseHTTPRequestHandler):
    server: Peer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, kind = message["method"], self.path.rpartition("/")[2]
        self.server.seen.append((method, self.headers.get("Mcp-Session-Id", ""), self.headers["MCP-Protocol-Version"]))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self._send(401, b'{"error": "no"}')
        elif "id" not in message:
            self._send(202, b"")
        elif kind == "hangs":
            self.server.asked.set()
            self.server.ended.wait(20)
            self.close_connection = True
        elif kind == "drips":
            self._drip()
        else:
            self._answer(kind, method, message)

    def _answer(self, kind: str, method: str, message: dict[str, Any]) -> None:
        if kind == "gone":
            return self._send(404, b"nothing here")
        if kind == "nonsense":
            return self._send(200, b"<html>hello</html>")
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if kind == "refuses":
            reply["error"] = {"code": -32010, "message": "Sign in to PostHog in Burrow."}
        elif method == "initialize" and kind == "stateless":
            reply["error"] = {"code": -32022, "message": "unsupported"}
        elif method == "initialize":
            reply["result"] = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "peer"}}
        elif kind == "stateless" and "_meta" not in message["params"]:
            reply["error"] = {"code": -32602, "message": "no _meta"}
        else:
            first = "cursor" not in message["params"]
            reply["result"] = {"tools": TOOLS, "nextCursor": "more"} if first else {"tools": TOOLS[:1]}
        if kind == "stream":
            other = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
            text = f": hello\n\nid: 7\ndata: \n\ndata: {other}\n\nevent: message\ndata: {json.dumps(reply)}\n\n"
            return self._send(200, text.encode(), "text/event-stream")
        return self._send(200, json.dumps(reply).encode())

    def _drip(self) -> None:
        """Begin an answer that never ends and never pauses for long."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.ended.wait(0.01):
                self.wfile.write(b":")
        self.close_connection = True

    def do_DELETE(self) -> None:
        self.server.seen.append(("DELETE", self.headers["Mcp-Session-Id"], ""))
        self._send(200, b"")

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Mcp-Session-Id", "s-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


def nowhere(program: Program) -> Found:
    """A program that is not installed."""
    return Found(program, False, ())


async def last(
    program: Program, server: OfferedServer, address: str, key: str = KEY, **more: Any
) -> dict[str, TrialStep]:
    """The last step of each title."""
    more.setdefault("installation", nowhere(program))
    return {step.title: step async for step in try_client(program, [server], address, key, **more)}


@pytest.mark.parametrize("kind", ["json", "stream", "stateless"])
async def test_a_server_that_answers_is_opened_listed_and_closed(peer: Peer, kind: str) -> None:
    steps = await last(GENERIC, OfferedServer(kind, "PostHog"), peer.address)
    name = "" if kind == "stateless" else " as peer"
    assert steps == {"PostHog": TrialStep("PostHog", TrialOutcome.OK, f"It answers{name}, with 4 tools.")}
    methods = [method for method, _session, _version in peer.seen]
    opening = ["initialize"] if kind == "stateless" else ["initialize", "notifications/initialized"]
    assert methods == [*opening, "tools/list", "tools/list", "DELETE"]
    assert {session for _method, session, _version in peer.seen[1:]} == {"s-1"}
    assert peer.seen[-2][2] == ("2026-07-28" if kind == "stateless" else "2025-06-18")


@pytest.mark.parametrize(
    ("kind", "key", "words"),
    [
        ("refuses", KEY, "Sign in to PostHog in Burrow."),
        ("json", "bw_other", "The proxy does not accept this key."),
        ("gone", KEY, "The proxy has no such server for this client."),
        ("nonsense", KEY, "The answer is not JSON-RPC."),
    ],
)
async def test_what_fails_is_said_in_words(peer: Peer, kind: str, key: str, words: str) -> None:
    steps = await last(GENERIC, OfferedServer(kind, "PostHog"), peer.address, key)
    assert steps["PostHog"] == TrialStep("PostHog", TrialOutcome.FAILED, words)


@pytest.mark.parametrize("kind", ["hangs", "drips"])
async def test_a_server_that_hangs_or_never_ends_is_given_up(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(trial, "SERVER_SECONDS", 0.2)
    steps = await last(GENERIC, OfferedServer(kind, "PostHog"), peer.address)
    assert steps["PostHog"].words == "There was no answer in time."


async def test_a_trial_that_nobody_waits_for_ends_at_once(peer: Peer) -> None:
    trying = asyncio.create_task(last(GENERIC, OfferedServer("hangs", "PostHog"), peer.address))
    await asyncio.to_thread(peer.asked.wait, 20)
    trying.cancel()
    # Far within the deadline of 15 seconds and the 20 that the server waits.
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await trying


async def test_an_address_where_nothing_or_something_else_answers() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def greet() -> None:
            connection, _peer = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example.com ready\r\n\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        steps = await last(GENERIC, POSTHOG, address)
        thread.join()
        assert steps["PostHog"].words == f"What answers at {address} is not Burrow's proxy."
    steps = await last(GENERIC, POSTHOG, address)
    assert steps["PostHog"].words == f"Nothing answers at {address}. The proxy does not run."


SHIM = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = {"protocolVersion": "2025-06-18", "serverInfo": {"name": "shim"}, "tools": [{"name": "t"}]}
    print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message"}))
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


async def test_an_entry_with_a_command_is_tried_with_that_command(tmp_path: Path) -> None:
    path = tmp_path / "claude_desktop_config.json"
    script = tmp_path / "shim.py"
    script.write_text(SHIM)
    command = [str(script), "connect", "stdio", "client-1", "--server", "posthog"]
    path.write_text(json.dumps({"mcpServers": {"ph": {"command": sys.executable, "args": command}}}))
    there = Found(CLAUDE_DESKTOP, True, (ConfigFile(path, True),))
    steps = await last(CLAUDE_DESKTOP, POSTHOG, "http://127.0.0.1:1", "", installation=there)
    assert steps[f"Entry in {path.name}"] == TrialStep(f"Entry in {path.name}", TrialOutcome.OK, "ph")
    assert steps["PostHog"] == TrialStep("PostHog", TrialOutcome.OK, "It answers as shim, with 1 tool.")
    script.write_text("raise SystemExit(3)")
    steps = await last(CLAUDE_DESKTOP, POSTHOG, "http://127.0.0.1:1", "", installation=there)
    assert steps["PostHog"].words == "The command ended without an answer."
    path.write_text(path.read_text().replace(sys.executable, "/nowhere/python"))
    steps = await last(CLAUDE_DESKTOP, POSTHOG, "http://127.0.0.1:1", "", installation=there)
    assert steps["PostHog"].words == "“/nowhere/python” cannot be started: No such file or directory."


async def test_the_key_of_the_entry_is_what_is_tried(peer: Peer, tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    server = OfferedServer("json", "PostHog")
    there = Found(CURSOR, True, (ConfigFile(path, True),))
    title = "Entry in mcp.json"
    steps = await last(CURSOR, server, peer.address, "", installation=there)
    assert steps[title].words == "There is none for PostHog yet."
    assert steps["PostHog"].outcome is TrialOutcome.SKIPPED
    add(CURSOR, path, [server], Access(peer.address, KEY)).write()
    steps = await last(CURSOR, server, peer.address, "", installation=there)
    assert (steps[title].outcome, steps["PostHog"].outcome) == (TrialOutcome.OK, TrialOutcome.OK)
    assert steps["cursor-agent mcp list"].outcome is TrialOutcome.SKIPPED
    # Not a key that the program does not have.
    assert (await last(CURSOR, server, peer.address, "bw_other", installation=there))["PostHog"] == steps["PostHog"]
    steps = await last(CURSOR, server, "http://127.0.0.1:41717", "", installation=there)
    assert steps[title].words == "posthog: it has another address than http://127.0.0.1:41717. Add it again."
    path.write_text("{")
    steps = await last(CURSOR, server, peer.address, "", installation=there)
    assert steps[title].outcome is TrialOutcome.FAILED


def command(folder: Path, code: str) -> Path:
    """A program that runs Python code."""
    path = folder / "claude"
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(os.name != "posix", reason="starts a script")
@pytest.mark.parametrize(
    ("printed", "outcome"),
    [
        ("posthog: http://127.0.0.1:1/mcp/json (HTTP) - \\x1b[32m✔ Connected\\x1b[0m", TrialOutcome.OK),
        ("posthog: http://127.0.0.1:1/mcp/json (HTTP) - ✘ Failed to connect", TrialOutcome.FAILED),
        ("posthog: http://127.0.0.1:1/mcp/json (HTTP) - ! Needs authentication", TrialOutcome.FAILED),
        ("posthog-eu: https://x (HTTP) - ✔ Connected", TrialOutcome.FAILED),
        ("No MCP servers configured.", TrialOutcome.FAILED),
    ],
)
async def test_the_program_is_asked_what_it_thinks_of_our_entry(
    peer: Peer, tmp_path: Path, printed: str, outcome: TrialOutcome
) -> None:
    path = tmp_path / ".claude.json"
    server = OfferedServer("json", "PostHog")
    add(CLAUDE_CODE, path, [server], Access(peer.address, KEY)).write()
    program = command(tmp_path, f"assert sys.argv[1:] == ['mcp', 'list']; print('Checking…'); print('{printed}')")
    there = Found(CLAUDE_CODE, True, (ConfigFile(path, True),), program)
    steps = await last(CLAUDE_CODE, server, peer.address, "", installation=there)
    step = steps["claude mcp list"]
    assert step.outcome is outcome
    assert "\x1b" not in step.words
    assert "posthog" in step.words


@pytest.mark.skipif(os.name != "posix", reason="starts a script")
async def test_a_command_that_hangs_fails_or_talks_without_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(NotListed, match="gave no answer"):
        await listed_servers(
            command(tmp_path, "os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '60')\ntime.sleep(60)"), [], 0.5
        )
    with pytest.raises(NotListed, match=r"ended with code 3. no such thing"):
        await listed_servers(command(tmp_path, "print('no such thing', file=sys.stderr)\nsys.exit(3)"), [], 20)
    with pytest.raises(NotListed, match="cannot be started"):
        await listed_servers(tmp_path / "nothing", [], 20)
    lines = await listed_servers(command(tmp_path, "print('a ' * 400_000 + 'b')\nprint('end')"), [], 20)
    assert [len(line) for line in lines] == [300]


@pytest.mark.skipif(os.name != "posix", reason="starts a script")
async def test_secrets_that_a_program_prints_are_not_shown(tmp_path: Path) -> None:
    lines = await listed_servers(command(tmp_path, f"print('Authorization: Bearer {KEY}')"), [], 20)
    assert KEY not in lines[0]


def test_a_program_gets_the_users_libraries_and_finds_its_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    # A frozen Burrow took its own libraries out when it started.
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    variables = environment({"LD_LIBRARY_PATH": "/theirs", "PATH": "/bin"}, Path("/opt/node/bin/claude"))
    assert variables["LD_LIBRARY_PATH"] == "/theirs"
    assert variables["PATH"] == os.pathsep.join(["/bin", "/opt/node/bin"])
