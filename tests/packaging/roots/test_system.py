"""What the package is on a bare system: complete by its dependencies, whole, and seen by the desktop and the shell."""

from __future__ import annotations

import gzip
import json
import stat
from typing import TYPE_CHECKING

import pytest

import app

if TYPE_CHECKING:
    from tests.packaging.roots.conftest import Installed
    from tests.packaging.roots.root import Root

pytestmark = pytest.mark.packaged


def packages(root: Root) -> set[str]:
    return set(root.run("dpkg-query", "--show", "--showformat=${Package}\n").stdout.split())


def test_nothing_but_dependencies_is_installed_and_the_program_finds_all_it_needs(root: Root) -> None:
    assert "burrow" in packages(root)
    assert not packages(root) & {"gnome-keyring", "xdg-utils", "dbus-daemon", "python3", "libqt6core6"}
    assert root.run("burrow", "--version", person=True).stdout.split()[-1] == app.__version__
    found = json.loads(root.run("burrow", "self-test", person=True).stdout)
    assert found["trouble"] == []
    assert found["installation"] == "deb"
    assert found["window"]["fonts"] > 0
    assert found["vault"] is None


def test_dpkg_finds_the_files_whole_and_nobody_but_root_can_write_them(root: Root) -> None:
    assert root.run("dpkg", "--verify", "burrow").stdout == ""
    listed = root.run("dpkg-query", "--listfiles", "burrow").stdout.split("\n")
    for name in filter(None, listed):
        about = (root.folder / name.strip("/.")).lstat()
        assert (about.st_uid, about.st_gid) == (0, 0), name
        assert stat.S_ISLNK(about.st_mode) or not about.st_mode & 0o022, name
    (root.folder / "opt/burrow/LICENSE").write_text("changed")
    assert "/opt/burrow/LICENSE" in root.run("dpkg", "--verify", "burrow", check=False).stdout


def test_the_desktop_knows_the_entry_and_who_opens_links(session_root: Root) -> None:
    entry = "/usr/share/applications/burrow.desktop"
    assert session_root.run("desktop-file-validate", entry).stdout == ""
    asked = ("xdg-mime", "query", "default", "x-scheme-handler/burrow")
    assert session_root.run(*asked, person=True).stdout.strip() == "burrow.desktop"
    text = (session_root.folder / entry.strip("/")).read_text("utf-8")
    (icon,) = (line.partition("=")[2] for line in text.splitlines() if line.startswith("Icon="))
    theme = session_root.folder / "usr/share/icons/hicolor"
    assert {path.parent.parent.name for path in theme.glob(f"*/apps/{icon}.png")} >= {"16x16", "48x48", "256x256"}
    started = {line.partition("=")[2].split()[0] for line in text.splitlines() if line.startswith("Exec=")}
    assert started == {"burrow"}
    assert session_root.run("sh", "-c", "command -v burrow", person=True).stdout == "/usr/bin/burrow\n"


def test_the_manual_and_the_completion_are_where_shells_look(installed: Installed, root: Root) -> None:
    page = gzip.decompress((root.folder / "usr/share/man/man1/burrow.1.gz").read_bytes()).decode()
    assert page.splitlines()[0].startswith((".TH", '.\\"', "'"))
    assert ".SH NAME" in page
    completion = "/usr/share/bash-completion/completions/burrow"
    said = root.run("bash", "-c", f"source {completion} && complete -p burrow", person=True).stdout
    assert said.split()[-1] == "burrow"
    assert not [name for name in installed.before if "burrow" in name]
