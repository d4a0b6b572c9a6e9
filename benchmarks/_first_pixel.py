"""When a window is painted, seen from outside its process: a pixel of the screen changes. Xlib through ctypes."""

from __future__ import annotations

import ctypes
import time
from ctypes import POINTER, c_char_p, c_int, c_uint, c_ulong, c_void_p
from typing import Self

ALL_PLANES = c_ulong(-1)
Z_PIXMAP = 2
POLL_SECONDS = 0.001


class Image(ctypes.Structure):
    """The beginning of Xlib's `XImage`."""

    _fields_ = (("width", c_int), ("height", c_int), ("xoffset", c_int), ("format", c_int), ("data", POINTER(c_uint)))


class Screen:
    """`with Screen(":99") as screen:` reads pixels of that X server's root window. Raises `OSError`."""

    def __init__(self, display: str) -> None:
        self._x = ctypes.CDLL("libX11.so.6")
        self._x.XOpenDisplay.restype, self._x.XOpenDisplay.argtypes = c_void_p, [c_char_p]
        self._x.XDefaultRootWindow.restype, self._x.XDefaultRootWindow.argtypes = c_ulong, [c_void_p]
        self._x.XGetImage.restype = POINTER(Image)
        self._x.XGetImage.argtypes = [c_void_p, c_ulong, c_int, c_int, c_uint, c_uint, c_ulong, c_int]
        self._x.XFree.argtypes = self._x.XCloseDisplay.argtypes = [c_void_p]
        self._display = self._x.XOpenDisplay(display.encode())
        if not self._display:
            raise OSError(f"no X server at {display}")
        self._root = self._x.XDefaultRootWindow(self._display)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._x.XCloseDisplay(self._display)

    def pixel(self, x: int, y: int) -> int:
        image = self._x.XGetImage(self._display, self._root, x, y, 1, 1, ALL_PLANES, Z_PIXMAP)
        value = int(image.contents.data[0])
        self._x.XFree(image.contents.data)
        self._x.XFree(image)
        return value

    def wait_for(self, x: int, y: int, *, changed_from: int, seconds: float) -> float:
        """`time.perf_counter()` when the pixel is first seen with another colour. Raises `TimeoutError`."""
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            if self.pixel(x, y) != changed_from:
                return now
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"nothing was painted in {seconds:.0f} s")

    def wait_until(self, x: int, y: int, colour: int, *, seconds: float) -> None:
        """Return when the pixel has this colour. Raises `TimeoutError`."""
        end = time.perf_counter() + seconds
        while self.pixel(x, y) != colour:
            if time.perf_counter() > end:
                raise TimeoutError(f"the window is still there after {seconds:.0f} s")
            time.sleep(POLL_SECONDS)
