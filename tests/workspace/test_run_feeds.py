"""The feed of a run and the streams that read it, in one process: what is dropped, and what is never lost."""

from __future__ import annotations

import json
import sqlite3
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from app.workspace.runner import journal
from app.workspace.runner.journal import RunJournal
from app.workspace.runtime.clock import AdjustableClock
from app.workspace.runtime.context import Workspace, WorkspaceSettings
from app.workspace.runtime.counters import RequestCounters
from app.workspace.runtime.database import WorkspaceDatabase
from app.workspace.runtime.fault_rules import FaultRules
from app.workspace.seed.fill import seed
from app.workspace.tasks import feeds, run_rows
from app.workspace.tasks.feeds import RunFeed, RunFeeds
from app.workspace.tasks.run_faults import RunFaults
from app.workspace.tasks.run_stream import events_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def a_workspace(folder: Path) -> AsyncIterator[tuple[Workspace, str, str]]:
    """A seeded workspace without its server, and the ids of a task and its run that has not ended."""
    database = WorkspaceDatabase.open(folder)
    settings = WorkspaceSettings("http://127.0.0.1:1", folder, "secret", "0")
    workspace = Workspace(settings, database, AdjustableClock(), FaultRules(), RequestCounters())
    try:
        await seed(workspace)
        query = "SELECT task_id, id FROM runs WHERE status = 'not_started'"
        task, run = await database.read(lambda db: tuple(db.execute(query).fetchone()))
        yield workspace, task, run
    finally:
        database.close()


def test_a_feed_drops_only_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_EVENTS", 3)
    feed = RunFeed(7)
    events = [feed.publish(str(number)) for number in range(5)]
    assert [event.data for event in feed.after(0)] == ["0", "1", "2", "3", "4"]
    assert feed.resumed("7-2") == 2
    for event in events[:4]:
        event.position = 1
    feed.publish("5")
    assert [event.data for event in feed.after(0)] == ["3", "4", "5"]
    assert (feed.resumed("7-3"), feed.resumed("7-2"), feed.resumed("8-3"), feed.resumed("7-9")) == (3, None, None, None)


async def test_a_reader_that_falls_behind_misses_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(feeds, "MOST_EVENTS", 20)
    async with a_workspace(tmp_path) as (workspace, task, run):
        stream = events_of(workspace, task, run, "", latest=True)
        assert "task_run_state" in await anext(stream)
        with workspace.state(RunFeeds).following(run) as feed:
            kept = RunJournal(workspace, run, feed)
            for number in range(300):
                kept.notify("note", number=number)
                if number % 50 == 0:
                    await kept.flush()
            for word in ("one ", "two"):
                kept.update({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": word}})
            seen: list[dict[str, Any]] = []
            while not seen or "two" not in json.dumps(seen[-1]):
                chunk = await anext(stream)
                data = [line[6:] for line in chunk.splitlines() if line.startswith("data: ")]
                seen += [json.loads(each)["notification"] for each in data]
            await kept.close()
        await stream.aclose()
        numbers = [each["params"]["number"] for each in seen if each["method"] == "note"]
        assert sorted(set(numbers)) == list(range(300))
        assert numbers == sorted(numbers)


async def test_a_stream_that_says_everything_twice_says_it_with_the_same_ids(tmp_path: Path) -> None:
    async with a_workspace(tmp_path) as (workspace, task, run):
        workspace.state(RunFaults).duplicate_events = True
        stream = events_of(workspace, task, run, "", latest=True)
        assert "task_run_state" in await anext(stream)
        with workspace.state(RunFeeds).following(run) as feed:
            feed.publish('{"n":1}')
            feed.publish('{"n":2}')
            chunk = await anext(stream)
        await stream.aclose()
        sent = [event.splitlines() for event in chunk.strip().split("\n\n")]
        assert [data for _, data in sent] == ['data: {"n":1}'] * 2 + ['data: {"n":2}'] * 2
        assert len({event_id for event_id, _ in sent}) == 2


async def test_a_database_that_refuses_delays_the_log_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.01)
    async with a_workspace(tmp_path) as (workspace, _, run):
        refusals = [sqlite3.OperationalError("disk full")] * 2
        store = run_rows.append_log

        def refusing(*arguments: Any) -> list[int]:
            if refusals:
                raise refusals.pop()
            return store(*arguments)

        monkeypatch.setattr(run_rows, "append_log", refusing)
        with workspace.state(RunFeeds).following(run) as feed:
            kept = RunJournal(workspace, run, feed)
            for number in range(3):
                kept.notify("note", number=number)
            await kept.flush()
            assert [event.position is not None for event in feed.after(0)] == [True] * 3
            await kept.close()
        assert refusals == []
        rows = await workspace.db.read(lambda db: run_rows.log_entries(db, run))
        assert [row["notification"]["params"]["number"] for row in rows] == [0, 1, 2]  # type: ignore[index]


async def test_the_pieces_of_a_message_are_stored_as_one_with_the_time_of_the_first(tmp_path: Path) -> None:
    async with a_workspace(tmp_path) as (workspace, _, run):
        with workspace.state(RunFeeds).following(run) as feed:
            kept = RunJournal(workspace, run, feed)
            for word in ("Good ", "morning"):
                kept.update({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": word}})
                workspace.clock.advance(60)
            kept.update({"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": "hm"}})
            await kept.close()
            live = [json.loads(event.data) for event in feed.after(0)]
        query = "SELECT entry FROM log_entries WHERE run_id = ? ORDER BY position"
        rows = await workspace.db.read(lambda db: db.execute(query, (run,)).fetchall())
        stored = [json.loads(row["entry"]) for row in rows]
    kinds = [each["notification"]["params"]["update"]["sessionUpdate"] for each in stored]
    assert kinds == ["agent_message", "agent_thought_chunk"]
    assert stored[0]["notification"]["params"]["update"]["content"]["text"] == "Good morning"
    assert len(live) == 3
    assert abs(_seconds(stored[0]) - _seconds(live[0])) < 30
    assert stored[0]["timestamp"] != live[0]["timestamp"]


def _seconds(entry: dict[str, Any]) -> float:
    return datetime.fromisoformat(entry["timestamp"]).timestamp()
