"""Makes the installer for Windows from the one-folder application: `build(folder, output, signing)`.

NSIS (https://nsis.sourceforge.io) makes it, because the same compiler runs on Windows and on Linux: what is tested on
one is what ships from the other. Signing is a parameter; without it nothing is signed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import version
from updates.trust import write_trust

from windows import layout, resources
from windows.signing import Authenticode, on_windows

if TYPE_CHECKING:
    import argparse

HERE = Path(__file__).resolve().parent
SECONDS = 600.0
# Where NSIS' own installer puts the compiler, which it does not add to the PATH.
USUAL_PLACES = (r"C:\Program Files (x86)\NSIS\makensis.exe", r"C:\Program Files\NSIS\makensis.exe")
# PyInstaller names every executable .exe. In a shell `burrow` finds .com before .exe (PATHEXT), so the shell gets the
# one with a console, and shortcuts and links get the one without.
CONSOLE_AS_BUILT, CONSOLE = "burrowc.exe", "burrow.com"
WINDOW = "burrow.exe"


class CannotBuild(Exception):
    """The installer cannot be made; the text says why and what to do."""


def build(folder: Path, output: Path, signing: Authenticode | None = None, *, target: str = "") -> Path:
    """The installer below `output`, made from a copy of the application's folder.

    `target` is NSIS' own (`amd64-unicode`), for tests. Raises `CannotBuild`, and `CalledProcessError` when a tool
    fails.
    """
    if not (folder / WINDOW).is_file():
        raise CannotBuild(f"{folder} has no {WINDOW}: it is not the application's folder as built on Windows")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="burrow-windows-") as scratch:
        work = Path(scratch)
        staged = stage(folder, work / "Burrow")
        for name in (WINDOW, CONSOLE):
            if signing is not None and (staged / name).exists():
                signing.sign(staged / name)
        installer = output / f"Burrow-{version.version()}-windows-x64-setup.exe"
        subprocess.run(
            makensis(staged, work, installer, signing, target),
            cwd=HERE,
            env=_environment(),
            check=True,
            timeout=SECONDS,
        )
        if signing is not None:
            signing.sign(installer)
    return installer


def stage(folder: Path, staged: Path) -> Path:
    """A copy of the folder with its final names, `installation.json` and source of updates. Raises `CannotBuild`."""
    shutil.copytree(folder, staged)
    if (staged / CONSOLE_AS_BUILT).exists():
        (staged / CONSOLE_AS_BUILT).rename(staged / CONSOLE)
    (staged / "installation.json").write_text(json.dumps({"kind": "windows"}) + "\n", encoding="utf-8")
    write_trust(staged)
    found = layout.troubles(layout.files_of(staged))
    if found:
        raise CannotBuild("Windows cannot hold these files:\n  " + "\n  ".join(found))
    return staged


def makensis(staged: Path, work: Path, installer: Path, signing: Authenticode | None, target: str = "") -> list[str]:
    """The command that compiles the installer; writes what it reads into `work`. Raises `CannotBuild`."""
    lists, icon, licence = work / "files.nsh", work / "burrow.ico", work / "licence.txt"
    # NSIS reads UTF-8 by its byte order mark.
    lists.write_text(layout.file_lists(staged), encoding="utf-8-sig")
    icon.write_bytes(resources.icon())
    licence.write_text((version.ROOT / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8-sig", newline="\r\n")
    size = sum((staged / path).stat().st_size for path in layout.files_of(staged))
    release = version.version()
    defined = {
        "VERSION": release,
        "FOUR_PART": ".".join(map(str, (*version.three_parts(release), 0))),
        "PUBLISHER": version.holder(),
        "COPYRIGHT": version.copyright_line(),
        "ICON": str(icon),
        "LICENCE": str(licence),
        "FILES": str(lists),
        "OUTPUT": str(installer),
        "KIB": str((size + 1023) // 1024),
    }
    if signing is not None:
        defined["SIGN"] = signing.shell_line("%1")
    if target:
        defined["TARGET"] = target
    option = "/" if on_windows() else "-"
    command = [compiler(), f"{option}V2", f"{option}INPUTCHARSET", "UTF8"]
    # A warning of the compiler that the tests run is a mistake; another version's must not stop a release.
    command += [] if on_windows() else [f"{option}WX"]
    return [*command, *(f"{option}D{name}={value}" for name, value in defined.items()), str(HERE / "installer.nsi")]


def compiler() -> str:
    """The path of makensis. Raises `CannotBuild`."""
    found = shutil.which("makensis") or next((place for place in USUAL_PLACES if Path(place).is_file()), None)
    if found is None:
        raise CannotBuild("makensis is missing: install NSIS 3.08 or later (Windows: winget install NSIS.NSIS)")
    return found


def _environment() -> dict[str, str]:
    return os.environ | {"SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or "315532800"}


def signing_from(asked: argparse.Namespace) -> Authenticode | None:
    """The signing that the options ask for; None without any."""
    given = (asked.sign_thumbprint, asked.sign_pfx, asked.sign_library)
    if not any(given):
        return None
    return Authenticode(
        asked.sign_thumbprint, asked.sign_pfx, asked.sign_password, asked.sign_library, asked.sign_metadata
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `dev.py package` on Windows."""
    group = parser.add_argument_group("signing (Authenticode)")
    group.add_argument("--sign-thumbprint", default="", help="SHA-1 of a certificate in the store")
    group.add_argument("--sign-pfx", type=Path, help="a PKCS #12 file with the certificate and its key")
    group.add_argument("--sign-password", type=Path, help="a file with the password of the PKCS #12 file")
    group.add_argument("--sign-library", type=Path, help="signtool's /dlib, of a service that signs")
    group.add_argument("--sign-metadata", type=Path, help="signtool's /dmdf, for that service")
