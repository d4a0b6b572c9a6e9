"""Settings ▸ Desktop: what closing the window does, and start at login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.desktop.autostart import HIDDEN, AutostartKind, autostart
from app.ui.shell.background import ASK, CLOSE_CHOICES, CLOSE_SETTING, HIDE, QUIT, START_HIDDEN_SETTING
from app.ui.shell.settings.section import Setting, SettingsSection, select, set_checked, translated
from app.ui.translation import marked
from app.ui.widgets.choices import CheckBox, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PySide6.QtCore import QObject
    from PySide6.QtWidgets import QWidget

    from app.core.desktop.autostart import Autostart, AutostartState
    from app.core.errors import BurrowError
    from app.ui.shell.settings.section import SettingsContext

# Not stored: the system has it.
LOGIN_SETTING = "start.at_login"
CLOSES = (
    (ASK, marked("Settings", "Ask each time")),
    (HIDE, marked("Settings", "Keep running in the tray")),
    (QUIT, marked("Settings", "Quit")),
)


class DesktopSection(SettingsSection):
    """Start at login is read from the system when the page opens and after each change."""

    title = marked("Settings", "Desktop")
    settings = (
        Setting(
            CLOSE_SETTING,
            marked("Settings", "When the window closes"),
            marked("Settings", "In the tray it goes on: MCP clients use its proxy, and you are told what needs you."),
        ),
        Setting(LOGIN_SETTING, marked("Settings", "Start at login"), resettable=False),
        Setting(
            START_HIDDEN_SETTING,
            marked("Settings", "At login, start in the tray"),
            marked("Settings", "Without a window. Where there is no tray, the window is minimised."),
        ),
    )

    def __init__(self, context: SettingsContext, parent: QObject, find: Callable[[], Autostart] = autostart) -> None:
        super().__init__(context, parent)
        self._autostart = find()
        self._state: AutostartState | None = None
        self._trouble = ""
        if context.background is not None:
            context.background.changed.connect(self.changed)
        self._read()

    def controls(self) -> Mapping[str, QWidget]:
        closes = [(value, translated(words)) for value, words in CLOSES]
        self.close = Select(self.tr("When the window closes"), closes)
        self.close.activated.connect(lambda _row: self.put(CLOSE_SETTING, self.close.currentData()))
        self.login = CheckBox(self.tr("Start Burrow when I log in"))
        self.login.toggled.connect(self._switch)
        self.hidden = CheckBox(self.tr("Start in the tray"))
        self.hidden.toggled.connect(self._choose_hidden)
        return {CLOSE_SETTING: self.close, LOGIN_SETTING: self.login, START_HIDDEN_SETTING: self.hidden}

    def refresh(self) -> Mapping[str, bool]:
        settings, background = self.context.settings, self.context.background
        choice = settings.choice(CLOSE_SETTING, CLOSE_CHOICES, ASK)
        select(self.close, choice)
        possible = background is not None and background.possible
        self.close.setEnabled(possible)
        hint = translated(self.named(CLOSE_SETTING).hint)
        if background is not None and background.looked and not possible:
            hint = self.tr("This desktop shows no tray, so closing the window quits Burrow.")
        self.rows[CLOSE_SETTING].set_hint(hint)
        self._show_login()
        hidden = settings.flag(START_HIDDEN_SETTING, default=True)
        set_checked(self.hidden, hidden)
        return {CLOSE_SETTING: choice != ASK, START_HIDDEN_SETTING: not hidden}

    def reset(self, key: str) -> None:
        super().reset(key)
        if key == START_HIDDEN_SETTING:
            self._write_again()

    def _show_login(self) -> None:
        state = self._state
        on = state is not None and state.kind is AutostartKind.ON
        set_checked(self.login, on)
        usable = state is not None and state.kind in {AutostartKind.ON, AutostartKind.OFF}
        self.login.setEnabled(usable)
        self.hidden.setEnabled(usable)
        hint = self._trouble
        if not hint and state is not None and not usable:
            words = {
                AutostartKind.FOREIGN: self.tr("Another program has {0}."),
                AutostartKind.UNKNOWN: self.tr("{0} cannot be read."),
            }
            hint = words[state.kind].format(state.where)
        self.rows[LOGIN_SETTING].set_hint(hint or self.tr("The proxy then answers as soon as you are logged in."))

    def _switch(self, on: bool) -> None:
        entry = self._autostart
        self._run(lambda: entry.enable(self._command()) if on else entry.disable())

    def _choose_hidden(self, hidden: bool) -> None:
        self.put(START_HIDDEN_SETTING, hidden)
        self._write_again()

    def _write_again(self) -> None:
        if self._state is not None and self._state.kind is AutostartKind.ON:
            self._switch(True)

    def _command(self) -> list[str]:
        background = self.context.background
        command = background.login_command if background is not None else ()
        hidden = self.context.settings.flag(START_HIDDEN_SETTING, default=True)
        return [*command, *([HIDDEN] if hidden else [])]

    def _read(self) -> None:
        self._run(lambda: None)

    def _run(self, change: Callable[[], None]) -> None:
        import asyncio

        entry = self._autostart

        def changed() -> AutostartState:
            change()
            return entry.state()

        self.context.bridge.spawn(
            self, asyncio.to_thread(changed), done=self._show_state, failed=self._failed, key=LOGIN_SETTING
        )

    def _show_state(self, state: AutostartState) -> None:
        self._state, self._trouble = state, ""
        self.changed.emit()

    def _failed(self, error: BurrowError) -> None:
        self._trouble = f"{error.title}. {error.cause} {error.advice}".strip()
        self.changed.emit()
