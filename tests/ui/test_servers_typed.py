"""What is typed in Servers is kept: through a change of page or account, a restart, and a disk that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.backend import Backend
from app.core.errors import StorageTrouble
from app.core.mcp.forms.entries import FieldEntry, Presence
from app.core.mcp.servers.definitions import HttpServer
from app.core.mcp.servers.own_source import THIS_MACHINE
from app.core.mcp.servers.server import Server
from app.core.posthog.types import ServerTemplate
from app.core.storage import Scope, Storage
from app.ui.servers import draft_text
from app.ui.servers.new_server import CustomServerPage
from tests.ui._servers_fakes import FakeBackend, actions, own, settle, tool, until
from tests.ui.test_servers_place import desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

TYPED = {"name": "Mail", "url": "https://mail.example/mcp", "description": "two\nlines ", "client_id": "me"}
SECRET = "sk-very-secret"
MAIL = ServerTemplate("t1", "Mail", "https://mail.example/mcp", "", "Send mail.", "api_key", "business")
NOTES = ServerTemplate("t2", "Notes", "https://notes.example/mcp", "", "Notes.", "api_key", "dev")
MINE = Server(HttpServer("own-1", "Mine", "https://mine.example/mcp"))


def type_all(page: CustomServerPage, **fields: str) -> None:
    for name, text in fields.items():
        field = getattr(page, name)
        field.set_text(text)


def shown(page: CustomServerPage) -> dict[str, str]:
    return {name: getattr(page, name).raw for name in TYPED}


async def test_secrets_are_never_stored_and_the_person_is_asked_about_them(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()]))
        on.place.selection.add_server()
        page = on.place.pages.custom
        type_all(page, key=SECRET, client_secret=SECRET)
        await on.place.flush()
        assert SECRET not in repr(on.services.storage.drafts.kept)
        assert on.place.unsaved
        assert on.place.unsaved_text() == (
            "Add a server: API key (not stored)\nAdd a server: Client secret (not stored)"
        )
        page.reset()
        await on.place.flush()
        assert not on.place.unsaved


async def test_a_failing_disk_loses_no_field_and_no_argument(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("a"), tool("b", 1)]}))
        asked: list[str] = []

        async def refuse(_scope: Scope, kind: str, name: str, _fields: dict[str, str]) -> None:
            asked.append(f"{kind}/{name}")
            raise StorageTrouble("The disk is full.")

        monkeypatch.setattr(on.services.storage.drafts, "save", refuse)
        for name in "ab":
            await on.open(f"posthog/{name}")
            form: Any = on.place.page.tool.form
            form.rows["query"].editor.setPlainText(f"typed {name}")
        on.place.selection.add_server()
        type_all(on.place.pages.custom, **TYPED)
        with pytest.raises(StorageTrouble):
            await on.place.flush()
        # Each was given to the storage, which keeps it in memory and asks about it.
        assert asked == ["tool/posthog/a", "tool/posthog/b", "server/new"]


async def test_the_form_of_a_new_server_survives_a_restart(qapp: QApplication, tmp_path: Path) -> None:
    for start in range(2):
        storage = Storage.open(tmp_path)
        async with desk(qapp) as on:
            on.services.storage.drafts = cast(Any, storage.drafts)
            await on.show(FakeBackend([own()]))
            page = on.place.pages.custom
            if start == 0:
                type_all(page, **TYPED)
                page.location.set_value("own")
                page.location.chosen.emit("own")
                await on.place.flush()
            else:
                await until(lambda: on.place.pages.custom.name.raw)
                assert shown(page) == TYPED
                assert page.on_this_machine
        await storage.close()


async def test_each_account_has_its_own_form_and_no_account_has_one_too(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        page = on.place.pages.custom
        ana = await on.show(FakeBackend([own()]))
        type_all(page, **TYPED)
        ben = FakeBackend([own()])
        ben.scope = Scope("us", "ben")
        await on.show(ben)
        assert not any(shown(page).values())
        type_all(page, name="Bens")
        on.services.show(None)
        on.place.set_backend(None)
        await settle()
        assert page.name.raw == ""
        type_all(page, name="Nobodys")
        await on.show(ana)
        assert shown(page) == TYPED
        kept = {scope: fields["name"] for (scope, _, _), fields in on.services.storage.drafts.kept.items()}
        assert kept == {ana.scope: "Mail", Scope("us", "ben"): "Bens", THIS_MACHINE: "Nobodys"}


async def test_what_was_added_is_no_draft_any_more(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()]))
        type_all(on.place.pages.custom, **TYPED)
        await on.place.flush()
        assert on.services.storage.drafts.kept
        on.place.pages.custom.reset()
        await on.place.flush()
        assert not on.services.storage.drafts.kept


async def test_a_key_of_an_available_server_is_kept_while_another_is_looked_at(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()]))
        page = on.place.pages.template
        page.show_template(MAIL, None)
        page.key.set_text(SECRET)
        page.show_template(NOTES, None)
        assert page.key.raw == ""
        assert on.place.unsaved_text() == "Mail: API key (not stored)"
        page.show_template(MAIL, None)
        assert page.key.raw == SECRET
        # Installed: the host has it.
        page.show_template(MAIL, "i1")
        assert not on.place.unsaved


async def test_arguments_for_a_server_of_ones_own_are_kept_without_an_account(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        on.services.signed_out_servers.servers = [MINE]
        on.services.signed_out_servers.kept = {"own-1": [tool("find")]}
        on.services.without_account = True
        on.place.set_backend(cast(Backend, None))
        await settle()
        await on.open("own-1/find")
        form: Any = on.place.page.tool.form
        form.rows["query"].editor.setPlainText("kept")
        assert on.place.unsaved
        await on.place.flush()
        assert not on.place.unsaved
        [(scope, kind, name)] = on.services.storage.drafts.kept
        assert (scope, kind, name) == (THIS_MACHINE, "tool", "own-1/find")


async def test_arguments_that_are_too_long_to_store_are_said_and_are_in_the_question_at_closing(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_text, "LONGEST", 1_000_000)
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        session = await on.open("posthog/find")
        form = on.place.page.tool.form
        session.draft = form.model.draft_from({"query": "x " * 600_000})
        session.touched = True
        on.place.drafts.typed(session)
        await on.place.flush()
        assert on.place.unsaved
        assert on.place.unsaved_text().startswith("find\nquery: x x")
        assert on.place.page.tool.not_kept.isVisibleTo(on.place.page.tool.form_page)
        session.draft = form.model.draft_from({"query": "short"})
        on.place.drafts.typed(session)
        await on.place.flush()
        assert not on.place.unsaved
        assert on.place.page.tool.not_kept.isHidden()


@pytest.mark.parametrize("way", ["back", "cancel", "esc"])
async def test_adding_a_server_can_be_left_in_three_ways_and_keeps_what_was_typed(qapp: QApplication, way: str) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        on.place.selection.add_server()
        page = on.place.pages.custom
        type_all(page, **TYPED)
        if way == "back":
            page.back.click()
        elif way == "cancel":
            actions(page)["Cancel"]()
        else:
            QTest.keyClick(page.url.edit, Qt.Key.Key_Escape)
        await settle()
        assert on.place.pages.shows_server
        on.place.selection.add_server()
        assert shown(page) == TYPED


async def test_secret_arguments_are_not_stored_and_the_person_is_asked_about_them(qapp: QApplication) -> None:
    schema = {
        "type": "object",
        "properties": {"note": {"type": "string"}, "key": {"type": "string", "writeOnly": True}},
    }
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("locked", schema=schema)]}))
        await on.open("posthog/locked")
        form = on.place.page.tool.form
        form.rows["note"].changed.emit(FieldEntry(Presence.VALUE, "a note"))
        await on.place.flush()
        assert not on.place.unsaved
        form.rows["key"].changed.emit(FieldEntry(Presence.VALUE, SECRET))
        await on.place.flush()
        kept = repr(on.services.storage.drafts.kept)
        assert "a note" in kept
        assert SECRET not in kept
        assert on.place.unsaved
        assert on.place.unsaved_text() == "locked: secret arguments (not stored)"
        form.rows["key"].changed.emit(FieldEntry(Presence.ABSENT, ""))
        await on.place.flush()
        assert not on.place.unsaved
