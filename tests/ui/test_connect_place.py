"""The Connect place: the proxy with its states, the list of clients, the form of a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from app.core.errors import StorageTrouble
from app.ui.connect.facts import ProxyPhase
from app.ui.connect.rows import PROXY_ROW
from tests.ui._connect_fakes import ADDRESS, NOW, Shown, connect_place, plain, used
from tests.ui._servers_fakes import FakeServices
from tests.ui._tasks_fakes import settle, until

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@pytest.fixture(autouse=True)
def closed_menus() -> Iterator[None]:
    yield
    popup = QApplication.activePopupWidget()
    if popup is not None:
        popup.close()


def entries(on: Shown, key: str) -> list[str]:
    table = on.place.pane.list
    table.menu_wanted.emit(key, table.mapToGlobal(QPoint(5, 5)))
    popup = QApplication.activePopupWidget()
    assert isinstance(popup, QMenu)
    found = [action.text().replace("\t", " | ") for action in popup.actions() if action.text()]
    popup.close()
    return found


async def test_without_clients_the_proxy_is_in_view_and_offers_to_add_one(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        page = on.place.pages.overview
        assert page.isVisible()
        assert on.rows == ["Local proxy, Serving, 127.0.0.1:41717"]
        assert page.address.text() == ADDRESS
        assert "ana" in page.account.text()
        page.add_button.click()
        assert on.place.pages.shows_new


async def test_a_proxy_that_does_not_serve_says_why_and_what_helps(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        page = on.place.pages.overview
        on.door.put("c1", "Cursor", use=(used(),))
        on.door.become(ProxyPhase.FAILED, address="", trouble="The disk is full.")
        await on.changed()
        assert on.rows[0] == "Local proxy, Failed"
        assert on.rows[2].startswith("Cursor, Proxy failed")
        assert "The disk is full." in page.trouble.text()
        assert not page.copy_button.isEnabled()
        on.door.become(ProxyPhase.PORT_TAKEN, address="http://127.0.0.1:5000", temporary=True, trouble="It is taken.")
        await on.changed()
        assert "It is taken." in page.trouble.text()
        assert on.rows[2].startswith("Cursor, Other port")
        on.door.become(ProxyPhase.SERVING, address="http://127.0.0.1:5000", temporary=True, trouble="It is elsewhere.")
        await on.changed()
        assert on.rows[0].startswith("Local proxy, Other port")
        on.door.become(ProxyPhase.SERVING, address=ADDRESS, temporary=False, trouble="")
        await on.changed()
        assert page.trouble.isHidden()
        assert on.rows[2].startswith("Cursor, Connected")


async def test_a_window_that_stands_by_says_who_serves_and_how_to_serve_from_here(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        page = on.place.pages.overview
        for owner, words in (
            ("window", "Another window of Burrow serves (process 4711), and asks there about calls. Close it"),
            ("headless", "burrow proxy serves (process 4711) and hands over"),
            ("", "Another process of Burrow on this computer serves"),
        ):
            on.door.become(ProxyPhase.STANDING_BY, owner=owner, pid=4711)
            await on.changed()
            assert page.note.text().startswith(words)
            assert page.note.isVisible()


async def test_the_proxy_is_switched_by_its_box_and_by_space_on_its_row(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.place.pages.overview.on.click()
        await settle()
        assert on.rows == ["Local proxy, Off"]
        on.place.pane.list.setFocus()
        QTest.keyClick(on.place.pane.list, Qt.Key.Key_Space)
        await settle()
        assert [each for each in on.door.asked if each[0] == "set_on"] == [("set_on", False), ("set_on", True)]


async def test_a_switch_that_fails_says_so_and_shows_the_state_as_it_is(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.fail["set_on"] = StorageTrouble("The disk is full.")
        page = on.place.pages.overview
        page.on.click()
        await settle()
        assert page.on.isChecked()
        assert "The proxy could not be switched off" in page.page.card.text()


async def test_another_port_is_asked_about_because_clients_have_to_be_changed(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        page = on.place.pages.overview
        for wrong in ("80", "70000", "abc"):
            page.port.edit.setText(wrong)
            page.port.submit()
            assert page.port.error.text()
            assert not page.question.open
        page.port.edit.setText("9000")
        assert on.place.unsaved_text() == "Port of the proxy: 9000"
        page.port.submit()
        assert "has to be set up again" in page.question.text
        assert ("set_port", 9000) not in on.door.asked
        page.question.yes.click()
        await settle()
        assert ("set_port", 9000) in on.door.asked
        assert on.place.unsaved_text() == ""


async def test_clients_are_listed_by_last_use_and_revoked_ones_apart(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Zed")
        on.door.put("c2", "Cursor", use=(used(),))
        on.door.put("c3", "Old", use=(used(),), revoked_at=NOW)
        await on.changed()
        assert on.rows == [
            "Local proxy, Serving, 127.0.0.1:41717",
            "Clients, 2",
            "Cursor, Connected, now, 14 calls, cursor 1.7.2",
            "Zed, Not used yet",
            "Revoked, 1",
            "Old, Revoked, now, 14 calls, cursor 1.7.2",
        ]


async def test_the_addresses_of_the_servers_are_shown_and_copied(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        page = on.place.pages.overview
        page.tabs.setCurrentIndex(1)
        page.list.select_key("notion")
        page.copy_server_button.click()
        assert QGuiApplication.clipboard().text() == f"{ADDRESS}/mcp/notion"
        page.list.select_key("posthog")
        page.list.setFocus()
        QTest.keyClick(page.list, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        assert QGuiApplication.clipboard().text() == f"{ADDRESS}/mcp/posthog"
        spoken = [plain(line.spoken()) for line in page.list.rows.lines()]
        assert spoken[1] == f"Notion, Sign-in needed, {ADDRESS}/mcp/notion"
        page.list.opened.emit("notion")
        assert on.navigator.gone == [("servers", "notion")]


async def test_a_new_client_is_of_an_installed_program_first_and_named_like_it(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        await on.changed()
        on.place.pages.add_client()
        form = on.place.pages.new
        assert [form.program.itemText(row) for row in range(2)] == ["Cursor 1.7  ·  installed", "Claude Code"]
        assert form.name.text() == "Cursor 2"
        form.name.setText("")
        form.submit()
        assert form.error.text() == "This field is required."
        form.name.setText("cursor")
        form.submit()
        assert "There is a client of this name" in form.error.text()
        QTest.keyClick(form.name, Qt.Key.Key_X)
        assert on.place.unsaved
        form.checks.which._buttons["chosen"].click()
        form.checks.boxes["sqlite"].click()
        form.submit()
        form.submit()
        await until(lambda: on.place.pages.shows_client)
        assert [each for each in on.door.asked if each[0] == "create"] == [
            ("create", "cursorx", "cursor", frozenset({"posthog", "notion"}))
        ]
        assert on.place.unsaved_text() == ""


async def test_what_is_typed_for_a_new_client_is_there_after_a_restart_until_it_is_added(qapp: QApplication) -> None:
    services = FakeServices()
    async with connect_place(qapp, services=services) as on:
        on.place.show_account(None)
        on.place.pages.add_client()
        await settle()
        form = on.place.pages.new
        form.name.setFocus()
        form.name.selectAll()
        QTest.keyClicks(form.name, "Laptop")
        form.program.setCurrentIndex(form.program.findData("vscode"))
        form.program.activated.emit(form.program.currentIndex())
        form.checks.which._buttons["chosen"].click()
        form.checks.boxes["sqlite"].click()
        await on.place.flush()
        assert not on.place.unsaved
    async with connect_place(qapp, services=services) as on:
        on.place.show_account(None)
        await settle()
        form = on.place.pages.new
        on.place.pages.add_client()
        assert form.name.text() == "Laptop"
        assert form.program.currentData() == "vscode"
        assert form.checks.value() == {"posthog", "notion"}
        form.submit()
        await until(lambda: on.place.pages.shows_client)
        await on.place.flush()
        assert services.storage.drafts.kept == {}
        on.place.pages.add_client()
        assert form.name.text() == "Cursor"
        assert form.checks.value() is None


async def test_a_client_that_could_not_be_added_keeps_the_form(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.place.pages.add_client()
        on.door.fail["create"] = StorageTrouble("The disk is full.")
        form = on.place.pages.new
        form.submit()
        await settle()
        assert "The disk is full." in form.page.card.text()
        assert form.add_button.isEnabled()
        assert on.place.pages.shows_new


async def test_a_key_that_is_on_its_way_is_not_lost_when_the_user_goes_elsewhere(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.hold = asyncio.Event()
        on.place.pages.add_client()
        on.place.pages.new.submit()
        await settle()
        on.place.pages.new.left.emit()
        on.door.hold.set()
        await until(lambda: on.place.pages.shows_client)
        assert on.place.controller.key_of("c1") == "bw_c1_1"


async def test_escape_leaves_the_form_for_what_was_shown_before(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        await on.changed()
        await on.open("c1")
        on.place.pages.add_client()
        QTest.keyClick(on.place.pages.new.name, Qt.Key.Key_Escape)
        assert on.place.pages.client.isVisible()
        assert on.place.pane.list.current_key() == "c1"


async def test_menus_offer_what_can_be_done_with_their_row(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        on.door.put("c2", "Old", revoked_at=NOW)
        await on.changed()
        assert entries(on, "c1") == [
            "Open | Return",
            "Test | Ctrl+Return",
            "Rename | F2",
            "Make a new key…",
            "Copy name",
            "Revoke… | Del",
        ]
        assert entries(on, "c2") == ["Open | Return", "Copy name"]
        assert entries(on, PROXY_ROW) == ["Open | Return", "Switch off | Space", "Copy address", "Change the port…"]


async def test_the_palette_has_the_proxy_every_client_and_what_can_be_done(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        await on.changed()
        assert [plain(each.title) for each in on.place.items()] == ["Go to the local proxy", "Go to client Cursor"]
        commands = {each.id: each for each in on.place.commands()}
        assert not commands["connect.revoke"].enabled()
        await on.open("c1")
        assert commands["connect.revoke"].enabled()
        assert commands["connect.off"].enabled()
        assert not commands["connect.on"].enabled()
        assert len({each.keys for each in commands.values() if each.keys}) == sum(
            bool(e.keys) for e in commands.values()
        )


async def test_the_title_of_the_window_follows_what_is_open(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        titles: list[str] = []
        on.place.titled.connect(lambda title: titles.append(title) if title not in titles[-1:] else None)
        on.door.put("c1", "Cursor")
        await on.changed()
        await on.open("c1")
        await on.open(PROXY_ROW)
        assert [plain(each) for each in titles] == ["Local proxy", "Cursor", "Local proxy"]


async def test_clients_that_wait_for_a_sign_in_are_counted_for_the_rail(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        counts: list[int] = []
        on.place.count_changed.connect(counts.append)
        on.door.put("c1", "Cursor", servers=frozenset({"notion"}))
        await on.changed()
        assert counts[-1] == 1
