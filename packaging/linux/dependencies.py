"""What the packages ask of the system: each library by its soname, for rpm, and by its Debian package.

Qt's wheel brings Qt. The C and C++ runtimes, GL, X11, Wayland, GLib, D-Bus and the fonts must match the system's
display and drivers, so they are the system's. A build refuses a bundle that needs a library which is not in this table.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# The Debian package of each soname. Debian 13 and Ubuntu 24.04 renamed GLib for the 64-bit time transition.
DEBIAN_PACKAGES = {
    "ld-linux-x86-64.so.2": "libc6",
    "ld-linux-aarch64.so.1": "libc6",
    "libc.so.6": "libc6",
    "libdl.so.2": "libc6",
    "libm.so.6": "libc6",
    "libpthread.so.0": "libc6",
    "librt.so.1": "libc6",
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libX11.so.6": "libx11-6",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libgcc_s.so.1": "libgcc-s1",
    "libglib-2.0.so.0": "libglib2.0-0t64 | libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0t64 | libglib2.0-0",
    "libstdc++.so.6": "libstdc++6",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb.so.1": "libxcb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libzstd.so.1": "libzstd1",
}
# libstdc++6 of the first GCC whose library has this symbol version
# (https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html).
GCC_OF = {"3.4.29": "11", "3.4.30": "12", "3.4.31": "13.1", "3.4.32": "13.2", "3.4.33": "14"}
# Certificates of servers, which the bundled OpenSSL reads from the system.
ALSO_DEPENDS = ("ca-certificates",)
# A keeper of passwords (Secret Service), the browser and the handler of links, what runs work with, and a font.
RECOMMENDS = (
    "gnome-keyring | kwalletmanager | keepassxc",
    "xdg-utils",
    "git",
    "fonts-dejavu-core | fonts-noto-core | fonts-liberation",
)
RPM_RECOMMENDS = ("(gnome-keyring or kwalletmanager5 or keepassxc)", "xdg-utils", "git")
RPM_ALSO_REQUIRES = ("ca-certificates",)


class UnknownLibraries(Exception):
    """The bundle needs libraries that no package in the table provides; the message names them."""


@dataclass(frozen=True, slots=True)
class Libraries:
    """`needed`: the sonames that the bundle takes from the system; `versions`: the newest symbol version by family."""

    needed: frozenset[str]
    versions: dict[str, str]

    def debian(self) -> list[str]:
        """The `Depends:` field. Raises `UnknownLibraries`."""
        self._check()
        least = {"libc6": f"libc6 (>= {self.versions['GLIBC']})"}
        if "GLIBCXX" in self.versions:
            least["libstdc++6"] = f"libstdc++6 (>= {GCC_OF.get(self.versions['GLIBCXX'], '11')})"
        packages = {DEBIAN_PACKAGES[soname] for soname in self.needed}
        return sorted([least.get(package, package) for package in packages] + list(ALSO_DEPENDS))

    def rpm(self) -> list[str]:
        """The `Requires:` of every distribution that packs 64-bit libraries by soname. Raises `UnknownLibraries`."""
        self._check()
        marked = [f"{soname}()(64bit)" for soname in self.needed if not soname.startswith("ld-linux")]
        marked.append(f"libc.so.6(GLIBC_{self.versions['GLIBC']})(64bit)")
        if "GLIBCXX" in self.versions:
            marked.append(f"libstdc++.so.6(GLIBCXX_{self.versions['GLIBCXX']})(64bit)")
        return sorted(marked + list(RPM_ALSO_REQUIRES))

    def _check(self) -> None:
        unknown = sorted(self.needed - DEBIAN_PACKAGES.keys())
        if unknown:
            raise UnknownLibraries(f"No package is known for: {', '.join(unknown)} (packaging/linux/dependencies.py)")


def system_libraries(application: Path) -> Libraries:
    """What the ELF files of the application's folder need that is not in it, by `readelf` of binutils."""
    files = [path for path in sorted(application.rglob("*")) if _is_elf(path)]
    own = {path.name for path in files}
    needed: set[str] = set()
    versions: dict[str, tuple[int, ...]] = {}
    for text in _readelf(files):
        needed.update(re.findall(r"\(NEEDED\).*\[(.+)\]", text))
        for family, number in re.findall(r"\b(GLIBC|GLIBCXX)_([0-9.]+)\b", text):
            versions[family] = max(versions.get(family, ()), tuple(map(int, number.split("."))))
    newest = {family: ".".join(map(str, number)) for family, number in versions.items()}
    return Libraries(frozenset(needed - own), newest)


def _readelf(files: Iterable[Path]) -> Iterable[str]:
    command = ["readelf", "--wide", "--dynamic", "--version-info", *map(str, files)]
    yield subprocess.run(command, capture_output=True, text=True, check=True, env={"LC_ALL": "C"}).stdout


def _is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
