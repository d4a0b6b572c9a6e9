"""A row that cannot be read, in any table and column, is set aside alone: every other row is read as before."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.core.storage import ActivityRow, Scope, Storage
from app.core.storage.storage import FILE_NAME
from app.core.storage.values import GrantEvent

ADA = Scope("us", "ada")
NOT_UTF_8 = "CAST(X'ff41' AS TEXT)"
DEEP = "'" + "[" * 100_000 + "]" * 100_000 + "'"
SHOWN = ("settings", "drafts", "outbox")


async def filled(folder: Path) -> None:
    """Two rows in each table; the second one is about to be damaged."""
    storage = Storage.open(folder)
    for name in ("first", "second"):
        await storage.settings.set(name, name)
        await storage.drafts.save(ADA, "task", name, {"title": name})
        await storage.outbox.add(ADA, "create_task", {"title": name})
        await storage.cache.put(ADA, name, name.encode())
        storage.activity.add(ActivityRow(name, 1.0, "http", "t", "s", "200", 1.0, {"a": 1}))
        await storage.grants.add(GrantEvent(0, "us", name, "c", "t", "r", "p", 1.0, 1.0, 1, "f", open=True))
    await storage.close()


async def read(folder: Path) -> tuple[dict[str, list[str]], str | None]:
    """What each table still has, and what the user is told."""
    storage = Storage.open(folder)
    try:
        cached = [name for name in ("first", "second") if await storage.cache.get(ADA, name) is not None]
        for name in ("first", "second"):
            loaded = await storage.drafts.load(ADA, "task", name)
            assert loaded in (None, {"title": name})
        found = {
            "settings": [name for name in ("first", "second") if storage.settings.get(name) == name],
            "drafts": sorted(draft.id for draft in await storage.drafts.list(ADA)),
            "outbox": [item.payload["title"] for item in await storage.outbox.list(ADA)],
            "cache": cached,
            "activity": [row.id for row in await storage.activity.load()],
            "grant_log": [event.what for event in reversed(await storage.grants.recent("us", 9))],
        }
        assert [event.what for event in reversed(await storage.grants.open_events("us"))] == found["grant_log"]
        return found, storage.notice
    finally:
        await storage.close()


def change(folder: Path, table: str, column: str, value: str) -> None:
    second = f"(SELECT max(number) FROM {table})"
    where = {
        "settings": "key = 'second'",
        "drafts": "id = 'second'",
        "cache": "name = 'second'",
    }.get(table, f"number = {second}")
    with sqlite3.connect(folder / FILE_NAME) as connection:
        assert connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}").rowcount == 1
    connection.close()


def set_aside(folder: Path) -> list[Any]:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return connection.execute("SELECT origin, content FROM set_aside").fetchall()


TEXTS = {
    "settings": ("key", "value"),
    "drafts": ("kind", "id", "fields"),
    "outbox": ("id", "kind", "payload", "state"),
    "activity": ("id", "kind", "target", "summary", "status", "detail"),
    "grant_log": ("what", "cause", "target", "rule", "process", "refresh", "access", "outcome"),
}
NUMBERS = {
    "drafts": ("saved_at",),
    "outbox": ("created_at",),
    "cache": ("stored_at",),
    "activity": ("at", "milliseconds"),
    "grant_log": ("at", "boot", "generation", "milliseconds", "renews_at"),
}
JSON = {"drafts": "fields", "outbox": "payload", "activity": "detail"}
CASES = [
    *(
        (table, column, value)
        for columns_of in (TEXTS, NUMBERS)
        for table, columns in columns_of.items()
        for column in columns
        for value in (NOT_UTF_8, "X'41'")
    ),
    *((table, column, value) for table, column in JSON.items() for value in ("'{torn'", "'[]'", DEEP)),
    ("drafts", "fields", "'{\"title\": 5}'"),
    ("drafts", "saved_at", "9e999"),
    ("outbox", "created_at", "-1"),
    ("cache", "payload", "'text'"),
    ("cache", "payload", NOT_UTF_8),
]


@pytest.mark.parametrize(("table", "column", "value"), CASES, ids=lambda value: str(value)[:20])
async def test_one_row_that_cannot_be_read_is_set_aside_and_the_others_are_read(
    tmp_path: Path, table: str, column: str, value: str
) -> None:
    await filled(tmp_path)
    change(tmp_path, table, column, value)
    found, notice = await read(tmp_path)
    assert found == {name: ["first"] if name == table else ["first", "second"] for name in found}
    [(origin, content)] = set_aside(tmp_path)
    assert origin == table
    assert json.loads(content)[column]["hex"]
    assert (notice is not None) is (table in SHOWN)
    assert await read(tmp_path) == (found, None)


@pytest.mark.parametrize("value", ["'{torn'", DEEP])
async def test_a_setting_that_is_no_json_has_its_default_and_the_others_are_read(tmp_path: Path, value: str) -> None:
    await filled(tmp_path)
    change(tmp_path, "settings", "value", value)
    found, _notice = await read(tmp_path)
    assert found["settings"] == ["first"]


async def test_half_a_surrogate_pair_in_a_setting_is_replaced(tmp_path: Path) -> None:
    await filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        connection.execute(
            "UPDATE settings SET value = ? WHERE key = 'second'", (r'{"a\ud800": ["\udc00 \ud83d\ude00"]}',)
        )
    storage = Storage.open(tmp_path)
    assert storage.settings.get("second") == {"a\ufffd": ["\ufffd \U0001f600"]}
    await storage.close()


async def test_a_setting_that_another_process_damages_is_left_out_when_it_is_read_again(tmp_path: Path) -> None:
    await filled(tmp_path)
    storage = Storage.open(tmp_path)
    change(tmp_path, "settings", "value", NOT_UTF_8)
    await storage.settings.refresh("second")
    assert storage.settings.get("second") is None
    await storage.settings.refresh_under("")
    assert storage.settings.get("first") == "first"
    await storage.settings.set("second", "again")
    await storage.close()
    assert (await read(tmp_path))[0]["settings"] == ["first"]


async def test_a_row_that_cannot_be_set_aside_is_left_out_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path)
    change(tmp_path, "settings", "value", NOT_UTF_8)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE set_aside (unlike TEXT)")
    connection.close()
    for _ in range(2):
        found, notice = await read(tmp_path)
        assert (found["settings"], notice) == (["first"], None)


async def test_a_database_whose_names_are_no_text_is_set_aside(tmp_path: Path) -> None:
    await filled(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(f"UPDATE sqlite_master SET name = {NOT_UTF_8} WHERE name = 'outbox_scope'")
        connection.execute(f"INSERT INTO sqlite_master (type, name) VALUES ('table', {NOT_UTF_8})")
    connection.close()
    storage = Storage.open(tmp_path)
    assert storage.notice is not None
    assert storage.settings.get("first") is None
    await storage.close()
