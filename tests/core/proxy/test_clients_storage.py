"""The clients of the proxy, their keys and their sessions are there after a restart, for every process, and bounded."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from app.core.errors import StorageTrouble
from app.core.storage import Scope, Storage
from app.core.storage.database import SUFFIXES
from app.core.storage.lease import LOCKS_FOLDER, Lease
from app.core.storage.migrations import MIGRATIONS
from app.core.storage.proxy_clients import LOCK_PREFIX, REVOKED_CLIENTS, RUN_PROGRAM, ClientRow, RuleRow, UseRow
from app.core.storage.proxy_sessions import LONGEST_OPENING, SESSIONS, SESSIONS_OF_A_CLIENT, SessionRow
from app.core.storage.storage import FILE_NAME
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS_BEFORE = 7

CURSOR = ClientRow("c1", "Cursor", "cursor", 1_000.0)
SCRIPT = ClientRow("c2", "a script ½", "", 2_000.0, ("own:1", "store:2"))


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    opened = Storage.open(tmp_path)
    yield opened
    asyncio.run(opened.close())


def session(id_: str, client: str = "c1", opening: bytes = b"{}") -> SessionRow:
    return SessionRow(id_, client, "own:1", opening, "upstream " + id_, "2025-06-18")


def written(storage: Storage) -> None:
    """Wait until the uses that are counted are in the database, if it takes them."""
    storage._writer.submit(storage.proxy_clients._flush).result(5)


async def test_a_client_is_there_after_a_restart_with_its_key_rules_and_use(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.proxy_clients.add(SCRIPT, "hash 2")
    await storage.proxy_clients.add(CURSOR, "hash 1")
    assert await storage.proxy_clients.set_rules("c1", "own:1", {"drop": "block"})
    assert await storage.proxy_clients.set_rules("c1", "own:1", {"drop": "ask"})
    assert await storage.proxy_clients.set_rules("c1", "own:1", {"read": "allow"})
    assert await storage.proxy_clients.set_rules("c1", "own:1", {"read": None})
    storage.proxy_clients.count(UseRow("c1", "own:1", 3, 50.0, "Cursor 2"))
    assert (await storage.proxy_clients.all()).use == (UseRow("c1", "own:1", 3, 50.0, "Cursor 2"),)
    for use in (
        UseRow("c1", "own:1", 1, 40.0, ""),
        UseRow("c1", "own:2", 0, 60.0, "x"),
        UseRow("c1", "own:1", 1, 4.0, ""),
    ):
        storage.proxy_clients.count(use)
    await storage.close()
    storage.proxy_clients.count(UseRow("c1", "own:1", 1, 99.0, ""))
    storage = Storage.open(tmp_path)
    found = await storage.proxy_clients.all()
    assert found.clients == (CURSOR, SCRIPT)
    assert found.keys == {"hash 1": "c1", "hash 2": "c2"}
    assert found.rules == (RuleRow("c1", "own:1", "drop", "ask"),)
    assert found.use == (UseRow("c1", "own:1", 5, 50.0, "Cursor 2"), UseRow("c1", "own:2", 0, 60.0, "x"))
    await storage.close()


async def test_a_name_belongs_to_one_client_until_that_is_revoked(storage: Storage) -> None:
    clients = storage.proxy_clients
    assert await clients.add(CURSOR, "hash 1")
    assert await clients.add(SCRIPT, "hash 2")
    assert not await clients.add(ClientRow("c3", "CURSOR", "", 3.0), "hash 3")
    assert not await clients.rename("c2", "cursor")
    assert await clients.rename("c1", "cursor")
    assert (await clients.all()).keys == {"hash 1": "c1", "hash 2": "c2"}
    await clients.revoke("c1", 4.0)
    assert await clients.rename("c2", "Cursor")


async def test_uses_that_the_full_disk_refused_are_counted_later(storage: Storage) -> None:
    clients = storage.proxy_clients
    await clients.add(CURSOR, "hash 1")
    connection = storage._database._connection
    assert connection is not None
    [(pages,)] = connection.execute("PRAGMA page_count")
    connection.execute(f"PRAGMA max_page_count={pages}")
    for number in range(200):
        clients.count(UseRow("c1", f"a server with a rather long id, {number:04}", 1, 2.0, "x" * 100))
    written(storage)
    assert connection.execute("SELECT count(*) FROM proxy_use").fetchone() == (0,)
    connection.execute("PRAGMA max_page_count=1073741823")
    clients.count(UseRow("c1", "a server with a rather long id, 0007", 1, 3.0, ""))
    written(storage)
    assert connection.execute("SELECT count(*) FROM proxy_use").fetchone() == (200,)
    use = (await clients.all()).use
    assert len(use) == 200
    assert use[7] == UseRow("c1", "a server with a rather long id, 0007", 2, 3.0, "x" * 100)


async def test_a_client_that_nobody_has_cannot_be_changed(storage: Storage) -> None:
    clients = storage.proxy_clients
    assert not await clients.rename("c1", "x")
    assert not await clients.set_servers("c1", None)
    assert not await clients.set_rules("c1", "s", {"t": "allow"})
    assert not await clients.renew_key("c1", "hash", 1.0)
    assert not await clients.lend_key("c1", "hash", "owner", 1.0)
    assert not await clients.revoke("c1", 1.0)
    found = await clients.all()
    assert (found.clients, found.keys, found.rules) == ((), {}, ())


async def test_a_revoked_client_has_no_key_session_or_rule_and_can_never_get_one(storage: Storage) -> None:
    clients = storage.proxy_clients
    await clients.add(CURSOR, "hash 1")
    await clients.add(SCRIPT, "hash 2")
    await clients.lend_key("c1", "lent", "", 1.0)
    await clients.set_rules("c1", "s", {"t": "block"})
    clients.count(UseRow("c1", "s", 3, 50.0, ""))
    await storage.proxy_sessions.put(session("s1"))
    assert await clients.revoke("c1", 9.0)
    assert not await clients.revoke("c1", 10.0)
    assert not await clients.renew_key("c1", "hash 3", 11.0)
    assert not await clients.lend_key("c1", "hash 4", "", 11.0)
    assert not await clients.set_rules("c1", "s", {"t": "allow"})
    found = await clients.all()
    assert found.keys == {"hash 2": "c2"}
    assert found.rules == ()
    assert found.clients == (CURSOR._replace(revoked_at=9.0), SCRIPT)
    assert found.use == (UseRow("c1", "s", 3, 50.0, ""),)
    assert await storage.proxy_sessions.get("s1") is None


async def test_the_newest_revoked_clients_are_kept_and_no_other_is_lost(storage: Storage) -> None:
    clients = storage.proxy_clients
    await clients.add(SCRIPT, "hash 2")
    for number in range(REVOKED_CLIENTS + 3):
        await clients.add(ClientRow(f"old{number}", "x", "", 1.0), f"hash of {number}")
        clients.count(UseRow(f"old{number}", "s", 1, 1.0, ""))
        if number % 2:
            written(storage)
        await clients.revoke(f"old{number}", float(number))
    written(storage)
    found = await clients.all()
    assert {client.id for client in found.clients} == {"c2", *(f"old{n}" for n in range(3, REVOKED_CLIENTS + 3))}
    assert len(found.use) == REVOKED_CLIENTS


async def test_the_key_of_a_run_is_forgotten_and_takes_the_place_of_no_other_that_was_revoked(storage: Storage) -> None:
    clients = storage.proxy_clients
    await clients.add(CURSOR, "hash 1")
    await clients.revoke("c1", 1.0)
    for number in range(REVOKED_CLIENTS + 1):
        run = f"run{number}"
        await clients.add(ClientRow(run, f"Run {number}", RUN_PROGRAM, 2.0), f"hash of {number}")
        clients.count(UseRow(run, "s", 1, 3.0, ""))
        await clients.revoke(run, 4.0)
    written(storage)
    found = await clients.all()
    assert [client.id for client in found.clients] == ["c1"]
    assert found.use == ()


async def test_a_new_key_takes_the_place_of_the_old_one_and_leaves_those_of_processes(
    storage: Storage, tmp_path: Path
) -> None:
    clients = storage.proxy_clients
    lease = Lease(tmp_path / LOCKS_FOLDER, LOCK_PREFIX)
    await clients.add(CURSOR, "hash 1")
    assert await clients.lend_key("c1", "lent", lease.take(), 1.0)
    assert await clients.renew_key("c1", "hash 2", 2.0)
    assert (await clients.all()).keys == {"hash 2": "c1", "lent": "c1"}
    await clients.return_key("lent")
    assert (await clients.all()).keys == {"hash 2": "c1"}
    lease.release()


HOLDER = """
import sys, time
from pathlib import Path
from app.core.storage.database import SUFFIXES
from app.core.storage.lease import Lease
lease = Lease(Path(sys.argv[1]), sys.argv[2])
print(lease.take(), flush=True)
time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that has a lease and prints its name."""
    return subprocess.Popen([sys.executable, "-c", HOLDER, str(folder), LOCK_PREFIX], stdout=subprocess.PIPE, text=True)


async def test_the_keys_of_processes_that_were_killed_are_deleted_by_the_next(storage: Storage, tmp_path: Path) -> None:
    clients, folder = storage.proxy_clients, tmp_path / LOCKS_FOLDER
    await clients.add(CURSOR, "hash 1")
    lease = Lease(folder, LOCK_PREFIX)
    with holder(folder) as other:
        assert other.stdout is not None
        owner = other.stdout.readline().strip()
        assert await clients.lend_key("c1", "of the other", owner, 1.0)
        assert await clients.lend_key("c1", "mine", lease.take(), 2.0)
        assert set((await clients.all()).keys) == {"hash 1", "of the other", "mine"}
        other.kill()
    assert await clients.lend_key("c1", "mine too", lease.take(), 3.0)
    assert set((await clients.all()).keys) == {"hash 1", "mine", "mine too"}
    lease.release()


async def test_the_version_changes_with_what_another_process_changes(storage: Storage, tmp_path: Path) -> None:
    other = Storage.open(tmp_path)
    before = await storage.proxy_clients.version()
    assert await storage.proxy_clients.version() == before
    await other.proxy_clients.add(CURSOR, "hash 1")
    found = await storage.proxy_clients.all()
    assert found.version != before
    assert found.clients == (CURSOR,)
    await other.close()


async def test_the_version_changes_when_another_database_takes_the_place(storage: Storage, tmp_path: Path) -> None:
    await storage.proxy_clients.add(CURSOR, "hash 1")
    before = await storage.proxy_clients.version()
    for suffix in SUFFIXES:
        os.unlink(f"{tmp_path / FILE_NAME}{suffix}")
    assert await storage.proxy_clients.version() != before
    assert (await storage.proxy_clients.all()).keys == {}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE proxy_clients SET servers = 'null' WHERE id = 'c1'",
        "UPDATE proxy_clients SET servers = '[1]' WHERE id = 'c1'",
        "UPDATE proxy_clients SET servers = '[' WHERE id = 'c1'",
        "UPDATE proxy_clients SET name = CAST(x'ff' AS TEXT) WHERE id = 'c1'",
        "UPDATE proxy_clients SET created_at = 'soon' WHERE id = 'c1'",
        "UPDATE proxy_clients SET revoked_at = 1e300 WHERE id = 'c1'",
    ],
)
async def test_a_client_that_cannot_be_read_is_set_aside_alone(storage: Storage, tmp_path: Path, damage: str) -> None:
    await storage.proxy_clients.add(CURSOR, "hash 1")
    await storage.proxy_clients.add(SCRIPT, "hash 2")
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute(damage)
    connection.commit()
    found = await storage.proxy_clients.all()
    assert found.clients == (SCRIPT,)
    assert connection.execute("SELECT origin FROM set_aside").fetchall() == [("proxy_clients",)]
    connection.close()
    assert "could not be read" in (storage.notice or "")


async def test_rows_of_the_other_tables_that_cannot_be_read_are_set_aside_alone(
    storage: Storage, tmp_path: Path
) -> None:
    clients, sessions = storage.proxy_clients, storage.proxy_sessions
    await clients.add(CURSOR, "hash 1")
    await clients.set_rules("c1", "s", {"t": "block"})
    clients.count(UseRow("c1", "s", 1, 1.0, ""))
    await sessions.put(session("s1"))
    await sessions.put(session("s2"))
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("INSERT INTO proxy_keys VALUES ('odd', x'01', '', 1)")
    connection.execute("INSERT INTO proxy_rules VALUES ('c1', 's', x'ff', 'block')")
    connection.execute("INSERT INTO proxy_use VALUES ('c1', 'odd', 'many', 1, '')")
    connection.execute("UPDATE proxy_sessions SET opening = 'a text' WHERE id = 's1'")
    connection.commit()
    found = await clients.all()
    assert found.keys == {"hash 1": "c1"}
    assert found.rules == (RuleRow("c1", "s", "t", "block"),)
    assert found.use == (UseRow("c1", "s", 1, 1.0, ""),)
    assert await sessions.get("s1") is None
    assert await sessions.get("s2") is not None
    origins = {origin for (origin,) in connection.execute("SELECT origin FROM set_aside")}
    assert origins == {"proxy_keys", "proxy_rules", "proxy_use", "proxy_sessions"}
    connection.close()


async def test_a_session_is_there_after_a_restart_byte_for_byte(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    opening = bytes(range(256)) * 256
    assert len(opening) == LONGEST_OPENING
    assert await storage.proxy_sessions.put(session("s1", opening=opening))
    assert not await storage.proxy_sessions.put(session("s2", opening=opening + b"x"))
    await storage.close()
    storage = Storage.open(tmp_path)
    found = await storage.proxy_sessions.get("s1")
    assert found is not None
    assert found.used_at > 1_600_000_000
    assert found == session("s1", opening=opening)._replace(used_at=found.used_at)
    assert await storage.proxy_sessions.get("s2") is None
    await storage.proxy_sessions.put(found._replace(upstream_id="another"))
    again = await storage.proxy_sessions.get("s1")
    assert again is not None
    assert again.upstream_id == "another"
    await storage.proxy_sessions.delete("s1")
    await storage.proxy_sessions.delete("s1")
    assert await storage.proxy_sessions.get("s1") is None
    await storage.close()


async def test_the_sessions_not_used_for_longest_go_first(storage: Storage, tmp_path: Path) -> None:
    sessions = storage.proxy_sessions
    rows = [(f"s{n}", f"c{n % 5}", "s", b"{}", "", "", float(n)) for n in range(SESSIONS)]
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executemany("INSERT INTO proxy_sessions VALUES (?, ?, ?, ?, ?, ?, '', ?)", rows)
    connection.commit()
    sessions.touch("s0")
    await sessions.put(session("new", client="c9"))
    left = {name for (name,) in connection.execute("SELECT id FROM proxy_sessions")}
    connection.close()
    assert left == {"new", *(f"s{n}" for n in range(SESSIONS) if n != 1)}


async def test_a_client_that_opens_a_session_for_each_call_pushes_out_only_its_own(
    storage: Storage, tmp_path: Path
) -> None:
    await storage.proxy_sessions.put(session("other", client="c2"))
    rows = [(f"s{n}", "c1", "s", b"{}", "", "", 1e9 + n) for n in range(SESSIONS_OF_A_CLIENT)]
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executemany("INSERT INTO proxy_sessions VALUES (?, ?, ?, ?, ?, ?, '', ?)", rows)
    connection.commit()
    await storage.proxy_sessions.put(session("new"))
    left = {name for (name,) in connection.execute("SELECT id FROM proxy_sessions")}
    connection.close()
    assert left == {"other", "new", *(f"s{n}" for n in range(1, SESSIONS_OF_A_CLIENT))}


async def test_a_touch_is_written_at_the_latest_when_the_storage_closes(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.proxy_sessions.put(session("s1"))
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("UPDATE proxy_sessions SET used_at = 1")
    connection.commit()
    thread = threading.Thread(target=storage.proxy_sessions.touch, args=("s1",))
    thread.start()
    thread.join()
    await storage.close()
    [(used_at,)] = connection.execute("SELECT used_at FROM proxy_sessions")
    connection.close()
    assert used_at > 1_600_000_000
    storage.proxy_sessions.touch("s1")


async def test_sessions_are_used_from_the_loop_of_another_thread(storage: Storage) -> None:
    found: list[SessionRow | None] = []

    async def work() -> None:
        await storage.proxy_sessions.put(session("s1"))
        found.append(await storage.proxy_sessions.get("s1"))

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    await until(lambda: not thread.is_alive())
    assert found[0] is not None


async def test_after_the_end_storing_is_refused(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.close()
    with pytest.raises(StorageTrouble):
        await storage.proxy_clients.add(CURSOR, "hash 1")
    with pytest.raises(StorageTrouble):
        await storage.proxy_sessions.get("s1")


async def test_a_folder_of_the_version_before_keeps_what_it_has(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    for step in MIGRATIONS[:STEPS_BEFORE]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={STEPS_BEFORE}")
    connection.execute("INSERT INTO drafts VALUES ('us', 'ada', 'task', 'new', '', '{\"title\": \"kept\"}', 1.0, '')")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert not any(name.startswith("proxy") for name in tables)
    storage = Storage.open(tmp_path)
    assert storage.notice is None
    assert await storage.drafts.load(Scope("us", "ada"), "task", "new") == {"title": "kept"}
    await storage.proxy_clients.add(CURSOR, "hash 1")
    await storage.proxy_sessions.put(session("s1"))
    await storage.close()
    storage = Storage.open(tmp_path)
    assert (await storage.proxy_clients.all()).clients == (CURSOR,)
    assert storage.notice is None
    await storage.close()
