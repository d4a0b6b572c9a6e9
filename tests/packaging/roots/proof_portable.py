"""The AppImage as an ordinary user runs it: from a path with spaces, moved, without FUSE, and gone without a trace."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.roots.conftest import on_suite
from tests.packaging.roots.root import wait_until
from tests.packaging.roots.session import InstalledWindow, hand_over

if TYPE_CHECKING:
    from tests.packaging.roots.root import Root
    from tests.packaging.roots.session import SessionBus

pytestmark = [pytest.mark.packaged, pytest.mark.x11, on_suite("bookworm")]


def test_an_ordinary_user_runs_the_appimage_from_a_path_with_spaces_and_again_after_it_was_moved(
    root: Root, bus: SessionBus, packages: Mapping[str, Path]
) -> None:
    root.run("dpkg", "--purge", "burrow")
    downloads = root.shared / "My Downloads"
    downloads.mkdir()
    image = Path(shutil.copy(packages["appimage"], downloads))
    hand_over(downloads)
    before = root.files()
    with InstalledWindow(root, bus, "--workspace", program=str(image)) as window:
        window.find(re.compile(r"HED-\d+"), "cell")
        moved = image.rename(root.shared / "Burrow, moved.AppImage")
        window.browse_tool(program=str(moved))
        assert window.quit() == 0
        window.until(lambda: root.processes() == {})
    assert "Error" not in (root.shared / "window" / "stderr").read_text()
    after = root.files()
    changed = {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)}
    assert {name for name in changed if not name.startswith("home/person/")} == set()


def test_the_appimage_mounts_itself_where_there_is_fuse_and_unmounts_when_it_ends(
    root: Root, packages: Mapping[str, Path]
) -> None:
    root.run("dpkg", "--purge", "burrow")
    root.apt("install", "--no-install-recommends", "fuse3")
    image = shutil.copy(packages["appimage"], root.shared)
    found = json.loads(root.run(str(image), "self-test", person=True).stdout)
    assert found["trouble"] == []
    assert found["installation"] == "appimage"
    with subprocess.Popen(
        root.command(str(image), "workspace", "--watch-stdin", "--data", "/home/person/w", person=True),
        env=root.variables(person=True),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as workspace:
        assert workspace.stdout is not None
        assert b"url" in workspace.stdout.readline()
        assert "/tmp/.mount_burrow" in root.run("cat", "/proc/mounts").stdout
        assert not list((root.folder / "home/person").glob(".cache/*urrow*"))
    wait_until(lambda: not root.processes() and "/tmp/.mount_burrow" not in root.run("cat", "/proc/mounts").stdout)
