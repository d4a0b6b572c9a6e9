"""A bug opens one dialog that blocks nothing and holds no secret; an expected error nobody took is a word."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit

from app.core.errors import ServerTrouble
from app.ui.shell.crash import CrashDialog
from tests.ui._screens import nameless
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui.test_shell import opened, until


async def fails(secret: str) -> None:
    raise RuntimeError(f"refused with access_token={secret}")


async def test_a_bug_opens_one_dialog_and_the_report_holds_no_secret(caplog: object) -> None:
    services = FakeServices(FakeBackend())
    services.folder = "/data"  # type: ignore[attr-defined]
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
