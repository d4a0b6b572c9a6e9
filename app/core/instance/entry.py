"""How a start of Burrow becomes the first one of its data folder, or hands over to the window there is."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from app.core.instance.lock import FirstProcess, Held, InstanceLock, holder
from app.core.private import make_private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.instance.doors import InstanceDoor
    from app.core.instance.request import StartRequest

# A window answers within milliseconds, one that waits for a disk later. After this it hangs.
ANSWER_SECONDS = 2.0
# A window that is being started or ended answers later than one that runs.
START_SECONDS = 15.0
END_SECONDS = 15.0
# Between two looks while the first has taken the lock and does not listen yet.
LOOK_SECONDS = 0.005


class NotAnswering(Exception):
    """The first process exists and does not answer. `pid` is 0 where it is not known; `other_version` says why."""

    def __init__(self, pid: int, *, other_version: bool = False) -> None:
        process = f" (process {pid})" if pid else ""
        trouble = (
            f"Another version of Burrow{process} has this data open. Close its window first"
            if other_version
            else f"Burrow is running{process} and does not answer. Wait a moment and start it again, or end it"
        )
        super().__init__(f"{trouble}. With --new-window another window opens all the same.")
        self.pid = pid
        self.other_version = other_version


class _Leaving(Exception):
    """The window is ending."""


def enter(folder: Path, request: StartRequest) -> InstanceLock | None:
    """Become the first process of `folder`, or hand `request` over; None when the window there is has taken it.

    Blocks: for less than a millisecond where there is no other process, else for as long as the window takes to answer.
    Raises `NotAnswering`, and `OSError` where the folder has no file that can be locked: then nobody is first.
    """
    make_private_folder(folder)
    began = time.monotonic()
    until = began + ANSWER_SECONDS
    while True:
        with suppress(Held):
            return InstanceLock(folder)
        first = holder(folder)
        if _is_starting(first):
            until = max(until, began + START_SECONDS)
        try:
            if _hand_over(folder, request):
                return None
        except _Leaving:
            until = max(until, began + END_SECONDS)
        if time.monotonic() >= until:
            raise NotAnswering(first.pid)
        time.sleep(LOOK_SECONDS)


def _is_starting(first: FirstProcess) -> bool:
    return 0 <= time.time() - first.started < START_SECONDS


def _hand_over(folder: Path, request: StartRequest) -> bool:
    """Whether the window took the request. False where nobody listens. Raises `_Leaving`, `NotAnswering`."""
    # Not above: a start that is the first needs no sockets before it has painted.
    from app.core.instance.doors import NobodyThere, connect
    from app.core.instance.request import UnreadableLine

    # Who listens has been started.
    until = time.monotonic() + ANSWER_SECONDS
    try:
        door = connect(folder, ANSWER_SECONDS)
    except (NobodyThere, OSError):
        return False
    try:
        return _say(door, request, until)
    except TimeoutError:
        raise NotAnswering(holder(folder).pid) from None
    except (UnreadableLine, OSError):
        # It ended meanwhile, or it is no Burrow.
        return False
    finally:
        door.socket.close()


def _say(door: InstanceDoor, request: StartRequest, until: float) -> bool:
    from app.core.instance.request import VERSION, decode_hello, encode_request

    nonce = os.urandom(16).hex()
    door.socket.sendall(f"{nonce}\n".encode())
    hello = decode_hello(_line(door, until))
    if hello.version != VERSION:
        raise NotAnswering(hello.pid, other_version=True)
    if not door.proves(hello.proof, nonce, of_window=True):
        return False
    door.socket.settimeout(max(until - time.monotonic(), LOOK_SECONDS))
    door.socket.sendall(encode_request(request, door.proof(hello.nonce, of_window=False)))
    answer = _line(door, until).strip()
    if answer == b"leaving":
        raise _Leaving
    return answer == b"taken"


def _line(door: InstanceDoor, until: float) -> bytes:
    """What the window says next. Raises `TimeoutError`, and `ConnectionError` when it ends."""
    line = bytearray()
    while not line.endswith(b"\n"):
        door.socket.settimeout(max(until - time.monotonic(), 0.001))
        some = door.socket.recv(4096)
        if not some or len(line) > 4096:
            raise ConnectionError("it ended")
        line += some
    return bytes(line)
