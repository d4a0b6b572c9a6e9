"""The id of a data folder, which names its sign-ins, and the names by path of versions that had no ids."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.core.auth.vault.identity import FILE_NAME, FolderIdentity
from app.core.auth.vault.moved import MovedItems
from app.core.auth.vault.vaults import FileVault


class Items:
    """A keyring's items, and which were read."""

    def __init__(self, **items: str) -> None:
        self.items = items
        self.read: list[str] = []

    def get(self, name: str) -> str | None:
        self.read.append(name)
        return self.items.get(name)

    def set(self, name: str, secret: str) -> None:
        self.items[name] = secret

    def delete(self, name: str) -> None:
        self.items.pop(name, None)


def used_by_an_earlier_version(folder: Path) -> Path:
    """A folder in which a version without ids stored a grant."""
    (folder / "locks").mkdir(parents=True)
    (folder / "locks" / "us.stamp").write_text("0" * 32)
    return folder


def by_path(folder: Path | str, rest: str = "") -> str:
    return f"us|{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}{rest}"


def by_id(folder: Path, rest: str = "") -> str:
    return f"us|{FolderIdentity(folder).id}{rest}"


def test_a_folder_keeps_the_id_that_it_got_at_first(tmp_path: Path) -> None:
    first = FolderIdentity(tmp_path / "new" / "folder")
    assert FolderIdentity(tmp_path / "new" / "folder").id == first.id
    assert FolderIdentity(tmp_path / "other").id != first.id
    path = tmp_path / "new" / "folder" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_processes_that_start_at_the_same_time_agree_on_the_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        identities = list(pool.map(lambda _: FolderIdentity(tmp_path / "data").id, range(8)))
    assert len(set(identities)) == 1


def test_an_item_named_by_the_path_is_looked_up_once_and_moved(tmp_path: Path) -> None:
    folder = used_by_an_earlier_version(tmp_path / "data")
    items = Items(**{by_path(folder): "grant", by_path(folder, "|r|s"): "another"})
    moved = MovedItems(items, FolderIdentity(folder))
    assert moved.get(by_id(folder)) == "grant"
    assert items.items == {by_id(folder): "grant", by_path(folder, "|r|s"): "another"}
    items.read.clear()
    assert moved.get(by_id(folder)) == "grant"
    assert MovedItems(items, FolderIdentity(folder)).get(by_id(folder)) == "grant"
    assert items.read == [by_id(folder)] * 2


def test_an_item_is_still_found_when_the_folder_is_moved_after_another_one_was(tmp_path: Path) -> None:
    folder = used_by_an_earlier_version(tmp_path / "data")
    items = Items(**{by_path(folder): "grant", by_path(folder, "|r|s"): "another"})
    assert MovedItems(items, FolderIdentity(folder)).get(by_id(folder)) == "grant"
    elsewhere = folder.rename(tmp_path / "elsewhere")
    assert MovedItems(items, FolderIdentity(elsewhere)).get(by_id(elsewhere, "|r|s")) == "another"
    assert by_path(folder, "|r|s") not in items.items


def test_an_item_named_by_a_symlink_is_found_through_it(tmp_path: Path) -> None:
    folder = used_by_an_earlier_version(tmp_path / "data")
    link = tmp_path / "link"
    link.symlink_to(folder)
    items = Items(**{by_path(link): "grant"})
    assert MovedItems(items, FolderIdentity(folder)).get(by_id(folder)) is None
    assert MovedItems(items, FolderIdentity(link)).get(by_id(link)) == "grant"
    assert MovedItems(items, FolderIdentity(folder)).get(by_id(folder)) == "grant"


def test_signing_out_deletes_the_item_of_either_name(tmp_path: Path) -> None:
    folder = used_by_an_earlier_version(tmp_path / "data")
    items = Items(**{by_path(folder): "former", by_id(folder): "present"})
    MovedItems(items, FolderIdentity(folder)).delete(by_id(folder))
    assert items.items == {}


def test_what_was_stored_under_the_id_wins_over_the_item_of_the_path(tmp_path: Path) -> None:
    folder = used_by_an_earlier_version(tmp_path / "data")
    items = Items(**{by_path(folder): "former"})
    moved = MovedItems(items, FolderIdentity(folder))
    moved.set(by_id(folder), "present")
    assert items.items == {by_id(folder): "present"}


def test_a_process_killed_between_storing_and_deleting_leaves_an_item_that_the_next_one_deletes(tmp_path: Path) -> None:
    class Killed(Items):
        def delete(self, name: str) -> None:
            raise KeyboardInterrupt

    folder = used_by_an_earlier_version(tmp_path / "data")
    killed = Killed(**{by_path(folder): "grant"})
    with pytest.raises(KeyboardInterrupt):
        MovedItems(killed, FolderIdentity(folder)).get(by_id(folder))
    assert set(killed.items.values()) == {"grant"}
    items = Items(**killed.items)
    assert MovedItems(items, FolderIdentity(folder)).get(by_id(folder)) == "grant"
    assert items.items == {by_id(folder): "grant"}


def test_what_one_process_renewed_is_not_overwritten_by_another_that_moves_the_item(tmp_path: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()

    class Slow(Items):
        def get(self, name: str) -> str | None:
            found = super().get(name)
            if name == present and not reached.is_set():
                reached.set()
                go_on.wait(10)
            return found

    folder = used_by_an_earlier_version(tmp_path / "data")
    present = by_id(folder)
    items = Slow(**{by_path(folder): "spent"})
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(MovedItems(items, FolderIdentity(folder)).get, present)
        # It has seen that nothing is stored under the id, and has not stored the former item there.
        assert reached.wait(10)
        quick = pool.submit(MovedItems(items, FolderIdentity(folder)).set, present, "renewed")
        with pytest.raises(TimeoutError):
            quick.result(0.3)
        go_on.set()
        slow.result(10)
        quick.result(10)
    assert items.items == {present: "renewed"}


def test_a_new_folder_looks_nothing_up(tmp_path: Path) -> None:
    items = Items()
    moved = MovedItems(items, FolderIdentity(tmp_path / "data"))
    name = by_id(tmp_path / "data")
    assert moved.get(name) is None
    moved.set(name, "grant")
    assert items.read == [name]


async def test_a_private_file_named_by_the_path_is_renamed(tmp_path: Path) -> None:
    folder = used_by_an_earlier_version(tmp_path / "data")
    private = folder / "sign-in-unencrypted"
    private.mkdir()
    former = private / f"{hashlib.sha256(by_path(folder).encode()).hexdigest()[:32]}.json"
    former.write_text("grant")
    vault = FileVault(folder)
    assert vault.holds(by_id(folder))
    assert await vault.read(by_id(folder)) == "grant"
    assert not former.exists()
    former.write_text("left behind")
    assert await vault.read(by_id(folder)) == "grant"
    assert not former.exists()


async def test_a_private_file_is_found_without_the_id(tmp_path: Path) -> None:
    await FileVault(tmp_path).write(by_id(tmp_path), "grant")
    (tmp_path / FILE_NAME).unlink()
    assert await FileVault(tmp_path).read(by_id(tmp_path)) == "grant"


@pytest.mark.parametrize("text", ["", "{torn", "[]", '{"id": 5}', '{"id": "a|b", "place": "", "former": [], '])
def test_an_identity_that_cannot_be_read_is_set_aside(tmp_path: Path, text: str) -> None:
    FolderIdentity(tmp_path)
    (tmp_path / FILE_NAME).write_text(text)
    identity = FolderIdentity(tmp_path)
    assert FolderIdentity(tmp_path).id == identity.id
    (aside,) = tmp_path.glob("identity.set-aside-*")
    assert aside.read_text() == text


def test_a_folder_whose_identity_cannot_be_kept_is_named_by_its_path_until_it_can(tmp_path: Path) -> None:
    folder = used_by_an_earlier_version(tmp_path / "data")
    (folder / FILE_NAME).mkdir()
    name = by_id(folder)
    assert name == by_path(folder)
    items = Items()
    MovedItems(items, FolderIdentity(folder)).set(name, "grant")
    (folder / FILE_NAME).rmdir()
    assert MovedItems(items, FolderIdentity(folder)).get(by_id(folder)) == "grant"


def test_a_copy_gets_an_id_of_its_own_and_has_no_private_files(tmp_path: Path) -> None:
    original = FolderIdentity(tmp_path / "data")
    (tmp_path / "data" / "sign-in-unencrypted").mkdir()
    (tmp_path / "data" / "sign-in-unencrypted" / "a.json").write_text("grant")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    copy = FolderIdentity(tmp_path / "copy")
    assert copy.id != original.id
    assert FolderIdentity(tmp_path / "copy").id == copy.id
    assert FolderIdentity(tmp_path / "data").id == original.id
    assert not list((tmp_path / "copy" / "sign-in-unencrypted").iterdir())
    assert list((tmp_path / "data" / "sign-in-unencrypted").iterdir())


def test_a_copy_that_takes_the_place_of_the_original_has_its_id(tmp_path: Path) -> None:
    original = FolderIdentity(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "backup")
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(tmp_path / "backup", tmp_path / "data")
    assert FolderIdentity(tmp_path / "data").id == original.id


def test_a_folder_that_was_moved_away_from_a_place_where_another_one_is_keeps_its_id(tmp_path: Path) -> None:
    original = FolderIdentity(tmp_path / "data")
    moved = (tmp_path / "data").rename(tmp_path / "elsewhere")
    assert FolderIdentity(tmp_path / "data").id != original.id
    assert FolderIdentity(moved).id == original.id
    assert json.loads((moved / FILE_NAME).read_text())["place"] == str(moved)


def test_a_path_whose_bytes_are_no_text_has_an_id_too(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    assert FolderIdentity(folder).id == FolderIdentity(folder).id
