"""A root is a system of its own: nothing in it reaches this machine, and what is half-made is never used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.roots import bare
from tests.packaging.roots.conftest import on_suite

if TYPE_CHECKING:
    from tests.packaging.roots.conftest import Installed
    from tests.packaging.roots.root import Root

pytestmark = pytest.mark.packaged


@on_suite("trixie")
def test_what_is_written_in_a_root_reaches_neither_the_bare_one_nor_its_parent(
    root: Root, installed: Installed
) -> None:
    root.run("sh", "-c", "echo changed > /etc/hostname && rm /opt/burrow/LICENSE && touch /usr/bin/new")
    assert not (root.folder / "opt/burrow/LICENSE").exists()
    assert (installed.root.folder / "opt/burrow/LICENSE").exists()
    for system in (installed.root.folder, installed.root.lower[-1]):
        assert not (system / "usr/bin/new").exists()
        assert (system / "etc/hostname").read_text() != "changed\n"


@on_suite("trixie")
def test_the_system_sees_neither_this_machines_processes_nor_its_files(root: Root) -> None:
    assert root.run("sh", "-c", "ls -d /proc/[0-9]*").stdout.split()[:1] == ["/proc/1"]
    assert len(root.run("sh", "-c", "ls -d /proc/[0-9]*").stdout.split()) < 5
    assert root.run("test", "-e", str(bare.ROOTS), check=False).returncode == 1
    assert root.run("python3", "--version", check=False).returncode == 127


def test_a_half_made_system_is_thrown_away_and_a_whole_one_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    try:
        bare.check_machine()
    except bare.NoRoots as reason:
        pytest.skip(str(reason))
    monkeypatch.setattr(bare, "ROOTS", tmp_path / "roots")
    monkeypatch.setattr(bare, "state_of_archive", lambda suite: "1")
    tools = tmp_path / "tools"
    tools.mkdir()
    maker = tools / "mmdebstrap"
    monkeypatch.setenv("PATH", f"{tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    maker.write_text("#!/bin/sh\nexit 9\n")
    maker.chmod(0o755)
    half = bare.ROOTS / "half-made-trixie"
    half.mkdir(parents=True)
    (half / "broken").touch()
    with pytest.raises(AssertionError):
        bare.bare_root("trixie")
    assert not list(bare.ROOTS.glob("trixie-*"))
    maker.write_text(MAKER)
    made = bare.bare_root("trixie")
    assert made == bare.ROOTS / "trixie-1"
    assert sorted(path.name for path in bare.ROOTS.iterdir()) == ["trixie-1", "trixie.lock"]
    assert not (made / "broken").exists()
    maker.write_text("#!/bin/sh\nexit 9\n")
    assert bare.bare_root("trixie") == made


MAKER = """#!/bin/sh
for argument; do
    case $argument in */root) target=$argument;; esac
done
mkdir -p "$target/etc" "$target/home" "$target/bin" "$target/usr"
touch "$target/etc/passwd" "$target/etc/group"
"""
