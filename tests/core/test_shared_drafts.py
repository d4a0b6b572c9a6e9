"""Drafts on a folder that several processes use: nobody overwrites what another window has typed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import StorageTrouble
from app.core.storage import Scope, Storage
from app.core.storage.migrations import MIGRATIONS
from app.core.storage.storage import FILE_NAME

ADA = Scope("us", "ada")
TOOL = ("tool.arguments", "server/search")


class Window:
    """Another process on the folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.core._drafts_process", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready\n"

    def ask(self, method: str, *arguments: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def texts(self) -> set[str]:
        return {draft["fields"]["text"] for draft in self.ask("list")}

    def close(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


Opens = Callable[[], Window]


@pytest.fixture
def opens(tmp_path: Path) -> Iterator[Opens]:
    opened: list[Window] = []

    def make() -> Window:
        opened.append(Window(tmp_path))
        return opened[-1]

    yield make
    for window in opened:
        if window.process.poll() is None:
            window.kill()


def test_two_windows_that_write_one_draft_keep_both_texts(opens: Opens) -> None:
    first, second = opens(), opens()
    first.ask("save", *TOOL, {"text": "typed in the first"})
    second.ask("save", *TOOL, {"text": "typed in the second"})
    first.ask("save", *TOOL, {"text": "typed on in the first"})
    second.ask("save", *TOOL, {"text": "typed on in the second"})
    assert first.texts() == {"typed on in the first", "typed on in the second"}
    assert first.ask("load", *TOOL) == {"text": "typed on in the first"}
    assert second.ask("load", *TOOL) == {"text": "typed on in the second"}


def test_a_draft_that_another_window_has_open_is_not_loaded_but_listed_as_open_there(opens: Opens) -> None:
    first, second = opens(), opens()
    first.ask("save", *TOOL, {"text": "mine"})
    assert second.ask("load", *TOOL) is None
    [shown] = second.ask("list")
    assert shown["held_elsewhere"]
    assert shown["fields"] == {"text": "mine"}
    assert not first.ask("list")[0]["held_elsewhere"]


def test_a_draft_of_another_window_cannot_be_discarded_until_that_window_is_closed(
    opens: Opens, tmp_path: Path
) -> None:
    first, second = opens(), opens()
    first.ask("save", *TOOL, {"text": "mine"})
    second.ask("discard", *TOOL)
    assert second.texts() == {"mine"}
    first.close()
    assert second.ask("load", *TOOL) == {"text": "mine"}
    second.ask("discard", *TOOL)
    assert second.ask("list") == []


def test_a_draft_whose_window_was_killed_is_opened_by_the_next_one(opens: Opens) -> None:
    first = opens()
    first.ask("save", *TOOL, {"text": "not lost"})
    first.kill()
    second, third = opens(), opens()
    assert second.ask("load", *TOOL) == {"text": "not lost"}
    # From then on it is the second window's.
    assert third.ask("load", *TOOL) is None


def test_a_draft_that_was_given_up_is_free_for_every_window(opens: Opens) -> None:
    first, second = opens(), opens()
    first.ask("save", *TOOL, {"text": "left"})
    first.ask("release", *TOOL)
    assert second.ask("load", *TOOL) == {"text": "left"}
    second.ask("save", *TOOL, {"text": "taken over"})
    # What the first window types now stands beside it.
    first.ask("save", *TOOL, {"text": "another thought"})
    assert second.texts() == {"taken over", "another thought"}


def test_what_a_window_types_without_having_loaded_the_draft_does_not_replace_it(opens: Opens) -> None:
    first = opens()
    first.ask("save", *TOOL, {"text": "of yesterday"})
    first.close()
    second = opens()
    second.ask("save", *TOOL, {"text": "of today"})
    assert second.texts() == {"of yesterday", "of today"}
    second.ask("discard", *TOOL)
    # The older one comes back once the newer one is done.
    assert second.ask("load", *TOOL) == {"text": "of yesterday"}


def test_of_several_copies_the_newest_that_nobody_holds_is_loaded(opens: Opens) -> None:
    first, second = opens(), opens()
    first.ask("save", *TOOL, {"text": "of yesterday"})
    first.close()
    second.ask("save", *TOOL, {"text": "being written"})
    assert opens().ask("load", *TOOL) == {"text": "of yesterday"}


def test_one_of_several_copies_is_opened_by_its_name(opens: Opens) -> None:
    first, second = opens(), opens()
    first.ask("save", *TOOL, {"text": "one"})
    second.ask("save", *TOOL, {"text": "two"})
    first.close()
    second.close()
    third = opens()
    copies = {draft["fields"]["text"]: draft["copy"] for draft in third.ask("list")}
    assert third.ask("load", *TOOL, copies["one"]) == {"text": "one"}
    third.ask("save", *TOOL, {"text": "one, and more"})
    assert third.texts() == {"one, and more", "two"}


async def test_two_storages_in_one_process_keep_apart_as_two_processes_do(tmp_path: Path) -> None:
    first, second = Storage.open(tmp_path), Storage.open(tmp_path)
    await first.drafts.save(ADA, *TOOL, {"text": "one"})
    await second.drafts.save(ADA, *TOOL, {"text": "two"})
    assert await first.drafts.load(ADA, *TOOL) == {"text": "one"}
    [other] = [draft for draft in await first.drafts.list(ADA) if draft.held_elsewhere]
    assert not await first.drafts.remove(ADA, other)
    await second.close()
    assert await first.drafts.remove(ADA, other)
    assert [draft.fields["text"] for draft in await first.drafts.list(ADA)] == ["one"]
    await first.close()


async def test_a_draft_is_stored_even_where_no_lock_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file where the folder should be")
    storage = Storage.open(tmp_path)
    await storage.drafts.save(ADA, *TOOL, {"text": "one"})
    await storage.drafts.save(ADA, *TOOL, {"text": "two"})
    assert [draft.fields["text"] for draft in await storage.drafts.list(ADA)] == ["two"]
    await storage.close()


async def test_a_draft_can_be_read_on_a_full_disk_and_is_not_lost_by_typing_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.open(tmp_path)
    await storage.drafts.save(ADA, *TOOL, {"text": "before"})
    await storage.close()
    storage = Storage.open(tmp_path)
    write = storage._database.write

    def refuse(*_arguments: object, **_named: object) -> None:
        raise StorageTrouble("The disk is full.")

    monkeypatch.setattr(storage._database, "write", refuse)
    assert await storage.drafts.load(ADA, *TOOL) == {"text": "before"}
    with pytest.raises(StorageTrouble):
        await storage.drafts.save(ADA, *TOOL, {"text": "after"})
    assert {draft.fields["text"] for draft in await storage.drafts.list(ADA)} == {"before", "after"}
    monkeypatch.setattr(storage._database, "write", write)
    await storage.drafts.retry()
    assert {draft.fields["text"] for draft in await storage.drafts.list(ADA)} == {"before", "after"}
    await storage.close()


async def test_the_drafts_of_a_database_with_one_draft_for_each_account_open(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as connection:
        for step in MIGRATIONS[:3]:
            for statement in step:
                connection.execute(statement)
        connection.execute("INSERT INTO drafts VALUES ('us', 'ada', 'task', 'new', '{\"title\": \"kept\"}', 1.0)")
        connection.execute("PRAGMA user_version=3")
    connection.close()
    storage = Storage.open(tmp_path)
    assert await storage.drafts.load(ADA, "task", "new") == {"title": "kept"}
    await storage.close()


async def test_a_draft_that_is_given_up_right_after_a_save_stays_one_draft(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    await storage.drafts.save(ADA, *TOOL, {"text": "one"})
    saving = storage.drafts.save(ADA, *TOOL, {"text": "two"})
    # Before the coroutine has begun.
    storage.drafts.release_soon(ADA, *TOOL)
    await saving
    assert [draft.fields["text"] for draft in await storage.drafts.list(ADA)] == ["two"]
    assert await storage.drafts.load(ADA, *TOOL) == {"text": "two"}
    await storage.close()
