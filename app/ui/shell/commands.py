"""The window's own commands, which the palette offers and the keyboard map binds in every place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QCoreApplication

from app.ui.context import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.backend import Backend
    from app.core.known_accounts import KnownAccount
    from app.ui.place_info import PlaceInfo
    from app.ui.shell.appearance import Appearance
    from app.ui.shell.command_map import CommandMap
    from app.ui.shell.drawer_host import DrawerHost
    from app.ui.shell.navigation import Navigation
    from app.ui.shell.place_stack import PlaceStack
    from app.ui.shell.sign_in import SignInController


class WindowActions(Protocol):
    """What the commands of the window act on. `MainWindow` implements it."""

    navigation: Navigation
    stack: PlaceStack
    drawers: DrawerHost
    appearance: Appearance
    sign_ins: SignInController

    @property
    def backend(self) -> Backend | None: ...

    def go(self, place: str, item: str | None = None) -> None: ...

    def leave(self) -> None: ...

    @property
    def in_safe_mode(self) -> bool | None: ...

    def restart(self, *, safe: bool = False) -> None: ...

    def open_palette(self, typed: str = "") -> None: ...

    def move_pane(self, step: int) -> None: ...

    def open_key_sheet(self) -> None: ...

    def open_settings(self, key: str = "") -> None: ...

    def check_for_updates(self) -> None: ...

    def open_help(self) -> None: ...

    def open_about(self) -> None: ...

    def open_sign_in_details(self) -> None: ...

    def choose_host(self) -> None: ...

    @property
    def can_add_account(self) -> bool: ...

    @property
    def accounts(self) -> tuple[KnownAccount, ...]: ...

    def add_account(self) -> None: ...

    def switch_account(self, account: KnownAccount) -> None: ...

    def select_project(self, project_id: int) -> None: ...

    @property
    def asked(self) -> bool: ...

    def go_to_question(self) -> None: ...


def own_commands(window: WindowActions, places: Sequence[PlaceInfo]) -> list[Command]:
    """Commands that do not belong to a place."""
    go, view, account = _tr("Go"), _tr("Window"), _tr("Account")

    def connected() -> bool:
        return window.backend is not None

    def leading_to(place: PlaceInfo) -> Command:
        words = _tr("Go to {0}").format(place.label)
        return Command(
            f"go.{place.id}", words, to(window.go, place.id), place.keys, go, lambda: window.stack.can_show(place.id)
        )

    return [
        *map(leading_to, places),
        Command("go.back", _tr("Go back"), window.navigation.back, "Alt+Left", go, repeats=True),
        Command("go.forward", _tr("Go forward"), window.navigation.forward, "Alt+Right", go, repeats=True),
        Command("window.palette", _tr("Open the command palette"), window.open_palette, "Ctrl+K", view),
        Command("window.filter", _tr("Filter the list"), window.stack.filter_current, "/", view),
        Command("window.refresh", _tr("Refresh"), window.stack.refresh_current, "F5", view),
        Command("window.pane.next", _tr("Next pane"), to(window.move_pane, 1), "F6", view, repeats=True),
        Command("window.pane.previous", _tr("Previous pane"), to(window.move_pane, -1), "Shift+F6", view, repeats=True),
        Command(
            "window.approval",
            _tr("Answer the question of an agent"),
            window.go_to_question,
            "Ctrl+Shift+A",
            view,
            lambda: window.asked,
            anywhere=True,
        ),
        Command("window.activity", _tr("Show or hide activity"), window.drawers.toggle, "Ctrl+J", view),
        Command("window.keys", _tr("Show keyboard shortcuts"), window.open_key_sheet, "Ctrl+/", view, anywhere=True),
        Command("window.settings", _tr("Settings…"), window.open_settings, "Ctrl+,", view, anywhere=True),
        Command("window.updates", _tr("Check for updates…"), window.check_for_updates, "", view, anywhere=True),
        Command("window.help", _tr("Help"), window.open_help, "F1", view, anywhere=True),
        Command("window.about", _tr("About Burrow"), window.open_about, "", view, anywhere=True),
        Command(
            "window.safe",
            _tr("Restart in safe mode"),
            restarting(window, True),
            "",
            view,
            lambda: window.in_safe_mode is False,
            anywhere=True,
        ),
        Command(
            "window.restart",
            _tr("Restart Burrow"),
            restarting(window, False),
            "",
            view,
            lambda: window.in_safe_mode is not None,
            anywhere=True,
        ),
        Command("window.quit", _tr("Quit Burrow"), window.leave, "Ctrl+Q", view, anywhere=True),
        Command(
            "window.larger", _tr("Larger text"), to(window.appearance.change_scale, 1), "Ctrl++", view, repeats=True
        ),
        Command(
            "window.smaller", _tr("Smaller text"), to(window.appearance.change_scale, -1), "Ctrl+-", view, repeats=True
        ),
        Command("window.usual", _tr("Default text size"), to(window.appearance.change_scale, 0), "Ctrl+0", view),
        Command("look.system", _tr("Appearance: system"), to(window.appearance.set_mode, "system"), "", view),
        Command("look.light", _tr("Appearance: light"), to(window.appearance.set_mode, "light"), "", view),
        Command("look.dark", _tr("Appearance: dark"), to(window.appearance.set_mode, "dark"), "", view),
        Command("account.add", _tr("Add account…"), window.add_account, "", account, lambda: window.can_add_account),
        Command("account.sign_in", _tr("Sign in again"), window.sign_ins.sign_in, "", account, connected),
        Command("account.details", _tr("Sign-in details"), window.open_sign_in_details, "", account, connected),
        Command("account.host", _tr("Use another server"), window.choose_host, "", account, connected),
        Command("account.begin", _tr("Sign in…"), window.choose_host, "", account, lambda: not connected()),
        Command("account.sign_out", _tr("Sign out"), window.sign_ins.sign_out, "", account, connected),
    ]


def setting_commands(window: WindowActions) -> list[Command]:
    """One command for each setting: it opens the settings there."""
    from app.ui.shell.settings.section import translated
    from app.ui.shell.settings.sections import SECTIONS

    group = _tr("Settings")
    return [
        Command(
            f"setting.{setting.key}",
            _tr("{0}: {1}").format(translated(section.title), translated(setting.name)),
            to(window.open_settings, setting.key),
            "",
            group,
        )
        for section in SECTIONS
        for setting in section.settings
    ]


def account_commands(window: WindowActions) -> list[Command]:
    """One command for each account besides the current one."""
    from app.core.known_accounts import distinct_names

    backend, group = window.backend, _tr("Account")
    names = distinct_names(window.accounts)
    return [
        Command(
            f"account.switch.{account.key.text}",
            _tr("Switch to {0}").format(names[account.key]),
            to(window.switch_account, account),
            "",
            group,
        )
        for account in window.accounts
        if backend is None or account.key != backend.credential.key
    ]


def project_commands(window: WindowActions) -> list[Command]:
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


def palette_commands(window: WindowActions, commands: CommandMap) -> list[Command]:
    """What the palette offers: every command, the items of the places, accounts, projects, settings."""
    # The palette does not offer to open itself.
    own = [command for command in commands.every() if command.id != "window.palette"]
    more = (*account_commands(window), *project_commands(window), *setting_commands(window))
    return [*own, *commands.items(), *more]


def to(call: Callable[[Any], object], value: Any) -> Callable[[], None]:
    """`call` with a fixed argument, as a function without arguments."""

    def run() -> None:
        call(value)

    return run


def restarting(window: WindowActions, safe: bool) -> Callable[[], None]:
    """Starts Burrow again."""
    return lambda: window.restart(safe=safe)


def _tr(text: str) -> str:
    return QCoreApplication.translate("Commands", text)
