"""The .rpm on a system whose libraries are known to rpm: installed with its dependencies checked, used, and removed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.roots.conftest import on_suite
from tests.packaging.roots.session import InstalledWindow

if TYPE_CHECKING:
    from tests.packaging.roots.root import Root
    from tests.packaging.roots.session import SessionBus

pytestmark = [pytest.mark.packaged, pytest.mark.x11, on_suite("trixie")]

FIND_PROVIDES = "/usr/lib/rpm/find-provides"
DATABASE = "/var/lib/rpm"
SECONDS = 120.0
ICON_THEME = "hicolor-icon-theme"
# A package without files that says what this system has, in rpm's own words for it.
STAND_IN = """
Name: debian-system
Version: 1
Release: 1
Summary: What the libraries of this system provide
License: none
BuildArch: x86_64
AutoReqProv: no
{provides}
%description
Nothing.
%files
"""


class Rpm:
    """This machine's rpm on the root's files and a database there."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self.run("--initdb")

    def run(self, *arguments: str, check: bool = True) -> str:
        place = ("--root", str(self._root.inner), "--dbpath", DATABASE)
        command = self._root.outside("rpm", *place, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr


def provided(root: Root, sonames: set[str]) -> list[str]:
    """What rpm's own generator finds in the system's files of these names."""
    folder = root.folder / "usr" / "lib" / "x86_64-linux-gnu"
    found = [folder / name for name in sonames if (folder / name).exists()]
    # The generator passes links over.
    found = [path.parent / path.readlink() if path.is_symlink() else path for path in found]
    made = subprocess.run(
        [FIND_PROVIDES], input="\n".join(map(str, found)), capture_output=True, text=True, timeout=SECONDS, check=True
    )
    return sorted(set(made.stdout.split("\n")) - {""})


def stand_in(root: Root, sonames: set[str], folder: Path) -> Path:
    names = [*provided(root, sonames), "ca-certificates", ICON_THEME]
    assert root.run("dpkg-query", "--show", "ca-certificates").returncode == 0
    spec = folder / "system.spec"
    spec.write_text(STAND_IN.format(provides="\n".join(f"Provides: {name}" for name in names)), "utf-8")
    command = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {folder}", "--target", "x86_64", str(spec)]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    (made,) = folder.glob("RPMS/*/*.rpm")
    return made


def test_rpm_installs_it_on_a_system_that_has_its_libraries_and_leaves_nothing_when_it_is_erased(
    root: Root, bus: SessionBus, packages: Mapping[str, Path], tmp_path: Path
) -> None:
    root.run("dpkg", "--purge", "burrow")
    before = root.files()
    rpm = Rpm(root)
    package = shutil.copy(packages["rpm"], root.shared)
    refused = rpm.run("-i", str(package), check=False)
    needed = set(re.findall(r"(\S+) is needed by burrow", refused))
    sonames = {name.partition("(")[0] for name in needed if ".so" in name}
    assert {"libc.so.6", "libxcb-cursor.so.0"} <= sonames
    assert not (root.folder / "opt/burrow").exists()

    rpm.run("-i", str(shutil.copy(stand_in(root, sonames, tmp_path), root.shared)))
    rpm.run("-i", str(package))
    assert rpm.run("-V", "burrow") == ""
    assert rpm.run("-q", "--whatprovides", "/usr/bin/burrow").startswith("burrow-")
    with InstalledWindow(root, bus, "--workspace") as window:
        window.find(re.compile(r"HED-\d+"), "cell")
        window.create_task("Made from an rpm")
        assert window.quit() == 0

    rpm.run("-e", "burrow")
    after = root.files()
    left = {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)}
    left = {name for name in left - {"opt"} if not name.startswith(("home/person/", "var/lib/rpm"))}
    # Of rpm's distributions, `filesystem` and the icon theme have these folders.
    assert {name for name in left if not (root.folder / name).is_dir()} == set()
    assert {name for name in left if "burrow" in name or not name.startswith("usr/share/")} == set()
