"""What Burrow's executables for Windows carry: icon, version resource and application manifest."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import drawn_icon
import version

if TYPE_CHECKING:
    from PySide6.QtGui import QImage

# What Explorer, the task bar and the title bar ask for from 100 % to 400 %.
ICON_SIZES = (16, 20, 24, 32, 40, 48, 64, 96, 128, 256)
# Windows reads a PNG in an icon for this size since Vista; for smaller ones not every program does.
PNG_FROM = 256

# https://learn.microsoft.com/windows/win32/sbscs/application-manifests
# The system's libraries take UTF-8 (activeCodePage), so that a path with any letters reaches the C code of Python's
# packages. PyInstaller adds the common controls.
MANIFEST = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
  <trustInfo xmlns="urn:schemas-microsoft-com:asm.v3">
    <security>
      <requestedPrivileges>
        <requestedExecutionLevel level="asInvoker" uiAccess="false"/>
      </requestedPrivileges>
    </security>
  </trustInfo>
  <compatibility xmlns="urn:schemas-microsoft-com:compatibility.v1">
    <application>
      <supportedOS Id="{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}"/>
    </application>
  </compatibility>
  <application xmlns="urn:schemas-microsoft-com:asm.v3">
    <windowsSettings>
      <dpiAware xmlns="http://schemas.microsoft.com/SMI/2005/WindowsSettings">true/pm</dpiAware>
      <dpiAwareness xmlns="http://schemas.microsoft.com/SMI/2016/WindowsSettings">PerMonitorV2,PerMonitor</dpiAwareness>
      <longPathAware xmlns="http://schemas.microsoft.com/SMI/2016/WindowsSettings">true</longPathAware>
      <activeCodePage xmlns="http://schemas.microsoft.com/SMI/2019/WindowsSettings">UTF-8</activeCodePage>
    </windowsSettings>
  </application>
</assembly>
"""

# The text that PyInstaller evaluates (VSVersionInfo); 1033 is English, 1200 is Unicode.
VERSION_INFO = """\
VSVersionInfo(
  ffi=FixedFileInfo(
    filevers={parts},
    prodvers={parts},
    mask=0x3f,
    flags={flags},
    OS=0x40004,
    fileType=0x1,
    subtype=0x0,
    date=(0, 0),
  ),
  kids=[
    StringFileInfo([StringTable("040904B0", [
{strings}
    ])]),
    VarFileInfo([VarStruct("Translation", [1033, 1200])]),
  ],
)
"""
VS_FF_PRERELEASE = 0x2


def version_info(file: str, description: str, release: str) -> str:
    """The version resource of one executable. Raises `ValueError` for a version that Windows cannot hold."""
    three = version.three_parts(release)
    strings = {
        "CompanyName": version.holder(),
        "FileDescription": description,
        "FileVersion": release,
        "InternalName": Path(file).stem,
        "LegalCopyright": version.copyright_line(),
        "OriginalFilename": file,
        "ProductName": version.NAME,
        "ProductVersion": release,
    }
    rows = (f"      StringStruct({name!r}, {value!r})," for name, value in strings.items())
    final = release == ".".join(map(str, three))
    return VERSION_INFO.format(parts=(*three, 0), flags=0 if final else VS_FF_PRERELEASE, strings="\n".join(rows))


def icon(sizes: tuple[int, ...] = ICON_SIZES) -> bytes:
    """An .ico file of these sizes, at most 256 pixels each."""
    images = [_member(drawn_icon.drawn(size)) for size in sizes]
    offset = 6 + 16 * len(images)
    directory = struct.pack("<HHH", 0, 1, len(images))
    for size, image in zip(sizes, images, strict=True):
        # A byte for each side, where 0 means 256.
        directory += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(image), offset)
        offset += len(image)
    return directory + b"".join(images)


def _member(image: QImage) -> bytes:
    """One picture of an icon: a bitmap with its mask, or a PNG where it is large."""
    size = image.width()
    if size >= PNG_FROM:
        return drawn_icon.png(image)
    pixels = bytes(image.constBits())
    rows = [pixels[start : start + size * 4] for start in range(0, len(pixels), size * 4)]
    # BITMAPINFOHEADER: the height counts the mask too, and rows go from the bottom up.
    header = struct.pack("<IiiHHIIiiII", 40, size, size * 2, 1, 32, 0, 0, 0, 0, 0, 0)
    mask_row = (size + 31) // 32 * 4
    # Alpha says what is clear; the mask says it again for what ignores alpha.
    masks = [_mask(row).ljust(mask_row, b"\0") for row in rows]
    return header + b"".join(reversed(rows)) + b"".join(reversed(masks))


def _mask(row: bytes) -> bytes:
    bits = "".join("1" if alpha == 0 else "0" for alpha in row[3::4])
    bits = bits.ljust((len(bits) + 7) // 8 * 8, "0")
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
