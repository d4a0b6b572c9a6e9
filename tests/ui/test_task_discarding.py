"""What was discarded stays stored until the time to undo is over, so that a crash within it loses nothing."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.core.errors import Offline
from app.core.posthog.types import NewTask
from app.core.storage.attachments import FIELD
from app.core.storage.storage import FILE_NAME
from app.ui.tasks.wording import SendState
from tests.ui._tasks_fakes import FakeTasks, settle, task, until
from tests.ui.test_task_drafts import Opens, Window, opens, pytestmark

__all__ = ["opens", "pytestmark"]


def on_disk(folder: Path) -> list[str]:
    """The descriptions that another process would find if this one died now."""
    path = folder / FILE_NAME
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT fields FROM drafts WHERE kind = 'task'").fetchall()
    return sorted(json.loads(fields)["description"] for (fields,) in rows)


async def discard(window: Window, title: str) -> None:
    await window.pick(title)
    QTest.keyClick(window.place.pane.table, Qt.Key.Key_Delete)
    await until(lambda: title not in window.titles)
    await settle()


async def test_a_discarded_draft_is_stored_until_the_time_to_undo_is_over(opens: Opens, tmp_path: Path) -> None:
    async with opens(FakeTasks([task(1)])) as window:
        await window.new("One")
        await discard(window, "One")
        await window.look()
        assert "One" not in window.titles
        assert on_disk(tmp_path) == ["One"]
        window.place.pane.undo.settle()
        await until(lambda: on_disk(tmp_path) == [])
        await window.look()
        assert "One" not in window.titles


async def test_words_that_were_not_stored_yet_are_stored_when_they_are_discarded(opens: Opens, tmp_path: Path) -> None:
    async with opens() as window:
        await window.new("One")
        window.composer.description.setPlainText("One and more")
        window.composer.discard.click()
        await until(lambda: on_disk(tmp_path) == ["One and more"])
        window.place.pane.undo.undo()
        assert window.composer.description.toPlainText() == "One and more"
        await until(lambda: "One and more" in window.titles)
        await window.save()
        assert on_disk(tmp_path) == ["One and more"]


async def test_undo_keeps_what_is_written_meanwhile_as_a_draft_beside_the_one_that_comes_back(opens: Opens) -> None:
    async with opens() as window:
        await window.new("One")
        await discard(window, "One")
        await window.new("Written meanwhile")
        window.place.pane.undo.undo()
        await until(lambda: {"One", "Written meanwhile"} <= set(window.titles))
        assert window.composer.description.toPlainText() == "One"
        assert await window.stored() == ["One", "Written meanwhile"]


async def test_a_draft_that_is_not_open_is_discarded_and_brought_back_with_its_files(opens: Opens) -> None:
    async with opens(FakeTasks([task(1)])) as window:
        for words in ("One", "Two"):
            await window.new(words)
        draft = next(each for each in window.place.drafts.all if each.fields["description"] == "One")
        window.place.draft_actions._discard(draft)
        await window.look()
        assert "One" not in window.titles
        assert window.composer.description.toPlainText() == "Two"
        window.place.pane.undo.undo()
        assert window.composer.description.toPlainText() == "One"
        await until(lambda: {"One", "Two"} <= set(window.titles))
        assert await window.stored() == ["One", "Two"]


async def test_quitting_ends_the_time_to_undo(opens: Opens, tmp_path: Path) -> None:
    async with opens() as window:
        await window.new("One")
        await discard(window, "One")
        await window.place.flush()
        assert on_disk(tmp_path) == []


async def test_another_account_ends_the_time_to_undo(opens: Opens, tmp_path: Path) -> None:
    async with opens() as window:
        backend = window.place.backend
        await window.new("One")
        await discard(window, "One")
        window.place.set_backend(None)
        await until(lambda: on_disk(tmp_path) == [])
        window.place.set_backend(backend)
        await window.look()
        assert "One" not in window.titles


async def test_a_task_that_was_not_sent_is_stored_as_a_draft_while_its_discarding_can_be_undone(
    opens: Opens, tmp_path: Path
) -> None:
    tasks = FakeTasks([task(1)])
    tasks.fail["create"] = Offline("No connection.")
    async with opens(tasks) as window:
        outbox = window.place.outbox
        pending_id = outbox.send(NewTask(description="Not sent"))
        await until(lambda: outbox.pending[0].state is SendState.CONNECTION)
        await window.pick("Not sent")
        QTest.keyClick(window.place.pane.table, Qt.Key.Key_Delete)
        assert outbox.get(pending_id) is None
        await until(lambda: on_disk(tmp_path) == ["Not sent"])
        await window.look()
        assert "Not sent" not in window.titles
        window.place.pane.undo.undo()
        assert window.composer.fields()["description"] == "Not sent"
        assert FIELD not in window.composer.fields()
