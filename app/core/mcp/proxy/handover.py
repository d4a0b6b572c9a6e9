"""How processes of one user pass the listening sockets on: over a private Unix socket, as duplicates (SCM_RIGHTS).

Whoever holds the port's lock, or keeps the port for the next one, listens at `door_path`. Who connects gets one line
that says who that is, and the sockets. The connection then stays: its end is how the others learn that the owner ended.
Standard library only, because the keeper uses it.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from app.core.mcp.proxy.listeners import Listeners, NotLoopback, check, close_all
from app.core.private_socket import is_this_user, short_name, socket_path

if TYPE_CHECKING:
    from pathlib import Path

# Whether this system can pass sockets on at all. Windows cannot: there the next owner binds the port itself.
CAN_HAND_OVER = hasattr(socket, "AF_UNIX") and hasattr(socket, "send_fds")
ANSWER_SECONDS = 2.0
LONGEST_LINE = 4096
MOST_SOCKETS = 4
DOOR = "port.sock"

# What the one who connected may say: that it stands by; that it is a window and asks an owner without one for the port;
# that it took the sockets of a keeper. Who says nothing only looks.
STANDS_BY = b"s"
YIELD = b"y"
TOOK = b"t"


class Role(Enum):
    """What a process is that holds the sockets. A window serves rather than a process without one."""

    WINDOW = "window"
    HEADLESS = "headless"
    KEEPER = "keeper"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the sockets: its role and process id, and the port that was wanted where another program has it."""

    role: Role
    pid: int
    taken: int = 0


class Unreachable(Exception):
    """Nobody hands the sockets out now."""


def door_path(folder: Path) -> Path:
    """Where the sockets of the proxy in `folder` are handed out. Raises `OSError` where there is no private place."""
    return socket_path(folder, DOOR)


def hand_out(visitor: socket.socket, holder: Holder, listeners: Listeners) -> bool:
    """Send the sockets to who connected, if that is this user; whether it was."""
    try:
        if not is_this_user(visitor):
            return False
        line = json.dumps({"role": holder.role.value, "pid": holder.pid, "taken": holder.taken}).encode() + b"\n"
        # Less than the buffer of a new connection holds, so it never waits.
        socket.send_fds(visitor, [line], [each.fileno() for each in listeners])
    except OSError:
        return False
    return True


def visit(path: Path) -> tuple[socket.socket, Holder, Listeners]:
    """Connect to who holds the sockets; returns the connection, who that is, and the sockets. Blocks for moments.

    Raises `Unreachable`.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_SECONDS)
        with short_name(path) as name:
            connection.connect(name)
        if not is_this_user(connection):
            raise Unreachable("another user listens there")
        line, handles, _flags, _address = socket.recv_fds(connection, LONGEST_LINE, MOST_SOCKETS)
        listeners = tuple(socket.socket(fileno=handle) for handle in handles)
        try:
            record = json.loads(line)
            holder = Holder(Role(record["role"]), int(record["pid"]), int(record["taken"]))
            for each in listeners:
                each.setblocking(False)
                each.set_inheritable(False)
            check(listeners)
        except BaseException:
            close_all(listeners)
            raise
        connection.setblocking(False)
    except Unreachable:
        connection.close()
        raise
    except (OSError, NotLoopback, ValueError, KeyError, TypeError) as failure:
        connection.close()
        raise Unreachable(f"{type(failure).__name__}: {failure}") from None
    return connection, holder, listeners
