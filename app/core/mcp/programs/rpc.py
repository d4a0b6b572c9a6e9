"""Plain JSON-RPC to one server of the proxy, as a client would send it: over streamable HTTP or through the shim.

The MCP SDK is not used: it takes most of a second to import, and would hide what exactly was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from app.core.mcp.event_stream import EventReader, EventTooLong
from app.processes.child import ChildProcess, NotStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ANSWER_LIMIT = 32 * 1024 * 1024
BOTH = "application/json, text/event-stream"
WORDS_LIMIT = 300
# How long a command may take to end: after its input was closed, and then after SIGTERM.
EXIT_SECONDS = (2.0, 0.5)
NOT_IN_TIME = "There was no answer in time."


class NoAnswer(Exception):
    """A request was not answered as it should be; the message says why, as a sentence."""


class RpcRefused(NoAnswer):
    """The answer is a JSON-RPC error."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class RpcChannel(Protocol):
    """Sends JSON-RPC messages to one server."""

    async def send(self, message: Mapping[str, Any], version: str) -> Mapping[str, Any]:
        """Send a message and return the answer to it, empty for a notification. Raises `NoAnswer`."""

    async def close(self) -> None:
        """End the session."""


class HttpChannel:
    """Streamable HTTP (MCP, "Transports"). A thread sends each request and gives up at the deadline."""

    def __init__(self, url: str, key: str, seconds: float) -> None:
        self._url = url
        self._parts = urlsplit(url)
        self._key = key
        self._until = monotonic() + seconds
        self._session = ""
        self._socket: socket.socket | None = None

    async def send(self, message: Mapping[str, Any], version: str) -> Mapping[str, Any]:
        """See `RpcChannel.send`."""
        return await self._in_thread(lambda: self._send(message, version))

    async def close(self) -> None:
        """See `RpcChannel.close`."""
        if self._session:
            with contextlib.suppress(NoAnswer):
                await self._in_thread(self._delete)

    async def _in_thread(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Work that waits for the network, ended at the deadline and when nobody waits for it any more."""
        working = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            async with asyncio.timeout(max(0.0, self._until - monotonic())):
                return await asyncio.shield(working)
        except TimeoutError:
            raise NoAnswer(NOT_IN_TIME) from None
        finally:
            if not working.done():
                # What reads from the socket in the thread sees its end.
                self._break()
                await asyncio.gather(working, return_exceptions=True)

    def _break(self) -> None:
        # A socket that `http.client` has closed stays open while its response is read.
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _delete(self) -> Mapping[str, Any]:
        with contextlib.closing(self._connection()) as connection:
            self._exchange(connection, "DELETE", None, {})
        return {}

    def _connection(self) -> http.client.HTTPConnection:
        left = self._until - monotonic()
        if left <= 0:
            raise NoAnswer(NOT_IN_TIME)
        return http.client.HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=left)

    def _send(self, message: Mapping[str, Any], version: str) -> Mapping[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": BOTH}
        if version:
            headers["MCP-Protocol-Version"] = version
        with contextlib.closing(self._connection()) as connection:
            response = self._exchange(connection, "POST", json.dumps(message).encode(), headers)
            self._session = response.getheader("Mcp-Session-Id") or self._session
            try:
                return self._answer(response, message.get("id"))
            except TimeoutError:
                raise NoAnswer(NOT_IN_TIME) from None
            except (OSError, http.client.HTTPException):
                raise NoAnswer("The answer broke off.") from None

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, body: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        session = {"Mcp-Session-Id": self._session} if self._session else {}
        try:
            path = self._parts.path or "/"
            connection.connect()
            self._socket = connection.sock
            connection.request(
                method,
                path,
                body,
                {**headers, **session, "Authorization": f"Bearer {self._key}", "Connection": "close"},
            )
            return connection.getresponse()
        except TimeoutError:
            raise NoAnswer(NOT_IN_TIME) from None
        except ConnectionRefusedError:
            raise NoAnswer(f"Nothing answers at {self._origin}. The proxy does not run.") from None
        except OSError as failure:
            raise NoAnswer(f"{self._origin} cannot be reached: {failure.strerror or failure}.") from None
        except (http.client.HTTPException, ValueError):
            raise NoAnswer(f"What answers at {self._origin} is not Burrow's proxy.") from None

    @property
    def _origin(self) -> str:
        return f"{self._parts.scheme}://{self._parts.netloc}"

    def _answer(self, response: http.client.HTTPResponse, request_id: object) -> Mapping[str, Any]:
        if response.status >= 300:
            raise NoAnswer(_refusal(response.status, response.read(64 * 1024), self._origin))
        if request_id is None:
            response.read(ANSWER_LIMIT)
            return {}
        if (response.getheader("Content-Type") or "").startswith("text/event-stream"):
            return self._from_stream(response, request_id)
        return decoded(response.read(ANSWER_LIMIT))

    def _from_stream(self, response: http.client.HTTPResponse, request_id: object) -> Mapping[str, Any]:
        """The message with the request's id among the events of a stream."""
        reader = EventReader(ANSWER_LIMIT)
        try:
            while piece := response.read1():
                for event in reader.feed(piece):
                    # An event without data only says from where the stream may be resumed.
                    message = decoded(event.data) if event.data else {}
                    if message.get("id") == request_id and "method" not in message:
                        return message
        except EventTooLong:
            raise NoAnswer("The answer is too large.") from None
        raise NoAnswer("The stream ended before the answer.")


class ShimChannel:
    """The pipes of a command (MCP, "stdio"), which is ended with the channel."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self._command = tuple(command)
        self._seconds = seconds
        self._child: ChildProcess | None = None

    async def send(self, message: Mapping[str, Any], version: str) -> Mapping[str, Any]:
        """See `RpcChannel.send`."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._send(message)
        except TimeoutError:
            raise NoAnswer(NOT_IN_TIME) from None
        except NotStarted as failure:
            raise NoAnswer(str(failure)) from None

    async def _send(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._child is None:
            self._child = await ChildProcess.start(
                self._command, None, os.environ, stderr=subprocess.DEVNULL, limit=ANSWER_LIMIT
            )
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(ConnectionError):
            stdin.write(json.dumps(message).encode() + b"\n")
            await stdin.drain()
        if "id" not in message:
            return {}
        while True:
            try:
                line = await stdout.readline()
            except ValueError:
                raise NoAnswer("The answer is too large.") from None
            if not line:
                raise NoAnswer("The command ended without an answer.")
            answer = decoded(line)
            if answer.get("id") == message["id"] and "method" not in answer:
                return answer

    async def close(self) -> None:
        """See `RpcChannel.close`."""
        if self._child is not None:
            await self._child.end(EXIT_SECONDS)


def decoded(text: bytes) -> Mapping[str, Any]:
    """A JSON-RPC message. Raises `NoAnswer` for anything else."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise NoAnswer("The answer is not JSON-RPC.")
    return message


def result_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result of an answer. Raises `RpcRefused` with the words of an error."""
    error = message.get("error")
    if isinstance(error, dict):
        code = error.get("code")
        words = str(error.get("message") or "The server refused the request.")[:WORDS_LIMIT]
        raise RpcRefused(code if isinstance(code, int) else 0, words)
    result = message.get("result")
    if not isinstance(result, dict):
        raise NoAnswer("The answer has no result.")
    return result


def _refusal(status: int, body: bytes, origin: str) -> str:
    try:
        return str(result_of(decoded(body)))
    except RpcRefused as refused:
        return str(refused)
    except NoAnswer:
        pass
    match status:
        case 401:
            return "The proxy does not accept this key."
        case 404:
            return "The proxy has no such server for this client."
        case _:
            return f"{origin} answered with status {status}."
