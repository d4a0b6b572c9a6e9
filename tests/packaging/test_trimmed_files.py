"""The changes to libraries of the frozen application, on files made for it: what they keep, and what they refuse."""

from __future__ import annotations

import runpy
import struct
import subprocess
import sys
from pathlib import Path

import PySide6
import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
ICU = runpy.run_path(str(PACKAGING / "icu_data.py"))
ELF = runpy.run_path(str(PACKAGING / "elf.py"))
PATHS = ("(RPATH)", "(RUNPATH)")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="an ELF file")


def package(items: dict[str, bytes]) -> bytes:
    """A package of ICU's data with the smallest header."""
    names, table, place = b"", b"", 0
    texts = 4 + 8 * len(items)
    start = texts + sum(len(name) + 1 for name in items)
    for name, content in items.items():
        table += struct.pack("<II", texts + len(names), start + place)
        names += name.encode() + b"\0"
        place += len(content)
    header = struct.pack("<HHHHBBBB4s4s", 32, 0x27DA, 20, 0, 0, 0, 2, 0, b"CmnD", b"\1\0\0\0").ljust(32, b"\0")
    return header + struct.pack("<I", len(items)) + table + names + b"".join(items.values())


def test_what_qt_asks_icu_for_is_kept_in_its_order_and_the_rest_is_not() -> None:
    kept = {
        "icudt73l/ar.res": b"digits",
        "icudt73l/cnvalias.icu": b"names of converters",
        "icudt73l/coll/de.res": b"an order",
        "icudt73l/ibm-1168_P100-2002.cnv": b"koi8-u",
        "icudt73l/metaZones.res": b"zones",
        "icudt73l/zone/de.res": b"names of zones",
    }
    dropped = {
        "icudt73l/brkitr/thaidict.dict": b"words",
        "icudt73l/curr/de.res": b"currencies",
        "icudt73l/de.res": b"formats",
        "icudt73l/ibm-116_P100-1995.cnv": b"no name of the standard",
        "icudt73l/unames.icu": b"names of characters",
    }
    smaller = ICU["smaller"](package(dict(sorted({**kept, **dropped}.items()))))
    found = {name: content.rstrip(b"\0") for name, content in ICU["items"](smaller)}
    assert list(found.items()) == list(kept.items())


def test_other_data_is_refused() -> None:
    with pytest.raises(ICU["IcuDataError"]):
        ICU["smaller"](b"\0" * 64)
    with pytest.raises(ICU["IcuDataError"]):
        ICU["smaller"](package({}).replace(b"CmnD", b"ToCP"))


def test_a_file_that_is_no_elf_file_is_refused() -> None:
    with pytest.raises(ELF["ElfError"]):
        ELF["without_run_path"](b"\xcf\xfa\xed\xfe" + bytes(100), "/usr")
    with pytest.raises(ELF["ElfError"]):
        ELF["constant"](b"", "icudt")


@LINUX
def test_a_run_path_goes_only_when_it_begins_as_told_and_nothing_else_changes(tmp_path: Path) -> None:
    library = Path(PySide6.__file__).parent / "QtDBus.abi3.so"

    def entries(file: Path) -> list[list[str]]:
        listed = subprocess.run(["readelf", "-d", str(file)], capture_output=True, text=True, check=True).stdout
        table = [line.split()[1:] for line in listed.splitlines() if line.startswith(" 0x")]
        return [entry for entry in table if entry[0] != "(NULL)"]

    before = entries(library)
    (path,) = (entry[-1].strip("[]") for entry in before if entry[0] in PATHS)
    content = library.read_bytes()
    assert path.encode() in content
    assert ELF["without_run_path"](content, "/nowhere") == content
    changed = tmp_path / "changed.so"
    changed.write_bytes(ELF["without_run_path"](content, path))
    assert entries(changed) == [entry for entry in before if entry[0] not in PATHS]
    assert path.encode() not in changed.read_bytes()
    assert changed.stat().st_size == len(content)
