"""Which pictures a model is sure to take, by their content: a name may say anything, and a refused picture stays in the
conversation, so that each further turn is refused as well.
"""

from __future__ import annotations

# In bytes: five megabytes in base64. In pixels, for each side. The smallest that models of the known agents take.
LARGEST, LONGEST_SIDE = 3_750_000, 8000

_PNG, _JPEG, _GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", (b"GIF87a", b"GIF89a")
# The markers of JPEG that are followed by the size of the picture (ITU T.81, table B.1), without DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def picture_of(data: bytes) -> str | None:
    """The media type of a picture that models take; None for anything else."""
    if len(data) > LARGEST:
        return None
    if data.startswith(_PNG):
        kind, sides = "image/png", (_number(data[16:20]), _number(data[20:24]))
    elif data.startswith(_JPEG):
        kind, sides = "image/jpeg", _jpeg_sides(data)
    elif data.startswith(_GIF):
        kind, sides = "image/gif", (int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind, sides = "image/webp", _webp_sides(data)
    else:
        return None
    return kind if all(0 < side <= LONGEST_SIDE for side in sides) else None


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _jpeg_sides(data: bytes) -> tuple[int, int]:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAMES:
            return _number(data[place + 5 : place + 7]), _number(data[place + 7 : place + 9])
        # A byte of filling has no length.
        place += 1 if marker == 0xFF else 2 + _number(data[place + 2 : place + 4])
    return 0, 0


def _webp_sides(data: bytes) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    match data[12:16]:
        case b"VP8 ":
            sides = int.from_bytes(data[26:28], "little"), int.from_bytes(data[28:30], "little")
            return sides[0] & 0x3FFF, sides[1] & 0x3FFF
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case _:
            return 0, 0
