"""Whatever happens to the file, nothing is deleted and a person is told where it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.errors import StorageTrouble
from app.core.storage import Scope, Storage
from app.core.storage import database as database_module
from app.core.storage.database import Database
from app.core.storage.storage import FILE_NAME

ADA = Scope("us", "ada")
NOBODY = 65534


def set_aside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if ".set-aside-" in path.name)


async def filled(folder: Path) -> None:
    storage = Storage.open(folder)
    await storage.drafts.save(ADA, "task", "new", {"title": "precious"})
    await storage.close()


async def works(storage: Storage) -> bool:
    await storage.drafts.save(ADA, "task", "new", {"title": "fresh"})
    return await storage.drafts.load(ADA, "task", "new") == {"title": "fresh"}


async def test_a_file_that_is_no_database_is_set_aside_untouched(tmp_path: Path) -> None:
    garbage = b"this is not a database" * 500
    (tmp_path / FILE_NAME).write_bytes(garbage)
    storage = Storage.open(tmp_path)
    [aside] = set_aside(tmp_path)
    assert aside.read_bytes() == garbage
    assert storage.notice is not None
    assert str(aside) in storage.notice
    assert ".recover" in storage.notice
    assert await works(storage)
    await storage.close()
    storage = Storage.open(tmp_path)
    assert storage.notice is None
    await storage.close()


async def test_a_newer_database_is_set_aside_and_can_be_put_back(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    storage = Storage.open(tmp_path)
    assert storage.notice is not None
    assert "newer Burrow (format 99" in storage.notice
    assert FILE_NAME in storage.notice
    assert await storage.drafts.load(ADA, "task", "new") is None
    await storage.close()
    [aside] = [name for name in set_aside(tmp_path) if name.suffix == ".sqlite3"]
    with sqlite3.connect(aside) as connection:
        [(fields,)] = connection.execute("SELECT fields FROM drafts")
        assert json.loads(fields) == {"title": "precious"}
    connection.close()


async def test_another_programs_database_is_not_taken_for_ours(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    storage = Storage.open(tmp_path)
    assert storage.notice is not None
    assert "another program" in storage.notice
    assert len(set_aside(tmp_path)) == 1
    assert await works(storage)
    await storage.close()


async def test_a_database_without_its_tables_is_set_aside(tmp_path: Path) -> None:
    await filled(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("DROP TABLE outbox")
    connection.close()
    storage = Storage.open(tmp_path)
    assert storage.notice is not None
    assert "tables are missing" in storage.notice
    assert await works(storage)
    await storage.close()


async def test_a_truncated_database_is_set_aside(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / FILE_NAME
    os.truncate(path, 5_000)
    storage = Storage.open(tmp_path)
    assert await works(storage)
    assert storage.notice is not None
    assert any(aside.stat().st_size == 5_000 for aside in set_aside(tmp_path))
    await storage.close()


async def test_damage_found_while_running_is_set_aside_and_the_work_goes_on(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.settings.set("theme", "dark")
    for number in range(200):
        await storage.cache.put(ADA, f"list-{number}", b"x" * 3_000)
    await storage.close()
    path = tmp_path / FILE_NAME
    storage = Storage.open(tmp_path)
    with path.open("r+b") as file:
        size = path.stat().st_size
        for page in range(8, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)
    assert storage.notice is None
    for number in range(200):
        await storage.cache.get(ADA, f"list-{number}")
    assert storage.notice is not None
    [aside] = [name for name in set_aside(tmp_path) if name.suffix == ".sqlite3"]
    assert str(aside) in storage.notice
    assert aside.stat().st_size == size
    assert await works(storage)
    await storage.close()
    storage = Storage.open(tmp_path)
    assert storage.notice is None
    assert storage.settings.get("theme") == "dark"
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "fresh"}
    await storage.close()


async def test_a_log_beside_an_emptied_file_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "source"
    storage = Storage.open(source)
    await storage.drafts.save(ADA, "task", "new", {"title": "precious"})
    target = tmp_path / "target"
    target.mkdir()
    shutil.copy(source / f"{FILE_NAME}-wal", target / f"{FILE_NAME}-wal")
    (target / FILE_NAME).touch()
    wal = (target / f"{FILE_NAME}-wal").read_bytes()
    await storage.close()
    storage = Storage.open(target)
    assert storage.notice is not None
    assert any(path.read_bytes() == wal for path in set_aside(target))
    assert await works(storage)
    await storage.close()


async def test_a_data_folder_removed_while_running_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    storage = Storage.open(folder)
    await storage.settings.set("theme", "dark")
    shutil.rmtree(folder)
    assert await works(storage)
    await storage.close()
    storage = Storage.open(folder)
    assert storage.settings.get("theme") == "dark"
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "fresh"}
    await storage.close()


def test_a_folder_that_cannot_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageTrouble, match="file") as caught:
        Storage.open(tmp_path / "file" / "data")
    assert str(tmp_path / "file") in caught.value.cause
    assert caught.value.exit_code == 1


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """A folder that everybody can read and only its owner write, reachable for an unprivileged user."""
    folder = Path(tempfile.mkdtemp(prefix="burrow-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("existing", [False, True])
def test_a_folder_that_may_not_be_written_is_named(readable_folder: Path, existing: bool) -> None:
    if existing:
        asyncio.run(filled(readable_folder))
        (readable_folder / FILE_NAME).chmod(0o444)
    readable_folder.chmod(0o555)
    program = f"""
import os, sys
from pathlib import Path
from app.core.errors import StorageTrouble
from app.core.storage import Storage
if os.getuid() == 0:
    os.setuid({NOBODY})
try:
    Storage.open(Path(sys.argv[1]))
except StorageTrouble as error:
    print(error.cause)
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, str(readable_folder)], capture_output=True, text=True, timeout=60, check=True
    )
    assert str(readable_folder) in answer.stdout


async def test_a_draft_that_the_full_disk_refused_is_kept_and_written_with_the_next(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.drafts.save(ADA, "task", "new", {"title": "before"})
    await storage.drafts.save(ADA, "task", "old", {"title": "to be discarded"})
    connection = storage._database._connection
    assert connection is not None
    [(pages,)] = connection.execute("PRAGMA page_count")
    connection.execute(f"PRAGMA max_page_count={pages}")
    long = {"title": "x" * 50_000}
    with pytest.raises(StorageTrouble, match="disk is full") as caught:
        await storage.drafts.save(ADA, "task", "new", long)
    assert str(tmp_path / FILE_NAME) in caught.value.cause
    with pytest.raises(StorageTrouble):
        await storage.drafts.discard(ADA, "task", "old")
    assert await storage.drafts.load(ADA, "task", "new") == long
    assert await storage.drafts.load(ADA, "task", "old") is None
    assert [draft.fields for draft in await storage.drafts.list(ADA)] == [long]
    with pytest.raises(StorageTrouble):
        await storage.outbox.add(ADA, "create-task", {"title": "x" * 50_000})
    connection.execute("PRAGMA max_page_count=1073741823")
    await storage.drafts.save(ADA, "task", "other", {"title": "after"})
    await storage.close()
    storage = Storage.open(tmp_path)
    assert await storage.drafts.load(ADA, "task", "new") == long
    assert {draft.id for draft in await storage.drafts.list(ADA)} == {"new", "other"}
    await storage.close()


async def test_a_setting_that_the_full_disk_refused_holds_and_is_written_with_the_next(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    connection = storage._database._connection
    assert connection is not None
    [(pages,)] = connection.execute("PRAGMA page_count")
    connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageTrouble, match="disk is full"):
        await storage.settings.set("long", "x" * 50_000)
    assert storage.settings.get("long") == "x" * 50_000
    connection.execute("PRAGMA max_page_count=1073741823")
    await storage.settings.set("short", 1)
    await storage.close()
    storage = Storage.open(tmp_path)
    assert storage.settings.get("long") == "x" * 50_000
    await storage.close()


@pytest.mark.skipif(os.name == "nt", reason="POSIX resource limits")
def test_a_write_cut_short_by_the_system_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    program = """
import asyncio, resource, sys
from pathlib import Path
from app.core.errors import StorageTrouble
from app.core.storage import Scope, Storage
async def main():
    storage = Storage.open(Path(sys.argv[1]))
    await storage.drafts.save(Scope("us", "ada"), "task", "new", {"title": "before"})
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        await storage.drafts.save(Scope("us", "ada"), "task", "big", {"title": "x" * 400_000})
    except StorageTrouble as error:
        print(error.cause)
    print(await storage.drafts.load(Scope("us", "ada"), "task", "new"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await storage.close()
asyncio.run(main())
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    cause, kept = answer.stdout.splitlines()
    assert str(tmp_path / FILE_NAME) in cause
    assert "before" in kept
    storage = Storage.open(tmp_path)
    assert asyncio.run(storage.drafts.load(ADA, "task", "big")) == {"title": "x" * 400_000}
    asyncio.run(storage.close())


async def test_a_step_of_migration_that_fails_leaves_the_old_data_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path)
    good = database_module.MIGRATIONS
    monkeypatch.setattr(database_module, "MIGRATIONS", (*good, ("ALTER TABLE drafts ADD COLUMN x", "NOT SQL")))
    with pytest.raises(StorageTrouble, match="could not be used"):
        Storage.open(tmp_path)
    assert set_aside(tmp_path) == []
    monkeypatch.setattr(database_module, "MIGRATIONS", good)
    storage = Storage.open(tmp_path)
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "precious"}
    await storage.close()


async def test_an_older_database_is_brought_up_to_date_with_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path)
    newer = (*database_module.MIGRATIONS, ("CREATE TABLE later (a TEXT)",))
    monkeypatch.setattr(database_module, "MIGRATIONS", newer)
    storage = Storage.open(tmp_path)
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "precious"}
    assert storage._database.read("PRAGMA user_version") == [(len(newer),)]
    await storage.close()


WRITE_FOREVER = """
import asyncio, sys
from pathlib import Path
from app.core.storage import Scope, Storage
async def main():
    storage = Storage.open(Path(sys.argv[1]))
    number = 0
    while True:
        number += 1
        await storage.drafts.save(Scope("us", "ada"), "task", "new", {"number": str(number), "text": "x" * 20_000})
        await storage.cache.put(Scope("us", "ada"), "tasks", b"y" * 30_000)
        print(number, flush=True)
asyncio.run(main())
"""


def test_killing_the_process_in_the_middle_of_writes_loses_nothing_acknowledged(tmp_path: Path) -> None:
    for stop_after in (1, 17, 60):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        acknowledged = 0
        while acknowledged < stop_after:
            acknowledged = int(process.stdout.readline())
        process.kill()
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith("\n"))])
        process.wait(10)
        process.stdout.close()
        storage = Storage.open(tmp_path)
        assert storage.notice is None
        draft = asyncio.run(storage.drafts.load(ADA, "task", "new"))
        assert draft is not None
        assert int(draft["number"]) >= acknowledged
        assert storage._database.read("PRAGMA integrity_check") == [("ok",)]
        asyncio.run(storage.close())


WRITE_MANY = """
import asyncio, sys
from pathlib import Path
from app.core.storage import Scope, Storage
async def main():
    sys.stdin.readline()
    for round in range(5):
        storage = Storage.open(Path(sys.argv[1]))
        for number in range(20):
            await storage.outbox.add(Scope("us", "ada"), sys.argv[2], {"number": number})
            await storage.settings.set(f"{sys.argv[2]}-{number}", round)
        await storage.close()
    print(storage.notice)
asyncio.run(main())
"""


def test_processes_that_start_and_write_together_get_everything_through(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_MANY, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("window", "cli", "proxy")
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=25)
        assert (process.returncode, out) == (0, "None\n")
    storage = Storage.open(tmp_path)
    items = asyncio.run(storage.outbox.list(ADA))
    assert len(items) == 300
    for name in ("window", "cli", "proxy"):
        numbers = [item.payload["number"] for item in items if item.kind == name]
        assert numbers == list(range(20)) * 5
        assert storage.settings.get(f"{name}-19") == 4
    asyncio.run(storage.close())


def test_processes_that_find_a_damaged_file_together_set_it_aside_once(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"damaged" * 1_000)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_MANY, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name in ("window", "cli")
    ]
    for process in processes:
        process.communicate("\n", timeout=25)
        assert process.returncode == 0
    assert len([path for path in set_aside(tmp_path) if path.suffix == ".sqlite3"]) == 1
    storage = Storage.open(tmp_path)
    assert len(asyncio.run(storage.outbox.list(ADA))) == 200
    asyncio.run(storage.close())


async def test_a_write_waits_for_another_process_that_holds_the_file(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    saving = asyncio.ensure_future(storage.drafts.save(ADA, "task", "new", {"title": "patient"}))
    started = time.monotonic()
    while time.monotonic() - started < 0.2:
        await asyncio.sleep(0.02)
        assert not saving.done()
    other.execute("COMMIT")
    other.close()
    await saving
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "patient"}
    await storage.close()


async def test_a_file_held_for_too_long_is_named_and_the_draft_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.1)
    storage = Storage.open(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageTrouble, match="in use by another Burrow"):
        await storage.drafts.save(ADA, "task", "new", {"title": "patient"})
    other.execute("COMMIT")
    other.close()
    await storage.close()
    storage = Storage.open(tmp_path)
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "patient"}
    await storage.close()


def test_a_change_that_reads_before_it_writes_is_not_overtaken_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "burrow.sqlite3"
    mine, other = Database(path), Database(path)
    insert = "INSERT INTO settings VALUES (?, '1')"
    late = threading.Thread(
        target=lambda: other.write(lambda connection: connection.execute(insert, ("other",)), durable=False)
    )

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT * FROM settings").fetchall()
        late.start()
        late.join(0.3)
        connection.execute(insert, ("mine",))

    try:
        mine.write(change, durable=False)
        late.join(10)
        assert {key for (key,) in mine.read("SELECT key FROM settings")} >= {"mine", "other"}
    finally:
        mine.close()
        other.close()


def test_what_is_written_after_the_file_was_replaced_goes_into_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "burrow.sqlite3"
    mine = Database(path)
    insert = "INSERT INTO settings VALUES ('late', '1')"
    try:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{path}.aside{suffix}")
        Database(path).close()
        mine.write(lambda connection: connection.execute(insert), durable=False)
        there = Database(path)
        assert there.read("SELECT key FROM settings WHERE key = 'late'") == [("late",)]
        there.close()
    finally:
        mine.close()
