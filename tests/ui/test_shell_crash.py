"""A bug opens one dialog that blocks nothing and holds no secret; an expected error nobody took is a word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit

from app.core.diagnostics.crash_watch import CrashWatch
from app.core.diagnostics.crashes import CrashReports
from app.core.diagnostics.run_marker import EndedRun
from app.core.errors import ServerTrouble
from app.ui.shell.crash import MOST_DIALOGS, CrashDialog
from app.ui.shell.crash_settings import TOLD_SETTING
from app.ui.shell.settings.crash_section import REPORTS_SETTING, CrashSection
from app.ui.shell.settings.page import SettingsPage
from app.ui.shell.start_question import StartAnswer, StartQuestion
from app.ui.shell.window import MainWindow
from tests.ui._screens import nameless
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui.test_shell import button, opened, place, until


@asynccontextmanager
async def cared_for(services: FakeServices, watch: CrashWatch, *, safe: bool = False) -> AsyncIterator[MainWindow]:
    async with opened(services) as window:
        window.care_for(watch, safe=safe)
        assert window.crashes is not None
        try:
            yield window
        finally:
            window.crashes.end()


async def fails(secret: str) -> None:
    raise RuntimeError(f"refused with access_token={secret}")


async def test_a_bug_opens_one_dialog_and_the_report_holds_no_secret(caplog: object) -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        for _ in range(3):
            job = window.context.bridge.spawn(window, fails("pha_abcdefghijklmnop"))
            await job.wait()
        await until(lambda: window.findChildren(CrashDialog))
        (dialog,) = window.findChildren(CrashDialog)
        assert "RuntimeError" in dialog.report
        assert "abcdefghijklmnop" not in dialog.report
        assert not dialog.isModal()
        assert not nameless(dialog)
        dialog.copy()
        assert "RuntimeError" in QGuiApplication.clipboard().text()


async def test_a_thousand_defects_in_a_second_do_not_cover_the_screen() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        for number in range(1000):
            # Without a trace the type is the place.
            window.dialogs.show_crash(type(f"Kind{number}", (Exception,), {})(), Path())
        assert len(window.findChildren(CrashDialog)) == MOST_DIALOGS


async def test_an_error_that_no_place_took_is_a_word_in_the_corner() -> None:
    async def trouble() -> None:
        raise ServerTrouble("The server is on fire.")

    async with opened(FakeServices(FakeBackend())) as window:
        await window.context.bridge.spawn(window, trouble()).wait()
        await until(lambda: ServerTrouble.title in window.corner.note.text())


async def test_a_key_that_belongs_to_another_place_reaches_what_has_the_focus() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.go("servers")
        window.commands.shortcuts.bind(["Ctrl+Return"])
        window.go("tasks")
        pressed: list[int] = []
        edit = QLineEdit(window)
        edit.keyPressEvent = lambda event: pressed.append(event.key())  # type: ignore[method-assign]
        edit.show()
        edit.setFocus()
        QTest.keyClick(edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        assert Qt.Key.Key_Return in pressed


async def test_the_settings_show_how_many_reports_there_are_open_the_newest_and_delete_all(tmp_path: Path) -> None:
    services = FakeServices(FakeBackend())
    services.folder = tmp_path
    reports = CrashReports(tmp_path, {})
    for at, words in ((1.0, "the older one"), (2.0, "the newest one")):
        reports.of_run(EndedRun(1, 0.0, "1", words, at))
    async with opened(services) as window:
        window.open_settings(REPORTS_SETTING)
        [page] = window.findChildren(SettingsPage)
        section = page.section(CrashSection)
        await until(lambda: "2 reports" in page.rows[REPORTS_SETTING].note.text())
        section.open_button.click()
        await until(lambda: page.findChildren(CrashDialog))
        [dialog] = page.findChildren(CrashDialog)
        assert "the newest one" in dialog.report
        dialog.accept()
        section.delete_button.click()
        await until(lambda: not section.delete_button.isEnabled())
        assert reports.all() == []
        page.reject()


async def test_a_bug_saves_what_is_typed_writes_a_report_and_the_next_start_does_not_tell_of_it_again(
    tmp_path: Path,
) -> None:
    services = FakeServices(FakeBackend())
    services.folder = tmp_path
    watch = CrashWatch(tmp_path)
    try:
        async with cared_for(services, watch) as window:
            assert window.crashes is not None
            assert window.crashes.bar is None
            place(window).typed = "Half a thought"
            saved: list[bool] = []

            async def save() -> None:
                saved.append(True)

            place(window).save_typed = save  # type: ignore[method-assign]
            job = window.context.bridge.spawn(window, fails("pha_abcdefghijklmnop"))
            await job.wait()
            await until(lambda: window.findChildren(CrashDialog))
            await until(lambda: saved)
            [dialog] = window.findChildren(CrashDialog)
            [report] = watch.reports.all()
            assert services.storage.settings.get(TOLD_SETTING) == report.name
            opened_addresses: list[QUrl] = []
            dialog._open_address = lambda address: bool(opened_addresses.append(address))  # type: ignore[func-returns-value]
            button(dialog, "Open report").click()
            button(dialog, "Show folder").click()
            assert [each.toLocalFile() for each in opened_addresses] == [str(report.path), str(report.path.parent)]
            button(dialog, "Restart Burrow").click()
            await until(lambda: not window.isVisible() or window.leaving is None or window.leaving.dialog is not None)
            assert window.leaving is not None
            assert window.leaving.again == ()
    finally:
        watch.end()


async def test_an_earlier_crash_is_told_once_and_safe_mode_says_how_to_leave_it(tmp_path: Path) -> None:
    CrashReports(tmp_path, {}).of_run(EndedRun(1, 0.0, "1", "trace", 2.0))
    services = FakeServices(FakeBackend())
    services.folder = tmp_path
    watch = CrashWatch(tmp_path)
    try:
        async with cared_for(services, watch, safe=True) as window:
            care = window.crashes
            assert care is not None
            assert care.bar is not None
            assert care.bar.text().startswith("Burrow ended unexpectedly")
            assert nameless(care.bar) == []
            await until(lambda: services.storage.settings.get(TOLD_SETTING))
            button(care.bar, "Close").click()
            assert not care.bar.isVisible()
            assert care.safe_bar is not None
            assert care.safe_bar.isVisible()
            offered = {command.id for command in window.commands.every() if command.enabled()}
            assert "window.restart" in offered
            assert "window.safe" not in offered
            button(care.safe_bar, "Restart normally").click()
            await until(lambda: not window.isVisible())
            assert window.leaving is not None
            assert window.leaving.again == ()
        async with cared_for(services, watch) as window:
            assert window.crashes is not None
            assert window.crashes.bar is None
            assert window.crashes.safe_bar is None
            window.restart(safe=True)
            assert window.leaving is not None
            assert window.leaving.again == ("--safe-mode",)
    finally:
        watch.end()


def test_the_question_after_two_crashed_starts_is_answered_by_keyboard(qapp: QApplication, tmp_path: Path) -> None:
    question = StartQuestion(CrashReports(tmp_path, {}))
    question.show()
    assert nameless(question) == []
    QTest.keyClick(question, Qt.Key.Key_Return)
    assert question.answer is StartAnswer.SAFELY
    again = StartQuestion(CrashReports(tmp_path, {}))
    again.show()
    QTest.keyClick(again, Qt.Key.Key_Escape)
    assert again.answer is StartAnswer.NOT
