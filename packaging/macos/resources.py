"""What Burrow's application bundle for macOS carries: icon, Info.plist and the entitlements of the hardened runtime."""

from __future__ import annotations

import re
import struct
from importlib import metadata
from typing import Any

import drawn_icon
import version

# Types of the members of an .icns file that hold a PNG, with the picture's side in pixels. For 16 and 32 points at one
# pixel a point macOS scales the next ones down: their own types hold a PNG on some systems only.
ICON_MEMBERS = {
    b"ic11": 32,
    b"ic12": 64,
    b"ic07": 128,
    b"ic13": 256,
    b"ic08": 256,
    b"ic14": 512,
    b"ic09": 512,
    b"ic10": 1024,
}
# An icon's body takes 824 of 1024 (https://developer.apple.com/design/human-interface-guidelines/app-icons); ours
# leaves 2 of 64 on each side itself.
DRAWN_PART = (824 / 1024) / (60 / 64)

# https://developer.apple.com/documentation/security/hardened-runtime. The one exception that CPython needs: libffi,
# which ctypes stands on, writes the code of callbacks into memory. Libraries of others stay refused, because all in the
# bundle carry our signature.
ENTITLEMENTS = {"com.apple.security.cs.allow-unsigned-executable-memory": True}

CATEGORY = "public.app-category.developer-tools"


def icon() -> bytes:
    """An .icns file."""
    pictures = {side: drawn_icon.png(drawn_icon.drawn(side, DRAWN_PART)) for side in set(ICON_MEMBERS.values())}
    members = [
        kind + struct.pack(">I", len(pictures[side]) + 8) + pictures[side] for kind, side in ICON_MEMBERS.items()
    ]
    body = b"".join(members)
    return b"icns" + struct.pack(">I", len(body) + 8) + body


def minimum_system(tags: str) -> str:
    """The oldest macOS that a wheel says it runs on (the text of its WHEEL file). Raises `ValueError`.

    Of several platforms in a wheel the newest counts, because the bundle has them all.
    """
    found = re.findall(r"^Tag: .*-macosx_(\d+)_(\d+)_", tags, re.MULTILINE)
    if not found:
        raise ValueError("the wheel is not for macOS")
    major, minor = max((int(major), int(minor)) for major, minor in found)
    return f"{major}.{minor}"


def qt_minimum_system() -> str:
    """The oldest macOS that the installed PySide6 runs on."""
    return minimum_system(metadata.distribution("PySide6_Essentials").read_text("WHEEL") or "")


def info_plist(release: str, system: str) -> dict[str, Any]:
    """Burrow's own keys of Info.plist. PyInstaller adds the executable, the icon and the identifier.

    `release` is Burrow's version, `system` the oldest macOS. The keys:
    https://developer.apple.com/documentation/bundleresources/information-property-list
    """
    numbers = ".".join(map(str, version.three_parts(release)))
    return {
        "CFBundleName": version.NAME,
        "CFBundleDisplayName": version.NAME,
        "CFBundleShortVersionString": numbers,
        "CFBundleVersion": numbers,
        "CFBundleDevelopmentRegion": "en",
        "CFBundleURLTypes": [
            {
                "CFBundleURLName": version.BUNDLE_ID,
                "CFBundleTypeRole": "Viewer",
                "CFBundleURLSchemes": [version.SCHEME],
            }
        ],
        "LSMinimumSystemVersion": system,
        "LSApplicationCategoryType": CATEGORY,
        # A tool with a console would be one without a window to PyInstaller.
        "LSBackgroundOnly": False,
        "NSHighResolutionCapable": True,
        "NSHumanReadableCopyright": version.copyright_line(),
        "NSPrincipalClass": "NSApplication",
        "NSRequiresAquaSystemAppearance": False,
        "NSSupportsAutomaticGraphicsSwitching": True,
        "NSLocalNetworkUsageDescription": "Burrow connects to the MCP servers on your network that you add.",
    }
