"""The listening sockets of the proxy: bound to this machine's own addresses, never to another one."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from contextlib import suppress

# "localhost" may mean either. The address that clients are given is the first.
ADDRESSES = ("127.0.0.1", "::1")
# Connections wait here while the process that accepts them changes. The system cuts it to its own limit.
BACKLOG = 1024
# A machine without IPv6.
ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
TRIES = 20

Listeners = tuple[socket.socket, ...]


class PortTaken(Exception):
    """Another program listens on the port, or may: it must not get the keys of clients that name it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"port {number} is taken")
        self.number = number


class NotLoopback(Exception):
    """A socket is not what it has to be: it listens on no loopback address, or not on the port."""


def bind(number: int) -> Listeners:
    """Listen on a port of this machine, on IPv4 and where there is one on IPv6; 0 for a port that is free on both.

    Raises `PortTaken`, `NotLoopback`, and `OSError`.
    """
    if number:
        return _bound(number)
    for _ in range(TRIES):
        with suppress(PortTaken):
            return _bound(0)
    raise PortTaken(0)


def number_of(listeners: Listeners) -> int:
    """The port that they listen on."""
    return int(listeners[0].getsockname()[1])


def check(listeners: Listeners) -> None:
    """Make sure that each socket listens, on loopback, on one port. Raises `NotLoopback`, with nothing left open."""
    try:
        if not listeners:
            raise NotLoopback("no socket")
        number = number_of(listeners)
        for each in listeners:
            host, port = each.getsockname()[:2]
            listens = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) if os.name == "posix" else 1
            if each.type != socket.SOCK_STREAM or not listens or port != number:
                raise NotLoopback(f"{host} port {port} is not the proxy's")
            if not ipaddress.ip_address(host).is_loopback:
                raise NotLoopback(f"{host} can be reached from other machines")
    except (NotLoopback, OSError, ValueError) as failure:
        close_all(listeners)
        raise NotLoopback(str(failure)) from None


def close_all(listeners: Listeners) -> None:
    """Close this process's handles. Duplicates in other processes go on listening."""
    for each in listeners:
        each.close()


def _bound(number: int) -> Listeners:
    found: list[socket.socket] = []
    try:
        for address in ADDRESSES:
            try:
                listener = _listener(address, number or (number_of((found[0],)) if found else 0))
            except OSError as failure:
                # Without IPv4 there is no proxy.
                if found and failure.errno in ABSENT:
                    continue
                raise
            found.append(listener)
    except OSError as failure:
        close_all(tuple(found))
        if failure.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise PortTaken(number) from None
        raise
    listeners = tuple(found)
    check(listeners)
    return listeners


def _listener(address: str, number: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # Only to bind again while former connections linger; a port that somebody listens on is still refused.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)  # type: ignore[attr-defined,unused-ignore]
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind((address, number))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
