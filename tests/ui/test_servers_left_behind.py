"""What two windows typed at the same place of Servers is stored twice, and the next window shows both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from PySide6.QtWidgets import QApplication

from app.core.mcp.forms.model import FormModel
from app.core.storage import Storage
from app.ui.servers import draft_text
from tests.ui._servers_fakes import ANA, FakeBackend, own, tool, until
from tests.ui.test_servers_place import desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


async def left_behind(folder: Path, kind: str, name: str, fields: list[dict[str, str]]) -> None:
    """Windows that are open at the same time store a text each."""
    windows = [Storage.open(folder) for _ in fields]
    for window, each in zip(windows, fields, strict=True):
        await window.drafts.save(ANA, kind, name, each)
    for window in windows:
        await window.close()


async def test_the_arguments_of_another_window_are_offered_and_both_stay_stored(
    qapp: QApplication, tmp_path: Path
) -> None:
    named = tool("a")
    draft = FormModel(named.input_schema).seed()
    kept = [draft_text.encode(draft, words, {}) or {} for words in ('{"text": "One"}', '{"text": "Two"}')]
    await left_behind(tmp_path, draft_text.KIND, "posthog/a", kept)
    storage = Storage.open(tmp_path)
    async with desk(qapp) as on:
        on.services.storage.drafts = cast(Any, storage.drafts)
        await on.show(FakeBackend([own()], {"posthog": [named]}))
        await on.open("posthog/a")
        page = on.place.pages.server.tool
        await until(lambda: page._other.isVisibleTo(page))
        assert page.form.text() == '{"text": "Two"}'
        page._other.take()
        await until(lambda: page.form.text() == '{"text": "One"}')
        await until(lambda: page._other.isVisibleTo(page))
        page._other.take()
        await until(lambda: page.form.text() == '{"text": "Two"}')
        await on.place.flush()
        assert {each.fields["json"] for each in await storage.drafts.list(ANA)} == {
            '{"text": "One"}',
            '{"text": "Two"}',
        }
    await storage.close()


async def test_the_new_server_of_another_window_is_offered(qapp: QApplication, tmp_path: Path) -> None:
    await left_behind(tmp_path, "server", "new", [{"name": "One"}, {"name": "Two"}])
    storage = Storage.open(tmp_path)
    async with desk(qapp) as on:
        on.services.storage.drafts = cast(Any, storage.drafts)
        await on.show(FakeBackend([own()]))
        page = on.place.pages.custom
        await until(lambda: page.name.raw == "Two" and not page.card.isHidden())
        on.place.new_server_draft._show_other((await storage.drafts.others(ANA, "server", "new"))[0])
        await until(lambda: page.name.raw == "One")
        assert {each.fields["name"] for each in await storage.drafts.list(ANA)} == {"One", "Two"}
    await storage.close()
