"""Reads what a compiled NSIS installer does: the instructions that write and delete registry values and files.

The format is that of NSIS 3's own loader (Source/exehead/fileform.h), with a 32-bit, Unicode stub and solid LZMA.
"""

from __future__ import annotations

import lzma
import struct
from dataclasses import dataclass
from pathlib import Path

SIGNATURE = struct.pack("<I", 0xDEADBEEF) + b"NullsoftInst"
BLOCKS = 8
ENTRIES, STRINGS = 2, 3
# The numbers of instructions (EW_…).
RENAME, EXTRACT, DELETE_FILE, REMOVE_FOLDER = 16, 20, 21, 23
DELETE_REGISTRY, WRITE_REGISTRY = 50, 51
VARIABLES = {20: "CMDLINE", 21: "INSTDIR", 22: "OUTDIR", 23: "EXEDIR", 25: "TEMP", 26: "PLUGINSDIR", 27: "EXEPATH"}
# SHCTX is the person's part of the registry or the machine's, by the mode of the installation.
ROOTS = {0: "SHCTX", 0x80000001: "HKCU", 0x80000002: "HKLM"}


@dataclass(frozen=True)
class Instruction:
    number: int
    parameters: tuple[int, ...]


class Compiled:
    """The instructions of an installer, or of the uninstaller in it."""

    def __init__(self, program: Path) -> None:
        data = program.read_bytes()
        start = data.index(SIGNATURE) - 4
        (header_size,) = struct.unpack_from("<I", data, start + 20)
        header = _solid(data[start + 28 :])[4 : 4 + header_size]
        blocks = [struct.unpack_from("<II", header, 4 + 8 * index) for index in range(BLOCKS)]
        offset, count = blocks[ENTRIES]
        self._strings = header[blocks[STRINGS][0] :]
        words = struct.iter_unpack("<7I", header[offset : offset + count * 28])
        self.instructions = [Instruction(number, tuple(rest)) for number, *rest in words]

    def of(self, number: int) -> list[tuple[int, ...]]:
        return [each.parameters for each in self.instructions if each.number == number]

    def registry(self) -> dict[tuple[str, str, str], str]:
        """The values it writes: by root, key and name, the text."""
        text = self.text
        return {
            (ROOTS[root], text(key), text(name)): text(value) for root, key, name, value, *_ in self.of(WRITE_REGISTRY)
        }

    def deleted_registry(self) -> set[tuple[str, str, str]]:
        """The keys and values it deletes: root, key, and the value's name or "" for the key."""
        return {(ROOTS[root], self.text(key), self.text(name)) for _, root, key, name, *_ in self.of(DELETE_REGISTRY)}

    def text(self, place: int) -> str:
        """A text of the table, with variables by their name."""
        words = []
        position = place * 2
        while True:
            (code,) = struct.unpack_from("<H", self._strings, position)
            position += 2
            if code == 0:
                return "".join(words)
            if code > 4:
                words.append(chr(code))
                continue
            (parameter,) = struct.unpack_from("<H", self._strings, position)
            position += 2
            number = (parameter & 0x7F) | (parameter >> 8 & 0x7F) << 7
            if code == 3:
                words.append(f"${VARIABLES.get(number, number)}")
            elif code == 2:
                words.append(f"$SHELL:{parameter & 0xFF:x}")
            elif code == 4:
                words.append(chr(parameter))
            else:
                words.append(f"$(LANG:{number})")


def _solid(data: bytes) -> bytes:
    """The content of a solid archive: five bytes of properties, then the LZMA stream without its length."""
    properties, dictionary = struct.unpack_from("<BI", data)
    position, literal = divmod(properties, 45)
    literal_position, literal_context = divmod(literal, 9)
    chosen = {"lc": literal_context, "lp": literal_position, "pb": position}
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, **chosen}]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(data[5:])
