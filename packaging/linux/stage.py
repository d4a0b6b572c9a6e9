"""Puts together what every Linux package holds, below one root folder."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from typing import TYPE_CHECKING

from updates.trust import write_trust

if TYPE_CHECKING:
    from pathlib import Path

    from linux.about import Release

INSTALLED = "opt/burrow"
COMMAND = "usr/bin/burrow"
# What replaces itself; a package manager updates the others.
UPDATED = "appimage"


def stage(application: Path, extras: Path, root: Path, kind: str, release: Release) -> None:
    """The tree of a system-wide package: the application in /opt, its command, and the files for the desktop.

    `extras` has what `extras.write` made. Every file gets the release's time and the permissions 644 or 755.
    """
    copy_application(application, root / INSTALLED, kind)
    command = root / COMMAND
    command.parent.mkdir(parents=True)
    command.symlink_to(f"/{INSTALLED}/burrow")
    shutil.copytree(extras, root / "usr" / "share", dirs_exist_ok=True)
    settle(root, release.epoch)


def copy_application(application: Path, target: Path, kind: str) -> None:
    """The one-folder build, which then knows how it is installed (`app/core/installation.py`), and who updates it."""
    shutil.copytree(application, target, symlinks=True)
    (target / "installation.json").write_text(json.dumps({"kind": kind}) + "\n", "utf-8")
    if kind == UPDATED:
        write_trust(target)


def settle(root: Path, epoch: int) -> None:
    """Give everything below and including `root` one time and plain permissions: libraries need not be executable."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or _runs(path) else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def _runs(path: Path) -> bool:
    if not path.stat().st_mode & 0o100 or ".so" in path.suffixes:
        return False
    with path.open("rb") as file:
        return file.read(4).startswith((b"#!", b"\x7fELF"))


def write_gzip(path: Path, content: bytes) -> None:
    """Without a name or time inside, so that equal content is the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 9, mtime=0))
