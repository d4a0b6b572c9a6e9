"""Unix sockets by which processes of one user find each other: a name in a folder, for that user alone.

Standard library only, because small processes use it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class ConnectedSocket(Protocol):
        """A connected socket, or asyncio's view of one."""

        def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


# The name of a Unix socket fits 108 bytes on Linux and 104 elsewhere, with the zero at its end.
LONGEST_PATH = 100
# Where Linux lets a process name a file within a folder that it has open.
HANDLES = Path("/proc/self/fd")


def socket_path(folder: Path, name: str) -> Path:
    """Where the socket `name` of `folder` is. Raises `OSError` where there is no private place."""
    path = folder / name
    if len(os.fsencode(path)) <= LONGEST_PATH or HANDLES.is_dir():
        return path
    # Neither of the environment's folders for temporary files: the other process may have another environment.
    place = Path("/tmp") / f"burrow-{os.geteuid()}"
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{place} is not a private folder of this user")
    return place / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.sock"


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name for the socket at `path` that is short enough, while this lasts. Raises `OSError`."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield os.fspath(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"{HANDLES}/{folder}/{path.name}"
    finally:
        os.close(folder)


def open_door(path: Path) -> socket.socket:
    """Listen at `path`, for this user alone, in place of what is there. Only for who holds a lock for it.

    Raises `OSError`.
    """
    with suppress(FileNotFoundError):
        path.unlink()
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_name(path) as name:
            door.bind(name)
        # Before anybody can connect.
        os.chmod(path, 0o600)
        door.listen(16)
        door.setblocking(False)
    except BaseException:
        door.close()
        raise
    return door


def is_this_user(peer: ConnectedSocket) -> bool:
    """Whether the other end is a process of this user. Raises `OSError`."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return bool(struct.unpack("3i", credentials)[1] == os.geteuid())
    # `struct xucred` of the BSDs and macOS: a version, then the user.
    local_peer_credentials, length = 1, 76
    credentials = peer.getsockopt(0, local_peer_credentials, length)
    return bool(struct.unpack_from("II", credentials)[1] == os.geteuid())
