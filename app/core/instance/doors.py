"""Where the first process listens, and how the others reach it.

A Unix socket in the data folder, where the system says whose process the other end is. Where there are none (Windows,
some file systems), a TCP port of this machine: its number and a secret are in a file that only the user can read, and
either end proves that it knows the secret before it is told anything (HMAC, RFC 2104, over the nonce of the other).
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from socket import socket as Socket  # noqa: N812 - the member of a door has the name of its module
from typing import TYPE_CHECKING

from app.core.private_socket import is_this_user, open_door, short_name, socket_path

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.private_socket import ConnectedSocket

SOCKET = "instance.sock"
PORT_FILE = "instance.port"
LOOPBACK = "127.0.0.1"
LONGEST_FILE = 1024
HAS_UNIX_SOCKETS = hasattr(socket, "AF_UNIX")


class NobodyThere(Exception):
    """No process of this user listens at the door of the folder now."""


@dataclass(frozen=True, slots=True)
class InstanceDoor:
    """A listening socket, or a connection to one. `secret` is empty where the system says whose the other end is."""

    socket: Socket
    secret: bytes = field(default=b"", repr=False)
    file: Path | None = None

    def vouches(self, visitor: ConnectedSocket) -> bool:
        """Whether a visitor may be listened to. With a secret, that shows in its proof. Raises `OSError`."""
        return bool(self.secret) or is_this_user(visitor)

    def proof(self, nonce: str, *, of_window: bool) -> str:
        """That this end knows the secret."""
        if not self.secret:
            return ""
        import hmac

        # Each end says which one it is, so that neither can send the other's words back.
        return hmac.digest(self.secret, f"{'window' if of_window else 'start'} {nonce}".encode(), "sha256").hex()

    def proves(self, proof: str, nonce: str, *, of_window: bool) -> bool:
        """Whether `proof` is that of the other end."""
        expected = self.proof(nonce, of_window=of_window)
        if not expected:
            return True
        import hmac

        return hmac.compare_digest(proof.encode("utf-8", "replace"), expected.encode())

    def close(self) -> None:
        """Listen no more, and leave no file behind."""
        self.socket.close()
        if self.file is not None:
            with suppress(OSError):
                self.file.unlink()


def listen(folder: Path) -> InstanceDoor:
    """Listen for further starts. Only for who holds the lock. Blocks for moments. Raises `OSError`."""
    for name in (SOCKET, PORT_FILE):
        with suppress(OSError):
            (folder / name).unlink()
    if HAS_UNIX_SOCKETS:
        # Not every file system has sockets.
        with suppress(OSError):
            path = socket_path(folder, SOCKET)
            return InstanceDoor(open_door(path), file=path)
    return _listen_on_port(folder)


def connect(folder: Path, seconds: float) -> InstanceDoor:
    """Connect to who listens. Raises `NobodyThere`."""
    try:
        return _connect_to_socket(folder, seconds)
    except (OSError, NobodyThere):
        return _connect_to_port(folder, seconds)


def _connect_to_socket(folder: Path, seconds: float) -> InstanceDoor:
    if not HAS_UNIX_SOCKETS:
        raise NobodyThere
    path = socket_path(folder, SOCKET)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        with short_name(path) as name:
            connection.connect(name)
        if not is_this_user(connection):
            raise NobodyThere
    except BaseException:
        connection.close()
        raise
    return InstanceDoor(connection)


def _listen_on_port(folder: Path) -> InstanceDoor:
    import secrets

    from app.core.private import replace_private

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "nt":
            # Else another program could listen on the same port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)  # type: ignore[attr-defined,unused-ignore]
        listener.bind((LOOPBACK, 0))
        listener.listen(16)
        listener.setblocking(False)
        secret = secrets.token_hex(32)
        record = {"port": listener.getsockname()[1], "secret": secret}
        path = folder / PORT_FILE
        replace_private(path, json.dumps(record), prefix=f"{PORT_FILE}.")
    except BaseException:
        listener.close()
        raise
    return InstanceDoor(listener, secret.encode(), path)


def _connect_to_port(folder: Path, seconds: float) -> InstanceDoor:
    try:
        with (folder / PORT_FILE).open("rb") as file:
            record = json.loads(file.read(LONGEST_FILE))
        port, secret = record["port"], record["secret"]
        if type(port) is not int or not 0 < port < 65536 or not isinstance(secret, str) or not secret:
            raise NobodyThere
        return InstanceDoor(socket.create_connection((LOOPBACK, port), timeout=seconds), secret.encode())
    except (OSError, ValueError, KeyError, TypeError):
        raise NobodyThere from None
