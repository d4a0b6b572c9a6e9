"""Small PNG pictures without an imaging library: trend charts for a tool, letter tiles for server icons.

PNG as in the W3C recommendation (third edition): 8-bit RGB, no interlace, one IDAT chunk.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (38, 42, 51)
QUIET: Colour = (226, 229, 235)
SERIES: tuple[Colour, ...] = ((29, 98, 240), (214, 92, 28), (24, 140, 102), (140, 74, 196), (190, 40, 92))

_GLYPH_WIDTH = 5
_GLYPH_HEIGHT = 8
_FIRST_GLYPH = 0x20
# Printable ASCII from the space on: five columns for each character, a byte a column, the lowest bit at the top.
_FONT = bytes.fromhex(
    "0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649562050 0008070300"
    "001c224100 0041221c00 2a1c7f1c2a 08083e0808 0080703000 0808080808 0000606000 2010080402"
    "3e5149453e 00427f4000 7249494946 2141494d33 1814127f10 2745454539 3c4a494931 4121110907"
    "3649494936 464949291e 0000140000 0040340000 0008142241 1414141414 0041221408 0201590906"
    "3e415d594e 7c1211127c 7f49494936 3e41414122 7f4141413e 7f49494941 7f09090901 3e41415173"
    "7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f021c027f 7f0408107f 3e4141413e"
    "7f09090906 3e4151215e 7f09192946 2649494932 03017f0103 3f4040403f 1f2040201f 3f4038403f"
    "6314081463 0304780403 6159494d43 007f414141 0204081020 004141417f 0402010204 4040404040"
    "0003070800 2054547840 7f28444438 3844444428 384444287f 3854545418 00087e0902 18a4a49c78"
    "7f08040478 00447d4000 2040403d00 7f10284400 00417f4000 7c04780478 7c08040478 3844444438"
    "fc18242418 18242418fc 7c08040408 4854545424 04043f4424 3c4040207c 1c2040201c 3c4030403c"
    "4428102844 4c9090907c 4464544c44 0008364100 0000770000 0041360800 0201020402".replace(" ", "")
)


class PngCanvas:
    """A mutable RGB canvas, origin at the top left, sizes in pixels."""

    def __init__(self, width: int, height: int, ground: Colour = PAPER) -> None:
        self.width = width
        self.height = height
        self._rows = [bytearray(bytes(ground) * width) for _ in range(height)]

    def box(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """Fill a rectangle; what lies outside the canvas is cut off."""
        right = min(left + width, self.width)
        left = max(left, 0)
        if right <= left:
            return
        run = bytes(colour) * (right - left)
        for row in self._rows[max(top, 0) : max(min(top + height, self.height), 0)]:
            row[left * 3 : right * 3] = run

    def line(self, start: tuple[int, int], end: tuple[int, int], colour: Colour, thickness: int = 2) -> None:
        """Draw a straight line with square ends."""
        (x, y), (to_x, to_y) = start, end
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        for step in range(steps + 1):
            at_x = round(x + (to_x - x) * step / steps)
            at_y = round(y + (to_y - y) * step / steps)
            self.box(at_x, at_y, thickness, thickness, colour)

    def text(self, left: int, top: int, words: str, colour: Colour = INK, scale: int = 1) -> None:
        """Write one line; characters outside printable ASCII become question marks."""
        for position, character in enumerate(words):
            code = ord(character) - _FIRST_GLYPH
            if not 0 <= code < len(_FONT) // _GLYPH_WIDTH:
                code = ord("?") - _FIRST_GLYPH
            at = left + position * (_GLYPH_WIDTH + 1) * scale
            for column in range(_GLYPH_WIDTH):
                bits = _FONT[code * _GLYPH_WIDTH + column]
                for row in range(_GLYPH_HEIGHT):
                    if bits >> row & 1:
                        self.box(at + column * scale, top + row * scale, scale, scale, colour)

    def png(self) -> bytes:
        """The picture as a complete PNG file."""
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        pixels = zlib.compress(b"".join(b"\x00" + bytes(row) for row in self._rows), 6)
        chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def text_width(words: str, scale: int = 1) -> int:
    """Width in pixels of `words` as `PngCanvas.text` writes them."""
    return max(len(words) * (_GLYPH_WIDTH + 1) * scale - scale, 0)


def trend_chart(
    title: str,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[int]]],
    *,
    width: int = 720,
    height: int = 360,
) -> bytes:
    """A line chart as PNG: each series has one value per label, and the axis begins at zero."""
    picture = PngCanvas(width, height)
    left, right, top, foot = 56, 16, 44, 52
    plot_width, plot_height = width - left - right, height - top - foot
    picture.text(16, 14, title[:60], INK, 2)
    highest = max((value for _name, values in series for value in values), default=0)
    ceiling, step = _ticks(highest)
    for tick in range(0, ceiling + 1, step):
        y = top + plot_height - round(plot_height * tick / ceiling)
        picture.box(left, y, plot_width, 1, QUIET)
        picture.text(left - 8 - text_width(str(tick)), y - 3, str(tick))
    picture.box(left, top + plot_height, plot_width, 1, INK)

    last = max(len(labels) - 1, 1)
    every = max(1, -(-len(labels) * 44 // plot_width))
    for position, label in enumerate(labels):
        if position % every == 0:
            x = left + round(plot_width * position / last)
            picture.text(min(x - text_width(label) // 2, width - text_width(label) - 2), height - foot + 8, label)
    legend = left
    for index, (name, values) in enumerate(series):
        colour = SERIES[index % len(SERIES)]
        points = [
            (left + round(plot_width * at / last), top + plot_height - round(plot_height * value / ceiling))
            for at, value in enumerate(values)
        ]
        for start, end in zip(points, points[1:] or points, strict=False):
            picture.line(start, end, colour)
        picture.box(legend, height - 20, 10, 10, colour)
        picture.text(legend + 16, height - 19, name[:40])
        legend += 36 + text_width(name[:40])
    return picture.png()


def _ticks(highest: int) -> tuple[int, int]:
    """The end of the axis, at least `highest`, and the distance between its about four grid lines; round numbers."""
    step = 1
    while step * 5 < highest:
        step = step * 2 if str(step)[0] in "15" else step // 2 * 5
    return max(-(-highest // step), 1) * step, step


def letter_tile(name: str, dark: bool, size: int = 64) -> bytes:
    """A square icon with the first letter of `name`, its colour derived from the name."""
    tint = SERIES[hashlib.sha256(name.encode()).digest()[0] % len(SERIES)]
    red, green, blue = (channel * 3 // 4 for channel in tint) if dark else tint
    picture = PngCanvas(size, size, (red, green, blue))
    scale = max(size // 12, 1)
    letter = (name.strip() or "?")[0].upper()
    picture.text((size - text_width(letter, scale)) // 2, (size - 7 * scale) // 2, letter, PAPER, scale)
    return picture.png()
