"""Two versions of the real AppImage, and the signed repository that the first of them trusts.

The second version is the frozen program with another `app.__version__`, which is exchanged in its place in the archive.
"""

from __future__ import annotations

import marshal
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from linux import appimage
from linux.about import Release
from PyInstaller.archive.readers import CArchiveReader
from updates.trust import ROOT_VARIABLE, URL_VARIABLE

import app
from tests.core.updates._repository import Rig

EPOCH = 1_700_000_000
FIRST, SECOND, BROKEN = app.__version__, "98.0.0", "99.0.0"


@dataclass(frozen=True)
class Releases:
    """`first` is installed, and gets updates from the repository, which offers none yet."""

    rig: Rig
    first: Path
    second: Path

    def publish(self, version: str, content: bytes) -> None:
        self.rig.add(version, content, architecture=os.uname().machine)


def make_releases(folder: Path, application: Path, share: Path) -> Releases:
    """Build both AppImages below `folder` of the finished one-folder build; the caller closes the server."""
    rig = Rig.make(folder)
    root = folder / "root.json"
    root.write_bytes(rig.root)
    later = folder / "later"
    shutil.copytree(application, later, symlinks=True, copy_function=os.link)
    (later / "burrow").unlink()
    (later / "burrow").write_bytes(with_version(application / "burrow", SECOND))
    (later / "burrow").chmod(0o755)
    with mock.patch.dict(os.environ, {URL_VARIABLE: rig.server.url, ROOT_VARIABLE: str(root)}):
        first, second = (
            _image(folder, build, share, version) for build, version in ((application, FIRST), (later, SECOND))
        )
    return Releases(rig, first, second)


def _image(folder: Path, application: Path, share: Path, version: str) -> Path:
    work, output = folder / f"work-{version}", folder / f"images-{version}"
    work.mkdir()
    output.mkdir()
    return appimage.build(application, share, output, work, Release(version, EPOCH), fast=True)


def with_version(program: Path, version: str) -> bytes:
    """The frozen program, with another version of the application."""
    content = bytearray(program.read_bytes())
    archive = CArchiveReader(str(program))
    start = archive._start_offset + archive.toc["PYZ.pyz"][0]
    _kind, place, length = archive.open_embedded_archive("PYZ.pyz").toc["app"]
    module = marshal.loads(zlib.decompress(content[start + place : start + place + length]))
    # Without its first lines, so that there is room for a longer version.
    changed = {FIRST: version, module.co_consts[0]: ""}
    constants = tuple(changed.get(each, each) for each in module.co_consts)
    assert version in constants
    packed = zlib.compress(marshal.dumps(module.replace(co_consts=constants)), 9)
    # What follows the end of the compressed data is not read.
    assert len(packed) <= length
    content[start + place : start + place + length] = packed.ljust(length, b"\0")
    return bytes(content)
