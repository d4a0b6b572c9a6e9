"""The AppImage: one file that runs without being installed, type 2 of the specification
(https://github.com/AppImage/AppImageSpec/blob/master/draft.md).

It is a small program of ours (runtime/) and behind it the files as SquashFS. The program is linked with libfuse,
libsquashfuse and libzstd, so that the machine needs none of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from linux.stage import copy_application, settle

if TYPE_CHECKING:
    from linux.about import Release

SOURCES = Path(__file__).resolve().parent / "runtime"
MARKER = b"burrow-payload\n\0"
MAGIC_OFFSET = 8
MAGIC = b"AI\x02"
LINKED = ("squashfuse_ll", "squashfuse", "fuse3", "zstd")
# The Debian packages whose code is in the runtime: their licences come along.
LINKED_PACKAGES = ("libsquashfuse-dev", "libfuse3-dev", "libzstd-dev")
APPLICATION = "usr/lib/burrow"


class RuntimeTrouble(Exception):
    """The program at the beginning of the AppImage cannot be built here; the message says why."""


def file_name(release: Release) -> str:
    return f"Burrow-{release.version}-{release.machine}.AppImage"


def build(application: Path, extras: Path, output: Path, work: Path, release: Release, *, fast: bool) -> Path:
    """Raises `RuntimeTrouble`, or `CalledProcessError` when mksquashfs fails."""
    folder = work / "appimage"
    tree = folder / "AppDir"
    write_tree(application, extras, tree, release)
    squashed = folder / "image"
    level = "1" if fast else "19"
    command = ["mksquashfs", str(tree), str(squashed), "-noappend", "-all-root", "-no-xattrs", "-no-progress", "-quiet"]
    command += ["-comp", "zstd", "-Xcompression-level", level, "-b", "131072"]
    subprocess.run(command, env=os.environ | {"SOURCE_DATE_EPOCH": str(release.epoch)}, check=True)
    program = compile_runtime(folder)
    package = output / file_name(release)
    join(program, squashed, package)
    return package


def write_tree(application: Path, extras: Path, tree: Path, release: Release) -> None:
    """The AppDir: the entry and the icon at its top, and the rest as below a prefix."""
    copy_application(application, tree / APPLICATION, "appimage")
    shutil.copytree(extras, tree / "usr" / "share")
    (tree / "usr" / "bin").mkdir()
    (tree / "usr" / "bin" / "burrow").symlink_to("../lib/burrow/burrow")
    (tree / "AppRun").symlink_to(f"{APPLICATION}/burrow")
    (tree / "burrow.desktop").symlink_to("usr/share/applications/burrow.desktop")
    (tree / "burrow.png").symlink_to("usr/share/icons/hicolor/256x256/apps/burrow.png")
    (tree / ".DirIcon").symlink_to("burrow.png")
    licences = tree / APPLICATION / "licences" / "appimage-runtime"
    licences.mkdir(parents=True)
    for name in LINKED_PACKAGES:
        shutil.copy(Path("/usr/share/doc") / name / "copyright", licences / f"{name}.txt")
    settle(tree, release.epoch)


def compile_runtime(folder: Path) -> bytes:
    """The program, without what follows it. Raises `RuntimeTrouble`."""
    program = folder / "runtime"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-D_FILE_OFFSET_BITS=64", "-DFUSE_USE_VERSION=31"]
    command += ["-I/usr/include/fuse3", "-fstack-protector-strong", "-fPIE", "-pie", "-Wl,-z,relro,-z,now", "-s"]
    command += ["-o", str(program), *(path.name for path in sorted(SOURCES.glob("*.c")))]
    command += ["-Wl,-Bstatic", *(f"-l{name}" for name in LINKED), "-Wl,-Bdynamic", "-Wl,--build-id=none"]
    built = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    if built.returncode:
        raise RuntimeTrouble(f"The runtime of the AppImage could not be compiled:\n{built.stderr}")
    return program.read_bytes()


def join(program: bytes, squashed: Path, package: Path) -> None:
    """Write the file: the program, marked as the specification says and told what follows, and the file system."""
    image = squashed.read_bytes()
    # The file system begins at a whole page, and sections need not be there to run.
    start = -(-len(program) // 4096) * 4096
    head = bytearray(program.ljust(start, b"\0"))
    head[MAGIC_OFFSET : MAGIC_OFFSET + len(MAGIC)] = MAGIC
    at = head.index(MARKER)
    if MARKER in head[at + 1 :]:
        raise RuntimeTrouble("The place for the description of the image is not unique in the runtime.")
    facts = struct.pack("<QQ", start, len(image)) + hashlib.sha256(image).digest()
    head[at + len(MARKER) : at + len(MARKER) + len(facts)] = facts
    package.write_bytes(bytes(head) + image)
    package.chmod(0o755)
