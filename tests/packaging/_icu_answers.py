"""What Qt and its ICU answer to everything that Burrow's copy of ICU's data is for, as JSON. Run it as a script."""

import ctypes
import functools
import json
import sys
from pathlib import Path

import PySide6
from PySide6.QtCore import QCollator, QLocale, QStringDecoder, QTimeZone

LOCALES = (
    *("C", "de_DE", "sv_SE", "es_ES", "cs_CZ", "da_DK", "ja_JP", "ko_KR", "zh_CN", "zh_TW", "ar_EG", "fa_IR"),
    *("bn_BD", "mr_IN", "ur_IN", "pt_BR"),
)
WORDS = (
    *("z", "ä", "a", "é", "E", "ñ", "n", "ö", "o", "ø", "å", "aa", "ch", "c", "h", "š", "s", "ž", "あ", "い", "漢"),
    *("中", "가", "나", "ب", "ا", "1", "10", "2"),
)
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Africa/Cairo")
# Names and labels of the WHATWG Encoding Standard; ICU 73 has no iso-8859-16.
ENCODINGS = (
    *("ibm866", "iso-8859-1", "iso-8859-2", "iso-8859-3", "iso-8859-4", "iso-8859-5", "iso-8859-6", "iso-8859-7"),
    *("iso-8859-8", "iso-8859-9", "iso-8859-10", "iso-8859-11", "iso-8859-13", "iso-8859-14", "iso-8859-15"),
    *("koi8-r", "koi8-u", "macintosh", "windows-874", "windows-1250", "windows-1251", "windows-1252"),
    *("windows-1253", "windows-1254", "windows-1255", "windows-1256", "windows-1257", "windows-1258"),
    *("x-mac-cyrillic", "gbk", "gb2312", "gb18030", "big5", "big5-hkscs", "euc-jp", "iso-2022-jp", "shift_jis"),
    *("windows-31j", "euc-kr", "ks_c_5601-1987", "korean", "tis-620", "us-ascii"),
)
BYTES = bytes(range(32, 256)) + b"".join(start + b"0!3l!!\x1b(B" for start in (b"\x1b$B", b"\x1b$@", b"\x1b(J"))


def ordered(name: str) -> list[str]:
    collator = QCollator(QLocale(name))
    collator.setNumericMode(True)
    return sorted(WORDS, key=functools.cmp_to_key(collator.compare))


def zone_names(name: str) -> list[str]:
    kinds, locale = QTimeZone.TimeType, QLocale(name)
    lengths = QTimeZone.NameType
    return [
        QTimeZone(zone.encode()).displayName(kind, length, locale)
        for zone in ZONES
        for kind in (kinds.StandardTime, kinds.DaylightTime)
        for length in (lengths.LongName, lengths.ShortName, lengths.OffsetName)
    ]


def decoded(encoding: str) -> str:
    """What ICU makes of the bytes: QStringDecoder does not give its result to Python."""
    library = ctypes.CDLL(str(next((Path(PySide6.__file__).parent / "Qt" / "lib").glob("libicuuc.so.*"))))
    version = next((Path(PySide6.__file__).parent / "Qt" / "lib").glob("libicuuc.so.*")).suffix[1:]
    opened, status = getattr(library, f"ucnv_open_{version}"), ctypes.c_int(0)
    opened.restype = ctypes.c_void_p
    converter = ctypes.c_void_p(opened(encoding.encode(), ctypes.byref(status)))
    if status.value > 0:
        return f"failed with {status.value}"
    text = ctypes.create_string_buffer(4096)
    read = getattr(library, f"ucnv_toUChars_{version}")
    length = read(converter, text, 2048, BYTES, len(BYTES), ctypes.byref(status))
    return text.raw[: 2 * length].decode("utf-16-le", "backslashreplace")


json.dump(
    {
        "order": {name: ordered(name) for name in LOCALES},
        "zones": {name: zone_names(name) for name in LOCALES},
        "known": {encoding: QStringDecoder(encoding).isValid() for encoding in ENCODINGS},
        "decoded": {encoding: decoded(encoding) for encoding in ENCODINGS},
    },
    sys.stdout,
)
