"""The keeper: a small process that holds the port for some seconds after its owner has ended, for the next one.

So the clients of a window that is started again wait instead of failing. If nobody comes, those that wait are told so
(503). Standard library only: it must start while its parent ends.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from app.core.mcp.proxy.handover import TOOK, Holder, Role, hand_out

if TYPE_CHECKING:
    from app.core.mcp.proxy.listeners import Listeners

COMMAND = "keep-port"
KEEP_SECONDS = 5.0
# One that connected may take the sockets, or only look who holds them.
TAKE_SECONDS = 1.0
READ_SECONDS = 0.5
LONGEST_READ = 1024 * 1024
BODY = json.dumps({"error": "Burrow is not running. Start Burrow, or run: burrow proxy"}).encode()
ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


def start_keeper(
    folder: Path,
    path: Path,
    door: socket.socket,
    listeners: Listeners,
    taken: int = 0,
    *,
    seconds: float = KEEP_SECONDS,
) -> None:
    """Start the keeper with duplicates of these sockets. Raises `OSError`."""
    import subprocess

    handles = [each.fileno() for each in (door, *listeners)]
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "app"]
    process = subprocess.Popen(
        [*program, COMMAND, str(folder), str(path), str(taken), str(seconds), *map(str, handles)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=handles,
        start_new_session=True,
    )
    # It outlives this process, so nobody waits for it here.
    process.returncode = 0


def main(arguments: list[str]) -> int:
    """Hold the sockets that this process was started with; returns the exit code."""
    folder, path, taken, seconds, *handles = arguments
    door, *listeners = (socket.socket(fileno=int(handle)) for handle in handles)
    try:
        held = tuple(listeners)
        if not _handed_out(door, held, int(taken), float(seconds)):
            _give_up(Path(folder), Path(path), door, held, int(taken))
    finally:
        for each in (door, *listeners):
            each.close()
    return 0


def _give_up(folder: Path, path: Path, door: socket.socket, listeners: Listeners, taken: int) -> None:
    """Answer those who wait, unless the next owner is there by now."""
    import fcntl

    handle = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # It is starting, and has not come for the sockets yet. One that does not come needs none.
            _handed_out(door, listeners, taken, TAKE_SECONDS)
            return
        with suppress(FileNotFoundError):
            path.unlink()
        for each in listeners:
            _answer(each)
    finally:
        os.close(handle)


def _handed_out(door: socket.socket, listeners: Listeners, taken: int, seconds: float) -> bool:
    """Wait for the next owner; whether it took the sockets."""
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        ready, _, _ = select.select([door], [], [], left)
        if not ready:
            break
        try:
            visitor, _address = door.accept()
        except OSError:
            continue
        with visitor:
            visitor.settimeout(TAKE_SECONDS)
            if hand_out(visitor, Holder(Role.KEEPER, os.getpid(), taken), listeners):
                with suppress(OSError):
                    if visitor.recv(1) == TOOK:
                        return True
    return False


def _answer(listener: socket.socket) -> None:
    """Tell each client that waits on this socket that nobody serves it."""
    while True:
        try:
            client, _address = listener.accept()
        except OSError:
            return
        with client, suppress(OSError):
            client.settimeout(READ_SECONDS)
            # A connection that is closed with unread bytes is reset, and the answer lost with it.
            read = b""
            while b"\r\n\r\n" not in read and len(read) < LONGEST_READ:
                part = client.recv(65536)
                if not part:
                    break
                read += part
            client.sendall(ANSWER)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
