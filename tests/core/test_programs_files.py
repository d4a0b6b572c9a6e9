"""Writing other programs' files: links, modes, backups, changes meanwhile, full disks."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.core.mcp.programs import config_file
from app.core.mcp.programs.edits import add, remove
from app.core.mcp.programs.entries import Access
from app.core.mcp.programs.program import OfferedServer
from app.core.mcp.programs.refused import ConfigChanged, ConfigRefused
from app.core.mcp.programs.table import CURSOR

SERVERS = [OfferedServer("posthog", "PostHog")]
ACCESS = Access("http://127.0.0.1:41717", "bw_" + "k" * 43)
BEFORE = b'{"mcpServers": {}}\n'
posix = pytest.mark.skipif(os.name != "posix", reason="modes and links are those of POSIX")


def entries(folder: Path) -> set[str]:
    """The names of the files in a folder."""
    return {each.name for each in folder.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_backup_has_what_was_there_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(BEFORE)
    edit = add(CURSOR, path, SERVERS, ACCESS)
    assert path.read_bytes() == BEFORE
    backup = edit.write()
    assert backup is not None
    assert backup.parent == tmp_path
    assert backup.name.startswith("mcp.json.burrow-backup-")
    assert backup.read_bytes() == BEFORE
    assert path.read_bytes() == edit.after
    assert entries(tmp_path) == {"mcp.json", backup.name}
    if os.name == "posix":
        assert mode(backup) == 0o600
    # Within the same second: another name.
    second = remove(CURSOR, path).write()
    assert second is not None
    assert second.read_bytes() == edit.after
    assert len(entries(tmp_path)) == 3


@posix
def test_a_new_file_and_its_folders_are_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "mcp.json"
    edit = add(CURSOR, path, SERVERS, ACCESS)
    assert edit.before is None
    assert edit.write() is None
    assert (mode(path), mode(path.parent), mode(path.parent.parent)) == (0o600, 0o700, 0o700)
    assert entries(path.parent) == {"mcp.json"}
    assert not edit.readable_by_others


@posix
@pytest.mark.parametrize("bits", [0o600, 0o644, 0o640, 0o755])
def test_the_mode_stays(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(BEFORE)
    path.chmod(bits)
    edit = add(CURSOR, path, SERVERS, ACCESS)
    edit.write()
    assert mode(path) == bits
    assert edit.readable_by_others == bool(bits & 0o044)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(BEFORE)
    os.chown(path, 12345, 23456)
    add(CURSOR, path, SERVERS, ACCESS).write()
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


@posix
def test_a_link_stays_and_its_target_is_changed(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    target = tmp_path / "dotfiles" / "cursor.json"
    target.write_bytes(BEFORE)
    middle, path = tmp_path / "middle.json", tmp_path / "mcp.json"
    middle.symlink_to("dotfiles/cursor.json")
    path.symlink_to(middle)
    backup = add(CURSOR, path, SERVERS, ACCESS).write()
    assert path.is_symlink()
    assert middle.is_symlink()
    assert b"41717" in target.read_bytes()
    assert backup is not None
    assert backup.parent == target.parent


@posix
def test_a_link_that_leads_nowhere_gets_its_target(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.symlink_to("there/cursor.json")
    add(CURSOR, path, SERVERS, ACCESS).write()
    assert path.is_symlink()
    assert b"41717" in (tmp_path / "there" / "cursor.json").read_bytes()


@posix
def test_links_in_a_circle_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    circle, folder, pipe = tmp_path / "circle", tmp_path / "folder", tmp_path / "pipe"
    circle.symlink_to(circle)
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (circle, folder, pipe):
        with pytest.raises(ConfigRefused):
            add(CURSOR, path, SERVERS, ACCESS)


@posix
def test_a_file_with_two_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(BEFORE)
    os.link(path, tmp_path / "other.json")
    edit = add(CURSOR, path, SERVERS, ACCESS)
    with pytest.raises(ConfigRefused, match="hard links"):
        edit.write()
    assert path.read_bytes() == BEFORE
    assert entries(tmp_path) == {"mcp.json", "other.json"}


@pytest.mark.parametrize("meanwhile", [b'{"mcpServers": {}, "x": 1}\n', b"", None])
def test_a_file_that_changed_meanwhile_is_left_as_it_is(tmp_path: Path, meanwhile: bytes | None) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(BEFORE)
    edit = add(CURSOR, path, SERVERS, ACCESS)
    if meanwhile is None:
        path.unlink()
    else:
        path.write_bytes(meanwhile)
    with pytest.raises(ConfigRefused):
        edit.write()
    assert entries(tmp_path) == (set() if meanwhile is None else {"mcp.json"})
    assert meanwhile is None or path.read_bytes() == meanwhile


def test_a_file_that_was_made_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    edit = add(CURSOR, path, SERVERS, ACCESS)
    path.write_bytes(BEFORE)
    with pytest.raises(ConfigChanged):
        edit.write()
    assert path.read_bytes() == BEFORE
    assert entries(tmp_path) == {"mcp.json"}


def test_a_file_that_is_made_at_the_last_moment_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mcp.json"
    edit = add(CURSOR, path, SERVERS, ACCESS)
    link = os.link

    def late(source: Path, target: Path) -> None:
        path.write_bytes(BEFORE)
        link(source, target)

    monkeypatch.setattr(config_file.os, "link", late)
    with pytest.raises(ConfigChanged):
        edit.write()
    assert path.read_bytes() == BEFORE
    assert entries(tmp_path) == {"mcp.json"}


@pytest.mark.parametrize("fails", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_full_or_read_only_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, code: int
) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(BEFORE)
    edit = add(CURSOR, path, SERVERS, ACCESS)

    def broken(*_arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(config_file.os, fails, broken)
    with pytest.raises(ConfigRefused, match="cannot be written"):
        edit.write()
    assert path.read_bytes() == BEFORE
    assert entries(tmp_path) == {"mcp.json"}


def unprivileged(path: Path) -> str:
    """What becomes of an entry for `path` when a user who is not root adds it."""
    done = subprocess.run(
        [sys.executable, "-c", TRY, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout


TRY = """
import os, sys, difflib, tempfile, tomllib
from pathlib import Path
from app.core.errors import BurrowError
from app.core.mcp.programs.edits import add
from app.core.mcp.programs.entries import Access
from app.core.mcp.programs.program import OfferedServer
from app.core.mcp.programs.table import CURSOR
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    access = Access("http://127.0.0.1:41717", "bw_k")
    add(CURSOR, Path(sys.argv[1]), [OfferedServer("posthog", "PostHog")], access).write()
    print("written")
except BurrowError as error:
    print(error.title, "/", error.cause)
"""


@posix
def test_what_may_not_be_written_or_read_is_said_in_words() -> None:
    # Not below pytest's folder, which only its owner may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "mcp.json"
        path.write_bytes(BEFORE)
        path.chmod(0o444)
        folder.chmod(0o777)
        assert f"{path} is read-only." in unprivileged(path)
        path.chmod(0o666)
        folder.chmod(0o555)
        assert "cannot be written: you have no permission" in unprivileged(path)
        path.chmod(0o000)
        assert "cannot be read: you have no permission" in unprivileged(path)
        folder.chmod(0o755)
        path.chmod(0o600)
        assert path.read_bytes() == BEFORE
        assert entries(folder) == {"mcp.json"}


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    with path.open("wb") as file:
        file.truncate(9 * 1024 * 1024)
    with pytest.raises(ConfigRefused, match="larger than 8 MB"):
        add(CURSOR, path, SERVERS, ACCESS)


def test_an_edit_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    add(CURSOR, path, SERVERS, ACCESS).write()
    before = path.stat()
    edit = add(CURSOR, path, SERVERS, ACCESS)
    assert not edit.changes
    assert edit.diff == ""
    assert edit.write() is None
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert entries(tmp_path) == {"mcp.json"}
