"""The activity shows the newest first, survives a restart, and never makes its caller wait."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from app.core.diagnostics import activity as activity_module
from app.core.diagnostics.activity import Activity, ActivityRecord
from app.core.errors import StorageTrouble
from app.core.storage import Storage

if TYPE_CHECKING:
    from pathlib import Path


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_an_export_to_a_place_that_cannot_be_written_names_it(tmp_path: Path) -> None:
    activity = Activity()
    activity.record("http", "x", "GET /")
    with pytest.raises(StorageTrouble, match="no-such-folder"):
        await activity.export(tmp_path / "no-such-folder" / "activity.jsonl")


async def test_records_come_back_after_a_restart_in_order_and_without_secrets(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    activity = Activity(storage.activity)
    for number in range(3):
        activity.record(
            "http",
            "https://us.posthog.com",
            f"GET /api/{number}?code=Zq9supersecret",
            status="200",
            milliseconds=12.5,
            detail={"headers": {"Authorization": "Bearer pha_Zq9supersecret"}, "number": number},
        )
    before = activity.records()
    await storage.close()
    assert b"Zq9supersecret" not in everything_in(tmp_path)
    storage = Storage.open(tmp_path)
    activity = Activity(storage.activity)
    newest = activity.record("auth", "https://us.posthog.com", "renewed", "ok")
    await activity.load()
    assert activity.records() == (newest, *before)
    assert [record.detail.get("number") for record in activity.records()] == [None, 2, 1, 0]
    await activity.close()
    await storage.close()


async def test_a_record_is_told_as_it_is_kept() -> None:
    activity = Activity()
    heard: list[ActivityRecord] = []
    activity.changed.subscribe(heard.append)
    record = activity.record("mcp", "Docs", "tools/call", "ok", None, {"password": "hunter2", "n": 1})
    assert heard == [record]
    assert activity.records() == (record,)
    assert record.detail == {"password": "[redacted]", "n": 1}
    assert abs(record.at - time.time()) < 5
    await activity.load()
    await activity.flush()


def test_the_ring_keeps_the_newest_five_thousand() -> None:
    activity = Activity()
    for number in range(5_100):
        activity.record("http", "x", str(number))
    records = activity.records()
    assert len(records) == 5_000
    assert (records[0].summary, records[-1].summary) == ("5099", "100")


def test_large_details_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_module, "RING_CHARACTERS", 300_000)
    activity = Activity()
    for number in range(50):
        activity.record("mcp", "x", str(number), detail={"body": "y" * 60_000})
    records = activity.records()
    assert [record.summary for record in records] == ["49", "48", "47", "46"]
    assert activity._characters < 300_000


async def test_recording_does_not_wait_for_a_busy_disk(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    activity = Activity(storage.activity)
    gate = threading.Event()
    storage._writer.submit(gate.wait)
    threads = [
        threading.Thread(target=lambda: [activity.record("http", "x", "y") for _ in range(100)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert len(activity.records()) == 400
    gate.set()
    await activity.flush()
    assert storage._database.read("SELECT count(*) FROM activity") == [(400,)]
    await storage.close()


async def test_records_reach_the_disk_by_themselves_in_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.storage.log.BATCH_SECONDS", 0.05)
    storage = Storage.open(tmp_path)
    written: list[int] = []
    done = threading.Event()
    insert = storage.activity._insert

    def watched(connection: object, batch: list[object]) -> None:
        insert(connection, batch)  # type: ignore[arg-type]
        written.append(len(batch))
        done.set()

    monkeypatch.setattr(storage.activity, "_insert", watched)
    activity = Activity(storage.activity)
    for number in range(200):
        activity.record("http", "x", str(number))
    assert done.wait(5)
    await storage.close()
    assert sum(written) == 200
    assert len(written) <= 3


async def test_what_a_full_disk_refused_is_written_later(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    connection = storage._database._connection
    assert connection is not None
    [(pages,)] = connection.execute("PRAGMA page_count")
    connection.execute(f"PRAGMA max_page_count={pages}")
    activity = Activity(storage.activity)
    activity.record("mcp", "x", "first", detail={"body": "y" * 60_000})
    await activity.flush()
    activity.record("mcp", "x", "second")
    connection.execute("PRAGMA max_page_count=1073741823")
    await activity.flush()
    await storage.close()
    storage = Storage.open(tmp_path)
    assert [row.summary for row in await storage.activity.load()] == ["first", "second"]
    await storage.close()


async def test_the_oldest_rows_leave_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.storage.log.MAX_ROWS", 20)
    monkeypatch.setattr("app.core.storage.log.TRIM_EVERY", 10)
    storage = Storage.open(tmp_path)
    activity = Activity(storage.activity)
    for number in range(100):
        activity.record("http", "x", str(number))
        if number % 10 == 9:
            await activity.flush()
    rows = storage._database.read("SELECT summary FROM activity ORDER BY number")
    assert rows[-1] == ("99",)
    assert 20 <= len(rows) < 30
    await activity.clear()
    assert activity.records() == ()
    assert storage._database.read("SELECT count(*) FROM activity") == [(0,)]
    await storage.close()


async def test_a_record_after_the_end_is_no_error(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    activity = Activity(storage.activity)
    await storage.close()
    activity.record("http", "x", "late")
    assert activity.records()[0].summary == "late"


async def test_the_export_is_json_lines_from_the_oldest(tmp_path: Path) -> None:
    activity = Activity()
    activity.record("http", "https://us.posthog.com", "GET /a", "200", 1.5, {"text": "ünïcode \ud800"})
    activity.record("auth", "https://us.posthog.com", "renewed\nwith a line", "ok")
    path = tmp_path / "activity.jsonl"
    assert await activity.export(path) == 2
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["summary"] for line in lines] == ["GET /a", "renewed\nwith a line"]
    assert lines[0]["milliseconds"] == 1.5
    assert lines[0]["detail"]["text"].startswith("ünïcode")
    assert path.stat().st_mode & 0o077 == 0


def test_activity_imports_nothing_heavy() -> None:
    program = """
import asyncio, logging, sys
before = set(sys.modules)
from app.core.diagnostics.activity import Activity
Activity().record("mcp", "Docs", "tools/call search", "ok", 12.0, {"request": {"arguments": {"query": "x"}}})
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new & set("httpx httpx2 keyring mcp pydantic msgspec filelock PySide6 uuid http".split())))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout == "[]\n"
