"""What a person typed, chose and saw last is there again, for the right account only."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from app.core.errors import StorageTrouble
from app.core.storage import Cached, Scope, Storage
from app.core.storage.database import Database
from app.core.storage.stops import Stop
from app.core.storage.values import GrantEvent
from app.core.storage.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

ADA = Scope("us", "ada")
BOB = Scope("us", "bob")
ADA_EU = Scope("eu", "ada")


async def test_a_draft_is_there_after_a_restart(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.drafts.save(ADA, "task", "new", {"title": "Fix it", "description": "½ \ud800 …"})
    await storage.close()
    storage = Storage.open(tmp_path)
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "Fix it", "description": "½ \ud800 …"}
    assert storage.notice is None
    await storage.close()


async def test_nobody_sees_the_draft_of_another_account_or_host(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.drafts.save(ADA, "task", "new", {"title": "mine"})
    await storage.drafts.discard(BOB, "task", "new")
    assert await storage.drafts.load(BOB, "task", "new") is None
    assert await storage.drafts.load(ADA_EU, "task", "new") is None
    assert await storage.drafts.list(BOB) == ()
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "mine"}
    await storage.close()


async def test_a_discarded_draft_is_gone_and_the_last_saved_is_listed_first(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    for name in ("one", "two", "three"):
        await storage.drafts.save(ADA, "task", name, {"title": name})
    await storage.drafts.save(ADA, "task", "one", {"title": "one again"})
    await storage.drafts.discard(ADA, "task", "two")
    drafts = await storage.drafts.list(ADA)
    assert [(draft.id, draft.fields["title"]) for draft in drafts] == [("one", "one again"), ("three", "three")]
    assert await storage.drafts.load(ADA, "task", "two") is None
    await storage.close()


async def test_the_outbox_keeps_order_and_state_until_an_item_is_removed(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    first = await storage.outbox.add(ADA, "create-task", {"title": "a", "nested": {"n": [1, None]}})
    second = await storage.outbox.add(ADA, "create-task", {"title": "b"})
    await storage.outbox.add(BOB, "create-task", {"title": "not Ada's"})
    assert first.state == "waiting"
    assert await storage.outbox.update(first.id, "sent")
    await storage.close()
    storage = Storage.open(tmp_path)
    items = await storage.outbox.list(ADA)
    assert [(item.id, item.state) for item in items] == [(first.id, "sent"), (second.id, "waiting")]
    assert items[0].payload == {"title": "a", "nested": {"n": [1, None]}}
    assert await storage.outbox.remove(first.id)
    assert not await storage.outbox.remove(first.id)
    assert not await storage.outbox.update(first.id, "sent")
    assert [item.id for item in await storage.outbox.list(ADA)] == [second.id]
    await storage.close()


async def test_a_stopped_turn_is_known_after_a_restart_to_who_stopped_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.open(tmp_path)
    for stop in (Stop("r1:1:", 3, 10.0), Stop("r1:2:", 2, 20.0), Stop("r1:2:", 4, 21.0), Stop("r1:3:", 1, 30.0)):
        await storage.stops.keep(ADA, "t1", stop)
    await storage.stops.keep(BOB, "t1", Stop("r1:9:", 1, 40.0))
    await storage.stops.forget(ADA, "t1", "r1:3:")
    await storage.close()
    storage = Storage.open(tmp_path)
    assert await storage.stops.list(ADA, "t1") == (Stop("r1:1:", 3, 10.0), Stop("r1:2:", 4, 21.0))
    assert await storage.stops.list(ADA, "t2") == await storage.stops.list(ADA_EU, "t1") == ()
    # Not without end.
    monkeypatch.setattr("app.core.storage.stops.KEPT", 2)
    await storage.stops.keep(ADA, "t2", Stop("r2:1:", 1, 50.0))
    assert await storage.stops.list(ADA, "t1") == ()
    await storage.close()


async def test_the_cache_says_how_old_an_answer_is(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    payload = bytes(range(256)) * 2_000
    await storage.cache.put(ADA, "tasks", b"older")
    await storage.cache.put(ADA, "tasks", payload)
    cached = await storage.cache.get(ADA, "tasks")
    assert isinstance(cached, Cached)
    assert cached.payload == payload
    assert cached.stored_at > 1_600_000_000
    assert await storage.cache.get(BOB, "tasks") is None
    await storage.cache.clear(ADA)
    assert await storage.cache.get(ADA, "tasks") is None
    await storage.close()


async def test_a_setting_is_read_without_waiting_and_survives_a_restart(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    assert storage.settings.get("theme", "system") == "system"
    await storage.settings.set("theme", "dark")
    await storage.settings.set("columns", [1, {"wide": True}])
    storage.settings.get("columns").append("a change to the copy")
    await storage.settings.set("gone", 1)
    await storage.settings.remove("gone")
    await storage.close()
    storage = Storage.open(tmp_path)
    assert storage.settings.get("theme", "system") == "dark"
    assert storage.settings.get("columns") == [1, {"wide": True}]
    assert storage.settings.get("gone", "default") == "default"
    await storage.close()


async def test_closing_twice_is_one_closing_and_later_work_is_refused(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.drafts.save(ADA, "task", "new", {"title": "kept"})
    await asyncio.gather(storage.close(), storage.close())
    await storage.close()
    with pytest.raises(StorageTrouble, match="closed"):
        await storage.drafts.save(ADA, "task", "new", {"title": "late"})
    assert not (tmp_path / "burrow.sqlite3-wal").exists()


async def test_closing_an_unused_storage_leaves_no_thread(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.close()
    for thread in threading.enumerate():
        if thread.name == "burrow-storage":
            thread.join(5)
            assert not thread.is_alive()


async def test_a_save_whose_view_was_closed_is_still_written(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    gate = threading.Event()
    storage._writer.submit(gate.wait)
    saving = asyncio.ensure_future(storage.drafts.save(ADA, "task", "new", {"title": "typed"}))
    await asyncio.sleep(0)
    saving.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "typed"}
    await storage.close()


async def test_fast_typing_costs_one_write(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    gate = threading.Event()
    storage._writer.submit(gate.wait)
    before = storage._database._connection.total_changes  # type: ignore[union-attr]
    saves = [
        asyncio.ensure_future(storage.drafts.save(ADA, "task", "new", {"title": "x" * length}))
        for length in range(1, 51)
    ]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*saves)
    assert storage._database._connection.total_changes == before + 1  # type: ignore[union-attr]
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "x" * 50}
    await storage.close()


async def test_a_storage_in_memory_works_and_leaves_nothing(tmp_path: Path) -> None:
    storage = Storage.in_memory()
    await storage.drafts.save(ADA, "task", "new", {"title": "here"})
    await storage.settings.set("a", 1)
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "here"}
    await storage.close()
    assert os.listdir(tmp_path) == []


def test_the_file_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    storage = Storage.open(folder)
    assert folder.stat().st_mode & 0o077 == 0
    assert {path.name: path.stat().st_mode & 0o077 for path in folder.iterdir()} == dict.fromkeys(
        (path.name for path in folder.iterdir()), 0
    )
    asyncio.run(storage.close())


def test_a_job_that_fails_does_not_end_the_writer() -> None:
    writer = Writer("test-writer")
    with pytest.raises(ZeroDivisionError):
        writer.submit(lambda: 1 / 0).result(5)
    assert writer.submit(lambda: 2).result(5) == 2
    done: list[str] = []
    writer.later("once", 60, lambda: done.append("first"))
    writer.later("once", 60, lambda: done.append("second"))
    writer.close(lambda: done.append("last")).result(5)
    assert done == ["first", "last"]


def test_a_delayed_job_runs_in_time_and_its_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer("test-writer")
    ran = threading.Event()

    def job() -> None:
        ran.set()
        raise ValueError("planted")

    writer.later("once", 0.01, job)
    assert ran.wait(5)
    assert writer.submit(lambda: 1).result(5) == 1
    writer.close(lambda: None).result(5)
    assert "planted" in caplog.text


def test_opening_imports_nothing_heavy(tmp_path: Path) -> None:
    asyncio.run(Storage.open(tmp_path).close())
    program = """
import sys
from pathlib import Path
import asyncio, logging
before = set(sys.modules)
from app.core.storage import Storage
new = set(sys.modules) - before
heavy = {name.partition(".")[0] for name in new} & set(
    "httpx httpx2 keyring mcp pydantic uvicorn starlette msgspec filelock PySide6 uuid http".split()
)
asyncio.run(Storage.open(Path(sys.argv[1])).close())
print(sorted(heavy))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout == "[]\n"


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_a_durable_change_is_flushed_at_its_commit_and_any_other_at_a_checkpoint(
    tmp_path: Path, durable: bool, level: int
) -> None:
    database = Database(tmp_path / "d.sqlite3")
    # `PRAGMA synchronous`: 2 is FULL, 1 is NORMAL.
    for asked, expected in ((not durable, 3 - level), (durable, level)):
        [(found,)] = database.write(lambda c: c.execute("PRAGMA synchronous").fetchall(), durable=asked)
        assert found == expected
    database.close()
    [(found,)] = database.write(lambda c: c.execute("PRAGMA synchronous").fetchall(), durable=durable)
    assert found == level
    database.close()


async def test_what_must_not_be_lost_is_written_durably(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[bool] = []
    write = Database.write

    def watched(database: Database, change: Any, *, durable: bool) -> Any:
        levels.append(durable)
        return write(database, change, durable=durable)

    storage = Storage.open(tmp_path)
    monkeypatch.setattr(Database, "write", watched)
    await storage.drafts.save(ADA, "task", "new", {"title": "a"})
    await storage.drafts.discard(ADA, "task", "new")
    item = await storage.outbox.add(ADA, "create_task", {"title": "a"})
    await storage.outbox.update(item.id, "sent")
    await storage.outbox.remove(item.id)
    await storage.grants.add(GrantEvent(0, "us", "renewal", "c", "t", "r", "p", 1.0, 1.0, 1, "f", open=True))
    assert levels == [True] * 6
    await storage.close()
