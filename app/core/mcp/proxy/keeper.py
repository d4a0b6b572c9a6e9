"""The keeper: a small process that holds the port for some seconds after its owner has ended, for the next one.

So the clients of a window that is started again wait instead of failing. If nobody comes, those that wait are told so
(503). Standard library only: it must start while its parent ends.
"""

from __future__ import annotations

import json
import os
import select
import selectors
import socket
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, cast

from app.core.installation import installation
from app.core.mcp.proxy.handover import TOOK, Holder, Role, hand_out

if TYPE_CHECKING:
    from app.core.mcp.proxy.listeners import Listeners

COMMAND = "keep-port"
KEEP_SECONDS = 5.0
# An update is copied and verified before the next owner starts, for the first time.
UPDATE_KEEP_SECONDS = 60.0
# One that connected may take the sockets, or only look who holds them.
TAKE_SECONDS = 1.0
# Those who wait have sent their requests already.
ANSWER_SECONDS = 1.0
LONGEST_HEAD = 64 * 1024
MOST_WAITING = 512
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
    process = subprocess.Popen(
        [*installation().command, COMMAND, str(folder), str(path), str(taken), str(seconds), *map(str, handles)],
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
        _tell(listeners)
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


def _tell(listeners: Listeners) -> None:
    """Tell those who wait on these sockets that nobody serves them: all at once, and for a moment only.

    Whoever connects and says nothing must not keep the port, and the next owner, waiting.
    """
    end = monotonic() + ANSWER_SECONDS
    # What each of them has sent of its request; None once it was answered.
    waiting: dict[socket.socket, bytes | None] = {}
    with selectors.DefaultSelector() as selector:
        try:
            for listener in listeners:
                selector.register(listener, selectors.EVENT_READ)
                _accept(listener, waiting, selector)
            while waiting and (left := end - monotonic()) > 0:
                for key, _events in selector.select(left):
                    ready = cast(socket.socket, key.fileobj)
                    if ready in listeners:
                        _accept(ready, waiting, selector)
                        if len(waiting) >= MOST_WAITING:
                            selector.unregister(ready)
                    elif not _read(ready, waiting):
                        selector.unregister(ready)
                        del waiting[ready]
                        ready.close()
        finally:
            for client in waiting:
                client.close()


def _accept(
    listener: socket.socket, waiting: dict[socket.socket, bytes | None], selector: selectors.BaseSelector
) -> None:
    while len(waiting) < MOST_WAITING:
        try:
            client, _address = listener.accept()
        except OSError:
            return
        client.setblocking(False)
        waiting[client] = b""
        selector.register(client, selectors.EVENT_READ)


def _read(client: socket.socket, waiting: dict[socket.socket, bytes | None]) -> bool:
    """Read what a client sends, and answer it after the head of its request; whether there may be more of it.

    A connection that is closed with unread bytes is reset, and the answer lost with it.
    """
    try:
        part = client.recv(65536)
        read = waiting[client]
        if read is not None:
            read = waiting[client] = read + part
            if b"\r\n\r\n" in read or len(read) > LONGEST_HEAD or not part:
                waiting[client] = None
                # It fits the buffer of a new connection.
                client.sendall(ANSWER)
                client.shutdown(socket.SHUT_WR)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return bool(part)
