"""Signatures of the application bundle for macOS, and Apple's notarization of it.

https://developer.apple.com/documentation/security/notarizing-macos-software-before-distribution
"""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from macos.resources import ENTITLEMENTS

# The first bytes of programs and libraries for macOS: one processor (little-endian, 64 bits) or several.
MACH_O = (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
SIGN_SECONDS = 300.0
# Apple answers within minutes, and now and then within an hour.
NOTARY_SECONDS = 5400.0


@dataclass(frozen=True, slots=True)
class Notary:
    """How notarytool signs in: a profile in the keychain, or a key of App Store Connect with its id and issuer."""

    profile: str = ""
    key: Path | None = None
    key_id: str = ""
    issuer: str = ""

    def __post_init__(self) -> None:
        if bool(self.profile) == (self.key is not None):
            raise ValueError("notarization needs a keychain profile or a key file")
        if self.key is not None and not (self.key_id and self.issuer):
            raise ValueError("a key for notarization needs its id and its issuer")

    def options(self) -> list[str]:
        if self.profile:
            return ["--keychain-profile", self.profile]
        return ["--key", str(self.key), "--key-id", self.key_id, "--issuer", self.issuer]


@dataclass(frozen=True, slots=True)
class DeveloperId:
    """`identity` names a certificate of the kind "Developer ID Application" in the keychain."""

    identity: str
    notary: Notary | None = None

    def sign_bundle(self, bundle: Path) -> None:
        """Sign a bundle and everything in it, then check it. Raises `CalledProcessError`, `TimeoutExpired`."""
        with tempfile.TemporaryDirectory() as scratch:
            entitlements = Path(scratch) / "entitlements.plist"
            entitlements.write_bytes(plistlib.dumps(ENTITLEMENTS))
            for part in signing_order(bundle):
                self._codesign(part, *(["--entitlements", str(entitlements)] if part == bundle else []))
        run(["codesign", "--verify", "--deep", "--strict", "--verbose=2", str(bundle)], SIGN_SECONDS)

    def sign_image(self, image: Path) -> None:
        """Sign a disk image."""
        self._codesign(image)

    def notarize(self, file: Path) -> None:
        """Have Apple check a bundle or a signed disk image, and attach the answer to it; nothing without a notary."""
        if self.notary is None:
            return
        with tempfile.TemporaryDirectory() as scratch:
            sent = file
            if file.is_dir():
                sent = Path(scratch) / f"{file.stem}.zip"
                run(["ditto", "-c", "-k", "--keepParent", str(file), str(sent)], SIGN_SECONDS)
            run(["xcrun", "notarytool", "submit", str(sent), *self.notary.options(), "--wait"], NOTARY_SECONDS)
        run(["xcrun", "stapler", "staple", str(file)], SIGN_SECONDS)

    def _codesign(self, file: Path, *options: str) -> None:
        command = ["codesign", "--force", "--timestamp", "--options", "runtime", *options]
        run([*command, "--sign", self.identity, str(file)], SIGN_SECONDS)


def seal(bundle: Path) -> None:
    """Make the signature of no one over the bundle new, which PyInstaller made before our texts came into it.

    With a broken one macOS says that the application is damaged. What is inside keeps its own.
    """
    run(["codesign", "--force", "--sign", "-", str(bundle)], SIGN_SECONDS)


def signing_order(bundle: Path) -> list[Path]:
    """Everything in the bundle that carries its own signature, from the inside out; the bundle itself is last.

    A signature covers those below it, so an outer one made first would be broken by the inner one.
    """
    programs = [path for path in bundle.rglob("*") if _is_program(path)]
    # A framework is signed as a whole, which signs the library in it.
    frameworks = {_framework_version(path) for path in programs} - {None}
    own = bundle / "Contents" / "MacOS" / _executable(bundle)
    singles = [path for path in programs if _framework_version(path) is None and path != own]
    inside = [*singles, *(path for path in frameworks if path is not None)]
    return [*sorted(inside, key=lambda path: (-len(path.parts), path.as_posix())), bundle]


def _executable(bundle: Path) -> str:
    """The name of the program that signing the bundle signs."""
    with (bundle / "Contents" / "Info.plist").open("rb") as file:
        return str(plistlib.load(file)["CFBundleExecutable"])


def _is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in MACH_O


def _framework_version(path: Path) -> Path | None:
    """The `X.framework/Versions/A` whose own library `path` is; None for another file."""
    for parent in path.parents:
        if parent.parent.name == "Versions" and parent.parents[1].suffix == ".framework":
            return parent if path.parent == parent and path.name == parent.parents[1].stem else None
    return None


def run(command: list[str], seconds: float) -> None:
    """Run one of Apple's tools. Raises `CalledProcessError`, `TimeoutExpired`, and `ValueError` when it is missing."""
    if shutil.which(command[0]) is None:
        raise ValueError(f"{command[0]} is missing: it comes with Xcode's command line tools (xcode-select --install)")
    subprocess.run(command, check=True, timeout=seconds)
