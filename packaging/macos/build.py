"""Completes the application bundle for macOS (`finish`), and makes the disk image of it (`build`).

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
from trim import level, trim
from updates.trust import write_trust

from macos.signing import DeveloperId, Notary, run, seal

if TYPE_CHECKING:
    import argparse

IMAGE_SECONDS = 600.0
BUNDLE = "Burrow.app"


class CannotBuild(Exception):
    """The image cannot be made; the text says why."""


def bundle_of(folder: Path) -> Path:
    """The bundle that PyInstaller makes of its `folder`, beside it."""
    return folder.parent / BUNDLE


def finish(folder: Path, seconds: int) -> Path:
    """Trim the bundle as the folder was, give it the folder's texts, and seal it; all files get the time `seconds`.

    Raises `ValueError` when a tool is missing, and `CalledProcessError` when one fails.
    """
    bundle = bundle_of(folder)
    trim(bundle)
    add_texts(folder, bundle / "Contents" / "Resources")
    seal(bundle)
    level(bundle, seconds, programs=bundle / "Contents" / "MacOS")
    return bundle


def build(folder: Path, output: Path, signing: DeveloperId | None = None) -> Path:
    """The disk image below `output`, of the finished bundle beside PyInstaller's `folder`.

    Raises `CannotBuild`, `ValueError` when a tool is missing, and `CalledProcessError` when one fails.
    """
    bundle = bundle_of(folder)
    if not (bundle / "Contents" / "Info.plist").is_file():
        raise CannotBuild(f"{bundle} is no application bundle as built on macOS")
    output.mkdir(parents=True, exist_ok=True)
    image = output / f"Burrow-{version.version()}-macos-{platform.machine()}.dmg"
    with tempfile.TemporaryDirectory(prefix="burrow-macos-") as scratch:
        content = Path(scratch) / "Burrow"
        staged = content / BUNDLE
        shutil.copytree(bundle, staged, symlinks=True)
        say_installed(staged / "Contents" / "Resources")
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


def add_texts(folder: Path, resources: Path) -> None:
    """Copy the licences, the bill of materials and other texts of the folder.

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


def say_installed(resources: Path) -> None:
    """Say how this Burrow was installed, and who updates it."""
    (resources / "installation.json").write_text(json.dumps({"kind": "macos"}) + "\n", encoding="utf-8")
    write_trust(resources)


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
