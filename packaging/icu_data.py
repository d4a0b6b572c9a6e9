"""Makes Qt's copy of ICU's data as small as what Qt asks ICU for: 32 MB become 10.

Qt has languages, formats, boundaries of words and bidirectional text of its own. It asks ICU for collation
(`QCollator`), names of time zones (`QTimeZone`) and converters of text (`QStringConverter`), hence not for anything
in the other folders, nor for most texts of a locale. All collations and names of time zones stay as they are. Of ICU's
190 converters those stay that the names and labels of the WHATWG Encoding Standard need
(https://encoding.spec.whatwg.org/#names-and-labels).

The data is one constant of `libicudata`: a table of contents in front of the items (`ToC` in ICU's
`common/ucmndata.h`), after the header of `common/unicode/udata.h`
(https://unicode-org.github.io/icu/userguide/icu_data/).
"""

from __future__ import annotations

import re
import struct

FORMAT = b"CmnD"
FOLDERS = ("coll", "zone")
LEFT_OUT = ("unames.icu", "langInfo.res", "units.res", "grammaticalFeatures.res", "confusables.cfu")
KINDS = (".icu", ".nrm", ".res")
LOCALE = re.compile(r"([a-z]{2,3})(_[A-Za-z0-9]+)*\.res")
# These write numbers, hence the offsets of time zones, in digits of their own.
OWN_DIGITS = frozenset(
    (
        *("ar", "as", "az", "bgc", "bho", "bn", "ccp", "ckb", "dz", "fa", "ff", "ks", "lrc", "mni", "mr", "my", "mzn"),
        *("ne", "pa", "ps", "raj", "sa", "sat", "sd", "ur", "uz"),
    )
)
# Without the year and kind in the items' names.
CONVERTERS = frozenset(
    (
        *("euc-jp-2007", "gb18030", "ibm-1089", "ibm-1168", "ibm-1363_P11B-1998", "ibm-1373", "ibm-1375", "ibm-1383"),
        *("ibm-1386", "ibm-5012", "ibm-5346", "ibm-5347", "ibm-5348", "ibm-5349", "ibm-5350", "ibm-5354", "ibm-5478"),
        *("ibm-866", "ibm-878", "ibm-9005", "ibm-912", "ibm-913", "ibm-914", "ibm-915", "ibm-920", "ibm-921"),
        *("ibm-923", "ibm-943_P15A-2003", "ibm-9447", "ibm-9448", "ibm-9449", "ibm-970", "iso-8859_10-1998"),
        *("iso-8859_11-2001", "iso-8859_14-1998", "macos-0_2-10.2", "macos-7_3-10.2"),
        *("windows-874-2000", "windows-936-2000", "windows-949-2000", "windows-950-2000"),
    )
)
ALIGNMENT = 16


class IcuDataError(ValueError):
    """The constant is not a package of ICU's data."""


def kept(name: str) -> bool:
    """Whether Qt can ask for an item; `name` is its path in the package, as `coll/de.res`."""
    folder, _slash, file = name.rpartition("/")
    if folder:
        return folder in FOLDERS
    if file.endswith(".cnv"):
        converter = file.removesuffix(".cnv")
        return converter in CONVERTERS or converter.partition("_P")[0].partition("_X")[0] in CONVERTERS
    locale = LOCALE.fullmatch(file)
    return locale[1] in OWN_DIGITS if locale else file.endswith(KINDS) and file not in LEFT_OUT


def items(package: bytes) -> list[tuple[str, bytes]]:
    """Every item's name and content, in the order of the package. Raises `IcuDataError`."""
    _header_bytes, base = _header(package)
    (count,) = struct.unpack_from("<I", package, base)
    entries = list(struct.iter_unpack("<II", package[base + 4 : base + 4 + 8 * count]))
    ends = [start for _name, start in entries[1:]] + [len(package) - base]
    found = []
    for (name, start), end in zip(entries, ends, strict=True):
        text = package[base + name : package.index(0, base + name)].decode("ascii")
        found.append((text, package[base + start : base + end]))
    return found


def smaller(package: bytes) -> bytes:
    """The package with the items that are `kept`. Raises `IcuDataError`."""
    header, _base = _header(package)
    chosen = [(name, content) for name, content in items(package) if kept(name.partition("/")[2])]
    names = b"".join(name.encode("ascii") + b"\0" for name, _content in chosen)
    table, texts = bytearray(struct.pack("<I", len(chosen))), 4 + 8 * len(chosen)
    place, parts = _aligned(texts + len(names)), []
    for name, content in chosen:
        table += struct.pack("<II", texts, place)
        texts += len(name) + 1
        parts.append(content.ljust(_aligned(len(content)), b"\0"))
        place += len(parts[-1])
    return header + (bytes(table) + names).ljust(_aligned(len(table) + len(names)), b"\0") + b"".join(parts)


def _header(package: bytes) -> tuple[bytes, int]:
    size, magic = struct.unpack_from("<HH", package)
    if magic != 0x27DA or package[12:16] != FORMAT:
        raise IcuDataError("not a package of ICU's data, or one of a big-endian machine")
    return package[:size], size


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
