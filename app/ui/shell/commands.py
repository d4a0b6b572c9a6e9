"""The window's own commands: what the palette offers and the keyboard map binds in every place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication

from app.ui.context import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.ui.place_info import PlaceInfo
    from app.ui.shell.window import MainWindow


def own_commands(window: MainWindow, places: Sequence[PlaceInfo]) -> list[Command]:
    """Commands that do not belong to a place."""
    go, view, account = _tr("Go"), _tr("Window"), _tr("Account")

    def connected() -> bool:
        return window.backend is not None

    return [
        *(Command(f"go.{p.id}", _tr("Go to {0}").format(p.label), to(window.go, p.id), p.keys, go) for p in places),
        Command("go.back", _tr("Go back"), window.back, "Alt+Left", go),
        Command("go.forward", _tr("Go forward"), window.forward, "Alt+Right", go),
        Command("window.palette", _tr("Open the palette"), window.open_palette, "Ctrl+K", view),
        Command("window.filter", _tr("Filter the list"), window.filter_place, "/", view),
        Command("window.refresh", _tr("Refresh"), window.refresh_place, "F5", view),
        Command("window.pane.next", _tr("Next pane"), to(window.move_pane, 1), "F6", view),
        Command("window.pane.previous", _tr("Previous pane"), to(window.move_pane, -1), "Shift+F6", view),
        Command("window.activity", _tr("Show or hide activity"), window.toggle_drawer, "Ctrl+J", view),
        Command("window.keys", _tr("Show all keys"), window.open_key_sheet, "Ctrl+/", view),
        Command("window.larger", _tr("Larger text"), to(window.change_scale, 1), "Ctrl++", view),
        Command("window.smaller", _tr("Smaller text"), to(window.change_scale, -1), "Ctrl+-", view),
        Command("window.usual", _tr("Usual text size"), to(window.change_scale, 0), "Ctrl+0", view),
        Command("look.system", _tr("Appearance: as the system"), to(window.set_mode, "system"), "", view),
        Command("look.light", _tr("Appearance: light"), to(window.set_mode, "light"), "", view),
        Command("look.dark", _tr("Appearance: dark"), to(window.set_mode, "dark"), "", view),
        Command("account.sign_in", _tr("Sign in again"), window.sign_in, "", account, connected),
        Command("account.details", _tr("Sign-in details"), window.open_sign_in_details, "", account, connected),
        Command("account.host", _tr("Use another server"), window.choose_host, "", account, connected),
        Command("account.sign_out", _tr("Sign out"), window.sign_out, "", account, connected),
    ]


def project_commands(window: MainWindow) -> list[Command]:
    """One command for each project of the account."""
    backend = window.backend
    if backend is None:
        return []
    group = _tr("Switch project")
    return [
        Command(
            f"project.{project.id}",
            _tr("Project {0}").format(project.name or project.id),
            to(window.select_project, project.id),
            "",
            group,
        )
        for project in backend.projects
    ]


def to(call: Callable[[Any], object], value: Any) -> Callable[[], None]:
    """`call` with a fixed argument, as a command wants it."""

    def run() -> None:
        call(value)

    return run


def _tr(text: str) -> str:
    return QCoreApplication.translate("Commands", text)
