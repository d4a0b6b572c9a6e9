"""Calls the tools of the MCP servers that a session was handed: over HTTP or over the pipes of a program.

The standard library's HTTP client is used in a thread: an MCP SDK takes a second to import, and this agent is started
for each run. https://modelcontextprotocol.io/specification/2025-06-18/basic/transports
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from app import __version__
from app.acp.messages import PeerClosed, RpcError
from app.acp.process import AgentProcess
from app.daemon_thread import in_daemon_thread
from app.processes.child import NotStarted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

T = TypeVar("T")
SECONDS = 30.0
PROTOCOL = "2025-06-18"
LARGEST_ANSWER = 4 * 1024 * 1024
SHOWN_CHARACTERS = 600


class ToolServerFailed(Exception):
    """A server could not be asked. The text is a sentence for a person."""


@dataclass(frozen=True)
class ToolServer:
    """A server as `session/new` names it: either an address with headers, or a command with an environment."""

    name: str
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class OfferedTool:
    """A tool that only reads and needs no arguments."""

    name: str
    title: str


class Asking(Protocol):
    """One conversation with a server."""

    async def ask(self, method: str, params: Mapping[str, object]) -> dict[str, object]:
        """The result. Raises `ToolServerFailed`."""

    async def tell(self, method: str) -> None: ...


def servers_in(given: object) -> list[ToolServer]:
    """The servers that can be asked; others, and what is malformed, are left out."""
    found = []
    for each in _objects(given):
        match each:
            case {"type": "http", "name": str(name), "url": str(url)}:
                found.append(ToolServer(name, url=url, headers=_pairs(each.get("headers"))))
            case {"name": str(name), "command": str(program)}:
                words = each.get("args")
                arguments = [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
                environment = _pairs(each.get("env"))
                found.append(ToolServer(name, command=(program, *arguments), environment=environment))
    return found


@contextlib.asynccontextmanager
async def conversation(server: ToolServer, folder: Path) -> AsyncIterator[Asking]:
    """An initialised conversation. Raises `ToolServerFailed`."""
    if server.url:
        over_http = _OverHttp(server)
        await _initialise(over_http)
        yield over_http
        return
    environment = {**os.environ, **dict(server.environment)}
    try:
        process = await AgentProcess.start(
            server.command, folder, environment, on_request=_refuse, on_notification=lambda _method, _params: None
        )
    except NotStarted as failure:
        raise ToolServerFailed(str(failure)) from None
    try:
        over_pipes = _OverPipes(process)
        await _initialise(over_pipes)
        yield over_pipes
    finally:
        await process.end()


async def offered_tools(asking: Asking, most: int) -> list[OfferedTool]:
    """The first tools that can be called without arguments and change nothing. Raises `ToolServerFailed`."""
    found = []
    for tool in _objects((await asking.ask("tools/list", {})).get("tools")):
        match tool:
            case {"inputSchema": {"required": [_, *_]}}:
                continue
            case {"name": str(name), "annotations": {"readOnlyHint": True}}:
                found.append(OfferedTool(name, str(tool.get("title") or name)))
    return found[:most]


async def call_tool(asking: Asking, name: str) -> tuple[str, bool]:
    """What the tool says, shortened, and whether it failed. Raises `ToolServerFailed`."""
    result = await asking.ask("tools/call", {"name": name, "arguments": {}})
    contents = result.get("content")
    texts = [str(each["text"]) for each in _objects(contents) if isinstance(each.get("text"), str)]
    said = " ".join(" ".join(texts).split())
    return said[:SHOWN_CHARACTERS] or "nothing", bool(result.get("isError"))


async def _initialise(asking: Asking) -> None:
    info = {"name": "survey-agent", "version": __version__}
    await asking.ask("initialize", {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": info})
    await asking.tell("notifications/initialized")


class _OverHttp:
    def __init__(self, server: ToolServer) -> None:
        self._server = server
        self._session = ""
        self._last_id = 0

    async def ask(self, method: str, params: Mapping[str, object]) -> dict[str, object]:
        self._last_id += 1
        number = self._last_id
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        try:
            answer = await _in_daemon(lambda: self._post(message))
        except (OSError, http.client.HTTPException, ValueError) as failure:
            raise ToolServerFailed(f"{self._server.name} cannot be reached: {failure}") from None
        return _result(answer, number, self._server.name)

    async def tell(self, method: str) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            await _in_daemon(lambda: self._post({"jsonrpc": "2.0", "method": method}))

    def _post(self, message: Mapping[str, object]) -> list[dict[str, object]]:
        address = urlsplit(self._server.url)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(address.netloc, timeout=SECONDS)
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": PROTOCOL,
            **dict(self._server.headers),
            **({"Mcp-Session-Id": self._session} if self._session else {}),
        }
        try:
            path = address.path + (f"?{address.query}" if address.query else "")
            connection.request("POST", path or "/", json.dumps(message).encode(), headers)
            answer = connection.getresponse()
            self._session = answer.getheader("Mcp-Session-Id") or self._session
            body = answer.read(LARGEST_ANSWER).decode("utf-8", "replace")
            if answer.status >= 300:
                raise ValueError(f"{answer.status} {body[:200]}")
            events = (answer.getheader("Content-Type") or "").startswith("text/event-stream")
            return (
                [json.loads(each) for each in _data_of(body)] if events else [json.loads(body)] if body.strip() else []
            )
        finally:
            connection.close()


class _OverPipes:
    def __init__(self, process: AgentProcess) -> None:
        self._process = process

    async def ask(self, method: str, params: Mapping[str, object]) -> dict[str, object]:
        try:
            return await self._process.peer.request(method, params, timeout=SECONDS)
        except (RpcError, PeerClosed, TimeoutError) as failure:
            raise ToolServerFailed(f"{self._process.name} does not answer {method}: {failure}") from None

    async def tell(self, method: str) -> None:
        with contextlib.suppress(PeerClosed):
            await self._process.peer.notify(method, {})


async def _refuse(method: str, _params: dict[str, object], _id: object) -> dict[str, object]:
    raise RpcError(-32601, f"{method} is not offered.")


def _result(messages: list[dict[str, object]], number: int, name: str) -> dict[str, object]:
    for message in _objects(messages):
        if message.get("id") != number:
            continue
        error = message.get("error")
        if isinstance(error, dict):
            raise ToolServerFailed(f"{name}: {error.get('message')}")
        result = message.get("result")
        return result if isinstance(result, dict) else {}
    raise ToolServerFailed(f"{name} gave no answer.")


def _data_of(body: str) -> list[str]:
    """The data of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    blocks = body.replace("\r\n", "\n").split("\n\n")
    lines = [[line[5:].lstrip() for line in block.split("\n") if line.startswith("data:")] for block in blocks]
    return ["\n".join(each) for each in lines if any(each)]


async def _in_daemon(work: Callable[[], T]) -> T:
    """Run `work` in a thread that never delays the end of the process."""
    outcome, _thread = in_daemon_thread(work, "mcp")
    return await outcome


def _pairs(given: object) -> tuple[tuple[str, str], ...]:
    pairs = [(each.get("name"), each.get("value")) for each in _objects(given)]
    return tuple((name, value) for name, value in pairs if isinstance(name, str) and isinstance(value, str))


def _objects(given: object) -> list[dict[str, object]]:
    """The objects of a list, nothing of anything else."""
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
