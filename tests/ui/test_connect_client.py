"""The page of a client: its snippet and key, its file, its test, servers, rules, name and end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.errors import Rejected, ServerTrouble
from app.core.mcp.proxy.parts import ToolRule
from app.core.mcp.tools import ToolInfo
from app.ui.connect.facts import PreviewOutdated, StepFacts, StepOutcome
from app.ui.connect.rows import PROXY_ROW
from app.ui.connect.wording import RuleChoice
from tests.ui._connect_fakes import DIFF, NOW, FakeDoor, connect_place, plain, used
from tests.ui._tasks_fakes import settle, until

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


def tools(number: int) -> tuple[ToolInfo, ...]:
    policies = (None, "approved", "needs_approval", "do_not_use")
    return tuple(ToolInfo(f"tool_{n}", description="Does it.", policy=policies[n % 4], row=n) for n in range(number))


async def test_the_key_is_in_the_snippet_until_the_page_is_left(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.place.pages.add_client()
        on.place.pages.new.submit()
        await until(lambda: "bw_c1_1" in on.place.pages.client.setup.text.source)
        setup = on.place.pages.client.setup
        setup.copy_button.click()
        assert "bw_c1_1" in QGuiApplication.clipboard().text()
        on.place.open_item(PROXY_ROW)
        await settle()
        await on.open("c1")
        assert "bw_c1_1" not in setup.text.source
        assert not setup.copy_button.isEnabled()
        assert setup.key_state.state is not None
        assert setup.key_state.state.word == "Key hidden"


async def test_the_focus_goes_to_what_copies_the_key_also_after_a_client_whose_key_is_hidden(
    qapp: QApplication,
) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Old")
        await on.changed()
        page = await on.open("c1")
        assert not page.setup.copy_button.isEnabled()
        on.place.pages.add_client()
        on.place.pages.new.submit()
        await until(lambda: page.setup.copy_button.hasFocus())


async def test_the_key_is_hidden_when_another_place_is_shown_and_not_when_the_window_is_covered(
    qapp: QApplication,
) -> None:
    async with connect_place(qapp) as on:
        on.place.pages.add_client()
        on.place.pages.new.submit()
        await until(lambda: on.place.controller.key_of("c1") is not None)
        on.place.pages.client.tabs.setCurrentIndex(1)
        on.place.pages.hide()
        assert on.place.controller.key_of("c1") is not None
        on.place.pages.show()
        on.place.hide()
        assert on.place.controller.key_of("c1") is None


async def test_the_key_is_hidden_when_another_client_is_chosen(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("old", "Old")
        await on.changed()
        on.place.pages.add_client()
        on.place.pages.new.submit()
        await until(lambda: on.place.controller.key_of("c2") is not None)
        on.place.pane.list.select_key("old")
        assert on.place.controller.key_of("c2") is None
        assert "bw_" not in on.place.pages.client.setup.text.source


async def test_a_way_without_a_key_can_be_copied_while_the_key_is_hidden(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        await on.changed()
        setup = (await on.open("c1")).setup
        assert not setup.copy_button.isEnabled()
        setup.ways._buttons["stdio"].click()
        assert setup.copy_button.isEnabled()
        assert setup.key_state.isHidden()
        setup.copy_button.click()
        assert "/usr/bin/burrow" in QGuiApplication.clipboard().text()


async def test_a_new_key_is_made_only_after_a_question_and_then_shown(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        await on.changed()
        page = await on.open("c1")
        page.setup.key_button.click()
        assert "The former one is refused at once" in page.question.text
        assert ("renew_key", "c1") not in on.door.asked
        page.question.yes.click()
        await until(lambda: "bw_c1_2" in page.setup.text.source)


async def test_a_file_is_written_only_after_its_changes_were_shown(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.place.pages.add_client()
        on.place.pages.new.submit()
        setup = on.place.pages.client.setup
        await until(lambda: "bw_c1_1" in setup.text.source)
        setup.file_button.click()
        await until(lambda: setup.file.write_button.isEnabled())
        assert ("preview", "c1", "http", "bw_c1_1", "/home/ana/.cursor/mcp.json") in on.door.asked
        assert setup.file.diff.toPlainText() == DIFF.rstrip("\n") or setup.file.diff.toPlainText() == DIFF
        assert "a copy of it is made" in setup.file.words.text()
        assert not [each for each in on.door.asked if each[0] == "write"]
        setup.file.write_button.click()
        await settle()
        assert on.door.asked[-1] == ("write", on.door.shown)
        assert "Added to /home/ana/.cursor/mcp.json" in setup.card.text()
        assert "burrow-backup" in setup.card.text()


async def test_a_file_that_changed_meanwhile_is_shown_again_and_not_written(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        await on.changed()
        setup = (await on.open("c1")).setup
        setup.ways._buttons["stdio"].click()
        setup.show_file()
        await until(lambda: setup.file.write_button.isEnabled())
        on.door.fail["write"] = PreviewOutdated()
        on.door.shown = replace(on.door.shown, diff=DIFF.replace("posthog", "other"))
        setup.file.write()
        await until(lambda: "other" in setup.file.diff.toPlainText())
        assert "has changed meanwhile" in setup.file.card.text()
        assert setup.file.write_button.isEnabled()
        assert setup.currentWidget() is setup.file
        on.door.fail.clear()
        setup.file.write()
        await settle()
        assert on.door.asked[-1] == ("write", on.door.shown)


async def test_a_file_that_cannot_be_read_or_has_the_entry_says_so_and_cannot_be_written(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        await on.changed()
        setup = (await on.open("c1")).setup
        setup.ways._buttons["stdio"].click()
        on.door.fail["preview"] = Rejected("mcp.json is no JSON.")
        setup.show_file()
        await until(lambda: not setup.file.again_button.isHidden())
        assert "mcp.json is no JSON." in setup.file.card.text()
        assert not setup.file.write_button.isEnabled()
        on.door.fail.clear()
        on.door.shown = replace(on.door.shown, diff="")
        setup.file.again_button.click()
        await until(lambda: "nothing to write" in setup.file.words.text())
        await settle()
        # What is said stands together at the top.
        assert setup.file.words.mapTo(setup.file, QPoint()).y() < setup.file.height() / 4
        assert not setup.file.write_button.isEnabled()
        QTest.keyClick(setup.file.cancel_button, Qt.Key.Key_Escape)
        assert setup.currentWidget() is setup.area


async def test_a_test_shows_each_step_once_with_its_outcome(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        on.door.steps = (*on.door.steps, StepFacts("cursor-agent mcp list", StepOutcome.SKIPPED, "Not installed."))
        await on.changed()
        page = await on.open("c1")
        page.setup.test_button.click()
        page.setup.test_button.click()
        await until(lambda: not page.setup.steps.running)
        assert page.setup.steps.text().splitlines() == [
            "Reach the proxy: Done. 127.0.0.1:41717 answers",
            "PostHog: initialize: Done. PostHog 1.4",
            "PostHog: list the tools: Done. 23 tools",
            "cursor-agent mcp list: Not tried. Not installed.",
        ]
        assert [each for each in on.door.asked if each[0] == "test"] == [("test", "c1", None)]
        on.door.fail["test"] = ServerTrouble("It broke.")
        page.setup.run_test()
        await until(lambda: "It broke." in page.setup.steps.card.text())
        assert page.setup.test_button.text() == "Test"


async def test_a_change_of_servers_counts_at_once_and_can_be_undone(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor", servers=frozenset({"posthog", "of another account"}))
        await on.changed()
        page = await on.open("c1")
        page.tabs.setCurrentIndex(1)
        assert {key: box.isChecked() for key, box in page.checks.boxes.items()} == {
            "posthog": True,
            "notion": False,
            "sqlite": False,
        }
        page.checks.boxes["notion"].click()
        await settle()
        assert on.door.known["c1"].servers == {"posthog", "notion", "of another account"}
        page.page.undo.undo()
        await settle()
        assert on.door.known["c1"].servers == {"posthog", "of another account"}
        page.checks.which._buttons["all"].click()
        await settle()
        assert on.door.known["c1"].servers is None


async def test_rules_are_set_by_letters_for_one_tool_and_after_a_question_for_several(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        on.door.listed["posthog"] = tools(3)
        await on.changed()
        page = await on.open("c1")
        page.tabs.setCurrentIndex(2)
        await until(lambda: len(page.tools.table.rows.lines()) == 3)
        page.tools.table.select_first()
        page.tools.table.setFocus()
        QTest.keyClick(page.tools.table, Qt.Key.Key_B)
        await settle()
        assert on.door.rules == {("c1", "posthog", "tool_0"): ToolRule.BLOCK}
        assert plain(page.tools.table.rows.lines()[0].spoken()) == "tool_0, Block"
        assert plain(page.tools.table.rows.lines()[2].spoken()) == "tool_2, As set, Server: Ask"
        page.page.undo.undo()
        await settle()
        assert on.door.rules == {}
        page.tools.table.selectAll()
        page.tools.want_rule(RuleChoice.ASK)
        assert page.tools.question.text.startswith("Set 3 tools to Ask")
        assert on.door.rules == {}
        page.tools.question.yes.click()
        await settle()
        assert set(on.door.rules.values()) == {ToolRule.ASK}
        assert page.tools.rule.value() == "ask"
        page.page.undo.undo()
        await settle()
        assert on.door.rules == {}


async def test_a_large_list_of_tools_is_searched_by_name_and_says_how_many(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        on.door.listed["posthog"] = tools(1000)
        await on.changed()
        page = await on.open("c1")
        page.tabs.setCurrentIndex(2)
        await until(lambda: len(page.tools.table.rows.lines()) == 1000)
        page.tools.filter.setText("tool_99")
        page.tools.filter.down.emit()
        page.tools._search()
        assert page.tools.count.text() == "11 of 1000"
        page.tools.filter.setText("nothing")
        page.tools._search()
        assert "No tools match" in page.tools.empty.accessibleName()


async def test_tools_that_cannot_be_loaded_say_why(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        on.door.fail["tools"] = ServerTrouble("It broke.")
        await on.changed()
        page = await on.open("c1")
        page.tabs.setCurrentIndex(2)
        await until(lambda: "It broke." in page.tools.empty.accessibleName())
        for _ in range(3):
            await on.changed()
        assert [each for each in on.door.asked if each[0] == "tools"] == [("tools", "posthog")]
        on.door.known["c1"] = replace(on.door.known["c1"], servers=frozenset())
        await on.changed()
        assert "may use no server" in page.tools.empty.accessibleName()


async def test_tools_that_a_server_changes_are_shown_anew(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        on.door.listed["posthog"] = tools(2)
        await on.changed()
        page = await on.open("c1")
        page.tabs.setCurrentIndex(2)
        await until(lambda: len(page.tools.table.rows.lines()) == 2)
        on.door.listed["posthog"] = tools(3)
        on.door.tools_changed.emit("posthog")
        on.door.tools_changed.emit("notion")
        await until(lambda: len(page.tools.table.rows.lines()) == 3)
        assert ("tools", "notion") not in on.door.asked


async def test_the_use_of_a_client_is_shown_for_each_server(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor", program="cursor", use=(used("notion", 2), used("posthog", 40)))
        await on.changed()
        page = await on.open("c1")
        page.tabs.setCurrentIndex(3)
        table = page.use.table.values
        assert [(plain(line.title), line.calls) for line in table.items()] == [("PostHog", 40), ("Notion", 2)]
        assert page.use.why.isHidden()


async def test_a_client_is_renamed_in_place(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        await on.changed()
        page = await on.open("c1")
        on.place.connect_actions.rename()
        page.rename.edit.setText("")
        page.rename.submit()
        assert page.rename.error.text() == "This field is required."
        QTest.keyClicks(page.rename.edit, "Laptop")
        assert on.place.unsaved_text() == "Rename the client: Laptop"
        QTest.keyClick(page.rename.edit, Qt.Key.Key_Return)
        await settle()
        assert plain(page.windowTitle()) == "Laptop"
        page.begin_rename()
        QTest.keyClicks(page.rename.edit, "Never")
        QTest.keyClick(page.rename.edit, Qt.Key.Key_Escape)
        assert page.rename.isHidden()
        assert on.door.known["c1"].name == "Laptop"


async def test_revoking_asks_and_enter_is_not_the_yes(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor", use=(used(),))
        await on.changed()
        page = await on.open("c1")
        on.place.pane.list.setFocus()
        QTest.keyClick(on.place.pane.list, Qt.Key.Key_Delete)
        assert "Revoke Cursor?" in plain(page.question.text)
        QTest.keyClick(page.question.no, Qt.Key.Key_Return)
        assert not page.question.open
        assert ("revoke", "c1") not in on.door.asked
        page.ask_revoke()
        QTest.keyClick(page.question.yes, Qt.Key.Key_Space)
        await settle()
        assert ("revoke", "c1") in on.door.asked
        assert on.rows[1:] == ["Revoked, 1", "Cursor, Revoked, now, 14 calls, cursor 1.7.2"]
        assert page.tabs.isHidden()
        assert page.revoke_button.isHidden()
        assert "Its key is refused" in page.use.why.text()


async def test_a_client_that_is_revoked_elsewhere_can_be_changed_no_more(qapp: QApplication) -> None:
    door = FakeDoor()
    door.put("c1", "Cursor")
    async with connect_place(qapp, door) as on:
        page = await on.open("c1")
        page.tabs.setCurrentIndex(1)
        door.known["c1"] = replace(door.known["c1"], revoked_at=NOW)
        await on.changed()
        assert page.stack.currentWidget() is page.use
        assert not on.place.connect_actions.commands()[1].enabled()
        page.ask_revoke()
        assert not page.question.open


async def test_a_change_that_fails_is_said_on_the_page(qapp: QApplication) -> None:
    async with connect_place(qapp) as on:
        on.door.put("c1", "Cursor")
        await on.changed()
        page = await on.open("c1")
        on.door.fail["rename"] = Rejected("Another client is called X.")
        on.place.controller.rename("c1", "X")
        await settle()
        assert "Another client is called X." in page.page.card.text()
