"""Asks an X window manager to activate a window with the time of the user's action (EWMH, `_NET_ACTIVE_WINDOW`).

Qt names the time of the last event that it got itself. A window in the background got none for long, so window managers
take that for a program that wants to steal the focus.
"""

from __future__ import annotations

import ctypes
import re
from ctypes import POINTER, Structure, Union, byref, c_char, c_char_p, c_int, c_long, c_ulong, c_void_p

CLIENT_MESSAGE = 33
PROPERTY_CHANGE_MASK = 1 << 22
SUBSTRUCTURE_MASKS = (1 << 19) | (1 << 20)
CARDINAL = 6
REPLACE = 0
FROM_APPLICATION = 1
# startup-notification: the id ends with the time of the action, and its messages come in pieces of 20 bytes.
STARTUP_TIME = re.compile(r"_TIME([0-9]{1,10})$")
PIECE = 20


class _ClientMessage(Structure):
    _fields_ = (
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("window", c_ulong),
        ("message_type", c_ulong),
        ("format", c_int),
        ("data", c_char * (5 * ctypes.sizeof(c_long))),
    )


class _PropertyEvent(Structure):
    _fields_ = (
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("window", c_ulong),
        ("atom", c_ulong),
        ("time", c_ulong),
        ("state", c_int),
    )


class _Event(Union):
    _fields_ = (("message", _ClientMessage), ("property", _PropertyEvent), ("room", c_long * 24))


def activate(window: int, startup_id: str = "") -> bool:
    """Ask for the window with this X id. False where there is no X or no Xlib.

    `startup_id` is that of the launcher (`DESKTOP_STARTUP_ID`); its notification, such as a busy pointer, ends. Without
    one the user acts now: they have started Burrow in a terminal.
    """
    try:
        xlib = ctypes.CDLL("libX11.so.6")
    except OSError:
        return False
    xlib.XOpenDisplay.restype = c_void_p
    xlib.XOpenDisplay.argtypes = [c_char_p]
    display = xlib.XOpenDisplay(None)
    if not display:
        return False
    x = _Server(xlib, c_void_p(display))
    try:
        found = STARTUP_TIME.search(startup_id)
        moment = int(found[1]) & 0xFFFFFFFF if found is not None else x.time()
        x.set_cardinal(window, b"_NET_WM_USER_TIME", moment)
        longs = (c_long * 5)(FROM_APPLICATION, moment, 0, 0, 0)
        x.send(window, b"_NET_ACTIVE_WINDOW", 32, bytes(longs), SUBSTRUCTURE_MASKS)
        if startup_id:
            x.end_startup(startup_id)
    finally:
        xlib.XCloseDisplay(c_void_p(display))
    return True


class _Server:
    """A connection of its own: that of Qt is Qt's."""

    def __init__(self, xlib: ctypes.CDLL, display: c_void_p) -> None:
        self._x, self._display = xlib, display
        xlib.XDefaultRootWindow.restype = c_ulong
        xlib.XDefaultRootWindow.argtypes = [c_void_p]
        xlib.XInternAtom.restype = c_ulong
        xlib.XInternAtom.argtypes = [c_void_p, c_char_p, c_int]
        xlib.XCreateSimpleWindow.restype = c_ulong
        xlib.XCreateSimpleWindow.argtypes = [
            c_void_p,
            c_ulong,
            *([c_int] * 2),
            *([ctypes.c_uint] * 3),
            c_ulong,
            c_ulong,
        ]
        xlib.XSelectInput.argtypes = [c_void_p, c_ulong, c_long]
        xlib.XChangeProperty.argtypes = [c_void_p, c_ulong, c_ulong, c_ulong, c_int, c_int, c_void_p, c_int]
        xlib.XWindowEvent.argtypes = [c_void_p, c_ulong, c_long, POINTER(_Event)]
        xlib.XSendEvent.argtypes = [c_void_p, c_ulong, c_int, c_long, POINTER(_Event)]
        xlib.XCloseDisplay.argtypes = [c_void_p]
        self._root = xlib.XDefaultRootWindow(display)
        # Never shown.
        self._own = xlib.XCreateSimpleWindow(display, self._root, -1, -1, 1, 1, 0, 0, 0)

    def atom(self, name: bytes) -> int:
        return int(self._x.XInternAtom(self._display, name, 0))

    def time(self) -> int:
        """The server's time: that of a change which this client makes (ICCCM, section 2.1)."""
        self._x.XSelectInput(self._display, self._own, PROPERTY_CHANGE_MASK)
        self.set_cardinal(self._own, b"_BURROW_TIME", 0)
        event = _Event()
        self._x.XWindowEvent(self._display, self._own, PROPERTY_CHANGE_MASK, byref(event))
        return int(event.property.time)

    def set_cardinal(self, window: int, name: bytes, value: int) -> None:
        data = (c_long * 1)(value)
        self._x.XChangeProperty(self._display, window, self.atom(name), CARDINAL, 32, REPLACE, data, 1)

    def send(self, window: int, name: bytes, width: int, data: bytes, mask: int) -> None:
        event = _Event()
        event.message.type = CLIENT_MESSAGE
        event.message.window = window
        event.message.message_type = self.atom(name)
        event.message.format = width
        ctypes.memmove(ctypes.addressof(event.message) + _ClientMessage.data.offset, data, len(data))
        self._x.XSendEvent(self._display, self._root, 0, mask, byref(event))

    def end_startup(self, startup_id: str) -> None:
        quoted = startup_id.replace("\\", "\\\\").replace('"', '\\"')
        message = f'remove: ID="{quoted}"'.encode() + b"\0"
        for at in range(0, len(message), PIECE):
            name = b"_NET_STARTUP_INFO" if at else b"_NET_STARTUP_INFO_BEGIN"
            self.send(self._own, name, 8, message[at : at + PIECE].ljust(PIECE, b"\0"), PROPERTY_CHANGE_MASK)
