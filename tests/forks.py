"""Processes of Burrow that begin with their modules imported: a fork of a process that imported them once.

Each is a process of its own, with its own standard streams, signals, environment and exit code. What it does not show
is the start of the interpreter: how long that takes, what it imports, and which encoding it gives the standard streams.
A test of those starts an interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
NUMBER = struct.Struct("!i")
NETWORK = (
    *("app.core.backend", "app.core.embedded", "app.core.posthog.store", "app.core.auth.http.bearer"),
    *("app.core.auth.http.direct", "app.core.auth.http.transport", "aiohttp", "httpcore", "anyio._backends._asyncio"),
)
# What the processes of each kind import before they do what they are asked.
IMPORTS = {
    "command": (
        *(*NETWORK, "app.cli.main", "app.core.consent", "app.core.mcp.servers.host_source"),
        *("app.core.mcp.servers.own_source", "app.core.mcp.servers.registry", "app.core.mcp.servers.store_source"),
        *("app.core.mcp.protocol.session", "app.core.mcp.protocol.transport", "app.core.mcp.protocol.legacy_listen"),
        *("httpcore2", "mcp"),
    ),
    "window": (*NETWORK, "app.main", "app.ui.places", "app.ui.shell.window", "app.ui.tasks.place"),
    "worker": (*NETWORK, "tests.faults.worker"),
    "workspace": (
        *("app.workspace.__main__", "app.workspace.mcp.server", "app.workspace.vendors.tools", "mcp.client.client"),
        *("mcp.client.streamable_http", "mcp.server.streamable_http_manager", "anyio._backends._asyncio"),
    ),
}


class Forked:
    """A running `python -m MODULE ARGUMENTS`; its members are those of `subprocess.Popen`."""

    def __init__(
        self,
        kind: str,
        module: str,
        arguments: Sequence[str],
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.args = [module, *arguments]
        self.returncode: int | None = None
        theirs: list[int] = []
        ends: list[Any] = []
        for number, wanted in enumerate((stdin, stdout, stderr)):
            end = None
            if wanted == subprocess.PIPE:
                read, write = os.pipe()
                mine, his = (write, read) if number == 0 else (read, write)
                theirs.append(his)
                end = open(mine, "w" if number == 0 else "r", encoding="utf-8")  # noqa: SIM115 - as long as it lives
            elif wanted == subprocess.DEVNULL:
                theirs.append(os.open(os.devnull, os.O_RDWR))
            else:
                theirs.append(
                    os.dup(theirs[1] if wanted == subprocess.STDOUT else number if wanted is None else wanted)
                )
            ends.append(end)
        self.stdin: IO[str] | None = ends[0]
        self.stdout: IO[str] | None = ends[1]
        self.stderr: IO[str] | None = ends[2]
        self._status, told = socket.socketpair()
        request = {"module": module, "arguments": list(arguments), "env": dict(env or os.environ), "cwd": os.getcwd()}
        try:
            _server(kind).ask(request, [told.fileno(), *theirs])
        finally:
            told.close()
            for descriptor in theirs:
                os.close(descriptor)
        self.pid: int = NUMBER.unpack(self._status.recv(NUMBER.size))[0]

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.wait()

    def __del__(self) -> None:
        self._status.close()

    def poll(self) -> int | None:
        """The exit code, or None while it runs; the negative number of the signal that ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._status, select.POLLIN)
            if not waiting.poll(None if timeout is None else max(timeout, 0) * 1000):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            # Left in the socket: another thread may wait too.
            told = self._status.recv(NUMBER.size, socket.MSG_PEEK)
            assert told, "the process that forks has ended"
            self.returncode = NUMBER.unpack(told)[0]
        return self.returncode

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002
        """All that it writes, until it has ended. Raises `subprocess.TimeoutExpired`, and it goes on then."""
        end = None if timeout is None else time.monotonic() + timeout
        with ThreadPoolExecutor(2) as readers:
            reading = [readers.submit(each.read) if each else None for each in (self.stdout, self.stderr)]
            if self.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self.stdin.write(input or "")
                    self.stdin.close()
            try:
                self.wait(None if end is None else end - time.monotonic())
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            out, err = (each and each.result() for each in reading)
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Server:
    """The process that forks those of one kind; it ends with this one."""

    def __init__(self, kind: str) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.forks", str(theirs.fileno()), *IMPORTS[kind]]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        atexit.register(self._end)

    def ask(self, request: dict[str, Any], descriptors: list[int]) -> None:
        message = json.dumps(request).encode("utf-8", "surrogateescape")
        with self._lock:
            socket.send_fds(self._control, [NUMBER.pack(len(message))], descriptors)
            self._control.sendall(message)

    def _end(self) -> None:
        self._control.close()
        self._process.wait()


_SERVERS: dict[str, _Server] = {}


def _server(kind: str) -> _Server:
    if kind not in _SERVERS:
        _SERVERS[kind] = _Server(kind)
    return _SERVERS[kind]


@dataclass(frozen=True)
class _Request:
    """What a fork is to do: `descriptors` are its standard streams."""

    module: str
    arguments: list[str]
    env: dict[str, str]
    cwd: str
    descriptors: list[int]


def _serve(control: socket.socket) -> _Request | None:
    """Fork as often as asked. Returns in each fork what it is to do, and None in the server, once nobody asks."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    # A handler, for without one there is no wake-up. What ends the tests is not to end the server before them.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    children: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_ended(children)
        if control not in ready:
            continue
        head, descriptors, _, _ = socket.recv_fds(control, NUMBER.size, 4)
        if not head:
            return None
        size = NUMBER.unpack(head)[0]
        message = b""
        while len(message) < size:
            message += control.recv(size - len(message))
        told = socket.socket(fileno=descriptors[0])
        # Before the fork: it may end at once.
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for each in (control, told, *children.values()):
                each.close()
            for descriptor in (woken, wakes):
                os.close(descriptor)
            return _Request(**json.loads(message), descriptors=descriptors[1:])
        children[child] = told
        told.send(NUMBER.pack(child))
        for descriptor in descriptors[1:]:
            os.close(descriptor)


def _tell_ended(children: dict[int, socket.socket]) -> None:
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        with children.pop(child) as told, contextlib.suppress(OSError):
            told.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become(request: _Request) -> None:
    """Have the streams, the environment, the folder and the arguments that were asked for."""
    for number, descriptor in enumerate(request.descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request.env)
    time.tzset()
    os.chdir(request.cwd)
    sys.path[0] = request.cwd
    sys.argv = ["-m", *request.arguments]
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(  # type: ignore[misc] # noqa: SIM115
        *(2, "w"), buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def main() -> None:
    import gc
    import importlib
    import runpy

    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.collect()
    # Or the first collection of each fork would copy all of it.
    gc.freeze()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        _become(request)
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
