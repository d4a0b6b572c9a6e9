"""Makes the disk image for macOS from the application bundle: `build(bundle, output, signing)`.

One image for each processor. PySide6's libraries are universal, but other packages have a wheel for each processor, and
a universal application would hold both.
"""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import version

from macos.signing import DeveloperId, Notary, run, seal

if TYPE_CHECKING:
    import argparse

IMAGE_SECONDS = 600.0
BUNDLE = "Burrow.app"


class CannotBuild(Exception):
    """The image cannot be made; the text says why."""


def build(folder: Path, output: Path, signing: DeveloperId | None = None) -> Path:
    """The disk image below `output`, of the bundle beside PyInstaller's `folder`, and of the texts in that.

    Raises `CannotBuild`, `ValueError` when a tool is missing, and `CalledProcessError` when one fails.
    """
    bundle = folder.parent / BUNDLE
    if not (bundle / "Contents" / "Info.plist").is_file():
        raise CannotBuild(f"{bundle} is no application bundle as built on macOS")
    output.mkdir(parents=True, exist_ok=True)
    image = output / f"Burrow-{version.version()}-macos-{platform.machine()}.dmg"
    with tempfile.TemporaryDirectory(prefix="burrow-macos-") as scratch:
        content = Path(scratch) / "Burrow"
        staged = content / BUNDLE
        shutil.copytree(bundle, staged, symlinks=True)
        add_resources(folder, staged / "Contents" / "Resources")
        if signing is None:
            seal(staged)
        else:
            signing.sign_bundle(staged)
            signing.notarize(staged)
        (content / "Applications").symlink_to("/Applications")
        command = ["hdiutil", "create", "-volname", version.NAME, "-srcfolder", str(content), "-fs", "HFS+"]
        run([*command, "-format", "ULFO", "-ov", str(image)], IMAGE_SECONDS)
    if signing is not None:
        signing.sign_image(image)
        signing.notarize(image)
    return image


def add_resources(folder: Path, resources: Path) -> None:
    """Copy the licences and other texts of the folder, and say how this Burrow was installed.

    Not beside the executable: codesign takes everything there for a program.
    """
    resources.mkdir(exist_ok=True)
    for path in sorted(folder.iterdir()):
        if path.name in {"_internal", "burrow"}:
            continue
        if path.is_dir():
            shutil.copytree(path, resources / path.name, dirs_exist_ok=True)
        else:
            shutil.copy(path, resources / path.name)
    (resources / "installation.json").write_text(json.dumps({"kind": "macos"}) + "\n", encoding="utf-8")


def signing_from(asked: argparse.Namespace) -> DeveloperId | None:
    """The signing that the options ask for; None without an identity. Raises `ValueError`."""
    wants_notary = asked.notary_profile or asked.notary_key
    if not asked.sign_identity:
        if wants_notary:
            raise ValueError("Apple notarizes only what is signed: give --sign-identity too")
        return None
    notary = (
        Notary(asked.notary_profile, asked.notary_key, asked.notary_key_id, asked.notary_issuer)
        if wants_notary
        else None
    )
    return DeveloperId(asked.sign_identity, notary)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `dev.py package` on macOS."""
    group = parser.add_argument_group("signing and notarization")
    group.add_argument("--sign-identity", default="", help='such as "Developer ID Application: NAME (TEAM)"')
    group.add_argument("--notary-profile", default="", help="a profile that notarytool stored in the keychain")
    group.add_argument("--notary-key", type=Path, help="a key of App Store Connect (.p8) instead of a profile")
    group.add_argument("--notary-key-id", default="", help="the id of that key")
    group.add_argument("--notary-issuer", default="", help="the issuer of that key")
