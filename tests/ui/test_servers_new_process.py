"""Adding a server that is a command, or one over HTTP+SSE, in the Servers place, with the real settings behind it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog

from app.core.mcp.servers.definitions import SseServer, StdioServer
from app.core.services import Services
from tests.ui._servers_fakes import settle, until
from tests.ui.test_servers_own import Shown, shown

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

SECRET = "sk-very-secret-value"


@asynccontextmanager
async def form_of(qapp: QApplication, folder: Path) -> AsyncIterator[tuple[Shown, Any, Services]]:
    services = Services(folder / "data", role="window")
    try:
        async with shown(qapp, services) as on:
            on.place.show_account(None)
            await settle()
            on.place.selection.add_server()
            yield on, on.form, services
    finally:
        await services.close()


def type_process(form: Any, **texts: str) -> None:
    form.choose_kind("stdio")
    form.name.set_text("Files")
    for name, text in {"command": sys.executable, **texts}.items():
        getattr(form.process, name).set_text(text)


async def test_what_is_missing_is_told_at_its_field(qapp: QApplication, tmp_path: Path) -> None:
    async with form_of(qapp, tmp_path) as (_on, form, _services):
        form.choose_kind("stdio")
        form.submit()
        assert form.name.error.text() == form.process.command.error.text() == "This field is required."
        assert form.url.error.text() == ""


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("command", "/no/such/server", "There is no program /no/such/server"),
        ("folder", "/no/such/folder", "There is no folder /no/such/folder"),
        ("environment", f"A=1\n{SECRET}", "Line 2 is not NAME=VALUE"),
    ],
)
async def test_what_is_wrong_is_told_at_its_field_and_all_that_was_typed_stays(
    qapp: QApplication, tmp_path: Path, field: str, text: str, words: str
) -> None:
    async with form_of(qapp, tmp_path) as (_on, form, services):
        type_process(form, **{field: text})
        form.submit()
        wrong = getattr(form.process, field)
        await until(lambda: words in wrong.error.text())
        assert wrong.raw == text
        assert SECRET not in wrong.error.text()
        assert form.add_button.isEnabled()
        assert services.own_servers.servers == ()
        wrong.set_text("")
        form.process.command.set_text(sys.executable)
        form.submit()
        await until(lambda: services.own_servers.servers)


async def test_a_command_is_added_with_all_that_was_said_of_it(qapp: QApplication, tmp_path: Path) -> None:
    async with form_of(qapp, tmp_path) as (on, form, services):
        command = shlex.join([sys.executable, "a file.py"])
        type_process(form, command=command, folder=str(tmp_path), environment=f"KEY={SECRET}\n\nMODE=a b")
        form.process.shared.click()
        form.submit()
        await until(lambda: services.own_servers.servers)
        (server,) = services.own_servers.servers
        environment = (("KEY", SECRET), ("MODE", "a b"))
        expected = StdioServer(server.id, "Files", (sys.executable, "a file.py"), str(tmp_path), environment)
        assert server == StdioServer(**{**vars(expected), "shared": True})
        await until(lambda: on.titles == ["Files"])
        assert not form.process.command.raw
        on.place.selection.add_server()
        type_process(form, command=command, folder=str(tmp_path), environment=f"KEY={SECRET}\nMODE=a b")
        form.submit()
        await until(lambda: "already added" in form.process.command.error.text())


async def test_a_server_over_http_sse_is_kept_on_this_computer(qapp: QApplication, tmp_path: Path) -> None:
    async with form_of(qapp, tmp_path) as (_on, form, services):
        form.choose_kind("sse")
        form.name.set_text("Old")
        form.url.set_text("https://old.example/sse")
        form.submit()
        await until(lambda: services.own_servers.servers)
        (server,) = services.own_servers.servers
        assert server == SseServer(server.id, "Old", "https://old.example/sse")


async def test_what_was_typed_survives_another_choice_and_a_restart_save_the_environment(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with form_of(qapp, tmp_path) as (on, form, _services):
        type_process(form, folder="/somewhere", environment=f"KEY={SECRET}")
        form.process.shared.click()
        for kind in ("http", "sse", "stdio"):
            form.choose_kind(kind)
        assert form.process.environment.raw == f"KEY={SECRET}"
        assert on.place.unsaved_text() == "Add a server: Environment (not stored)"
        await on.place.flush()
    assert not any(SECRET in path.read_text("latin-1") for path in (tmp_path / "data").rglob("*") if path.is_file())
    async with form_of(qapp, tmp_path) as (_on, form, _services):
        await until(lambda: form.process.command.raw == sys.executable)
        assert form.is_command
        assert (form.process.folder.raw, form.process.shared.isChecked()) == ("/somewhere", True)


async def test_only_the_fields_of_the_choice_are_reached_with_the_keyboard(qapp: QApplication, tmp_path: Path) -> None:
    async with form_of(qapp, tmp_path) as (_on, form, _services):
        form.choose_kind("stdio")
        form.name.edit.setFocus()
        reached = []
        for _ in range(8):
            QTest.keyClick(qapp.focusWidget(), Qt.Key.Key_Tab)
            reached.append(qapp.focusWidget().accessibleName() or qapp.focusWidget().text())
        assert reached == [
            "Command",
            "Folder",
            "Choose the folder",
            "Environment",
            "One process for all clients",
            "Description",
            "Add server",
            "Cancel",
        ]


async def test_a_folder_is_chosen_in_a_dialog(qapp: QApplication, tmp_path: Path) -> None:
    async with form_of(qapp, tmp_path) as (_on, form, _services):
        form.choose_kind("stdio")
        form.process.choose.click()
        (dialog,) = form.findChildren(QFileDialog)
        dialog.fileSelected.emit(str(tmp_path))
        assert form.process.folder.raw == str(tmp_path)
        dialog.close()
        await settle()
