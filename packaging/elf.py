"""Two small changes to ELF shared objects, in place: no build path left in them, and a constant made smaller.

Format: System V ABI, chapters 4 and 5 (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html); 64 bits, little
endian. Addresses never change, so nothing has to be linked again.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LOADED = 1  # PT_LOAD
DYNAMIC = 2  # PT_DYNAMIC
NAMED_LIBRARY, STRINGS, STRINGS_SIZE, SYMBOLS, LIBRARY_NAME, RPATH, RUNPATH = 1, 5, 10, 6, 14, 15, 29  # DT_…
SECTION_SYMBOLS = 11  # SHT_DYNSYM
VERSIONS_NEEDED, VERSIONS_DEFINED = 0x6FFFFFFE, 0x6FFFFFFC  # DT_VERNEED, DT_VERDEF
SYMBOL = struct.Struct("<IBBHQQ")


class ElfError(ValueError):
    """The file is not what these changes are made for."""


@dataclass(frozen=True)
class Segment:
    """A program header; `at` is where it is in the file, the others are its fields."""

    at: int
    kind: int
    offset: int
    address: int
    size: int
    alignment: int


@dataclass(frozen=True)
class Section:
    """A section header; `at` is where it is in the file, the others are its fields."""

    at: int
    kind: int
    offset: int
    size: int


def segments(file: bytes | bytearray) -> list[Segment]:
    """The program headers. Raises `ElfError`."""
    if file[:6] != b"\x7fELF\x02\x01":
        raise ElfError("not an ELF file of 64 bits, little endian")
    (start,), (each, count) = struct.unpack_from("<Q", file, 32), struct.unpack_from("<HH", file, 54)
    found = []
    for at in range(start, start + each * count, each):
        kind, _flags, offset, address, _physical, size, _memory, alignment = struct.unpack_from("<IIQQQQQQ", file, at)
        found.append(Segment(at, kind, offset, address, size, alignment))
    return found


def sections(file: bytes | bytearray) -> list[Section]:
    (start,), (each, count) = struct.unpack_from("<Q", file, 40), struct.unpack_from("<HH", file, 58)
    found = []
    for at in range(start, start + each * count, each):
        _name, kind, _flags, _address, offset, size = struct.unpack_from("<IIQQQQ", file, at)
        found.append(Section(at, kind, offset, size))
    return found


def without_run_path(content: bytes, folder: str) -> bytes:
    """The file without the entry that says to look for libraries in `folder` or below. Raises `ElfError`.

    The text of the path goes too, unless a name in use is a part of it.
    """
    file = bytearray(content)
    where = next((each for each in segments(file) if each.kind == DYNAMIC), None)
    if where is None:
        return content
    entries = [struct.unpack_from("<QQ", file, at) for at in range(where.offset, where.offset + where.size, 16)]
    values = dict(entries)
    text = _file_offset(file, values[STRINGS])
    kept = []
    for tag, value in entries:
        if tag in (RPATH, RUNPATH):
            end = file.index(0, text + value)
            if file[text + value : end].decode("utf-8", "replace").startswith(folder):
                used = _names_in_use(file, entries)
                if used is not None and not any(value <= name <= end - text for name in used):
                    file[text + value : end] = bytes(end - text - value)
                continue
        kept.append((tag, value))
    # The rest of the table is DT_NULL, which ends it.
    kept += [(0, 0)] * (len(entries) - len(kept))
    for number, entry in enumerate(kept):
        struct.pack_into("<QQ", file, where.offset + 16 * number, *entry)
    return bytes(file)


def _file_offset(file: bytes | bytearray, address: int) -> int:
    for each in segments(file):
        if each.kind == LOADED and each.address <= address < each.address + each.size:
            return each.offset + address - each.address
    raise ElfError(f"nothing is loaded at {address:#x}")


def _names_in_use(file: bytes | bytearray, entries: list[tuple[int, int]]) -> set[int] | None:
    """Where the names of symbols, libraries and versions begin in the table of strings; None when not all are known."""
    used = {value for tag, value in entries if tag in (NAMED_LIBRARY, LIBRARY_NAME)}
    for each in sections(file):
        if each.kind == SECTION_SYMBOLS:
            for at in range(each.offset, each.offset + each.size, SYMBOL.size):
                used.add(SYMBOL.unpack_from(file, at)[0])
    values = dict(entries)
    if VERSIONS_DEFINED in values:
        return None
    if VERSIONS_NEEDED in values:
        at = _file_offset(file, values[VERSIONS_NEEDED])
        while True:
            _version, count, name, first, following = struct.unpack_from("<HHIII", file, at)
            used.add(name)
            part = at + first
            for _each in range(count):
                _hash, _flags, _other, name, next_part = struct.unpack_from("<IHHII", file, part)
                used.add(name)
                part += next_part
            if not following:
                break
            at += following
    return used


def constant(content: bytes, name_start: str) -> tuple[int, bytes]:
    """The only symbol whose name starts so: where its header is in the file, and its bytes. Raises `ElfError`."""
    for each in sections(content):
        if each.kind != SECTION_SYMBOLS:
            continue
        dynamic = next(found for found in segments(content) if found.kind == DYNAMIC)
        values = dict(struct.iter_unpack("<QQ", content[dynamic.offset : dynamic.offset + dynamic.size]))
        text = _file_offset(content, values[STRINGS])
        for at in range(each.offset, each.offset + each.size, SYMBOL.size):
            name, _info, _other, _section, address, size = SYMBOL.unpack_from(content, at)
            if content.startswith(name_start.encode(), text + name):
                start = _file_offset(content, address)
                return at, content[start : start + size]
    raise ElfError(f"no symbol {name_start}…")


def with_smaller_constant(content: bytes, name_start: str, smaller: bytes) -> bytes:
    """The file with `smaller` in place of a constant that ends its segment. Raises `ElfError`.

    The file loses whole pages; what is left of the last one is zero.
    """
    at, _data = constant(content, name_start)
    name, info, other, section, address, size = SYMBOL.unpack_from(content, at)
    start = _file_offset(content, address)
    held = next(
        each for each in segments(content) if each.kind == LOADED and each.offset <= start < each.offset + each.size
    )
    if held.offset + held.size != start + size:
        raise ElfError(f"{name_start}… is not the end of its segment")
    page = max(each.alignment for each in segments(content) if each.kind == LOADED)
    gone = (size - len(smaller)) // page * page
    if gone <= 0:
        return content
    file = bytearray(content[:start] + smaller.ljust(size - gone, b"\0") + content[start + size :])
    for segment in segments(content):
        if segment.at == held.at:
            struct.pack_into("<QQ", file, segment.at + 32, segment.size - gone, segment.size - gone)
        elif segment.offset >= start + size:
            struct.pack_into("<Q", file, segment.at + 8, segment.offset - gone)
    (headers,) = struct.unpack_from("<Q", content, 40)
    struct.pack_into("<Q", file, 40, headers - gone)
    for each in sections(content):
        moved = each.at - gone
        if each.offset >= start + size:
            struct.pack_into("<Q", file, moved + 24, each.offset - gone)
        elif each.offset <= start < each.offset + each.size:
            struct.pack_into("<Q", file, moved + 32, each.size - gone)
    SYMBOL.pack_into(file, at, name, info, other, section, address, size - gone)
    return bytes(file)
