"""Settings ▸ Network: the proxy, and how long to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from app.core.errors import BurrowError
from app.core.preferences import (
    ADDRESS,
    ANSWER,
    ANSWER_SETTING,
    NONE,
    PROXY_ADDRESS,
    PROXY_MODE,
    PROXY_MODES,
    SILENCE,
    SILENCE_SETTING,
    SYSTEM,
    preferences,
)
from app.ui.shell.settings.section import Setting, SettingsSection, select, stacked, translated
from app.ui.theme import theme
from app.ui.translation import marked
from app.ui.widgets.choices import Select
from app.ui.widgets.fields import FieldError
from app.ui.widgets.line_edit import LineEdit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget

    from app.core.preferences import Seconds

ADDRESS_WIDTH = 260
PROXIES = (
    (SYSTEM, marked("Settings", "As the system says")),
    (NONE, marked("Settings", "None")),
    (ADDRESS, marked("Settings", "This address")),
)
# In seconds.
WAITS: dict[str, tuple[Seconds, tuple[int, ...]]] = {
    ANSWER_SETTING: (ANSWER, (10, 20, 30, 45, 60, 120, 300, 600)),
    SILENCE_SETTING: (SILENCE, (15, 30, 60, 120, 300, 600, 1800)),
}


class NetworkSection(SettingsSection):
    """They count for the whole process (`app.core.preferences`)."""

    title = marked("Settings", "Network")
    settings = (
        Setting(
            PROXY_MODE,
            marked("Settings", "Proxy"),
            marked("Settings", "Counts from the next request on. Requests to this computer never use it."),
        ),
        Setting(
            ANSWER_SETTING,
            marked("Settings", "Longest wait for an answer"),
            marked("Settings", "Of a request to the host. A run that is followed has no such limit."),
        ),
        Setting(
            SILENCE_SETTING,
            marked("Settings", "Longest silence of a tool call"),
            marked("Settings", "After that you are asked whether to keep waiting. The call goes on meanwhile."),
        ),
    )

    def controls(self) -> Mapping[str, QWidget]:
        self.proxy = Select(self.tr("Proxy"), [(value, translated(words)) for value, words in PROXIES])
        self.proxy.activated.connect(lambda _row: self._choose_proxy())
        self.address = LineEdit()
        self.address.setAccessibleName(self.tr("Address of the proxy"))
        self.address.setPlaceholderText("http://proxy.example:3128")
        self.address.setMinimumWidth(theme().px(ADDRESS_WIDTH))
        self.address.editingFinished.connect(self._keep_address)
        self.address_error = FieldError(self.address)
        self.waits = {key: self._wait(key) for key in WAITS}
        return {PROXY_MODE: stacked(self.proxy, self.address, self.address_error), **self.waits}

    def refresh(self) -> Mapping[str, bool]:
        for key, control in self.waits.items():
            select(control, self._seconds(key), self._length)
        self._show_proxy()
        return {
            PROXY_MODE: preferences().proxy.mode != SYSTEM,
            **{key: self._seconds(key) != WAITS[key][0].default for key in self.waits},
        }

    def reset(self, key: str) -> None:
        super().reset(key)
        if key == PROXY_MODE:
            self.context.settings.drop(PROXY_ADDRESS)
            self.address.clear()
            self.address_error.say("")

    def _wait(self, key: str) -> Select:
        control = Select(translated(self.named(key).name))
        for seconds in WAITS[key][1]:
            control.addItem(self._length(seconds), float(seconds))
        control.activated.connect(lambda _row: self.put(key, control.currentData()))
        return control

    def _length(self, seconds: float) -> str:
        """A duration in whole minutes or seconds."""
        minutes, rest = divmod(round(seconds), 60)
        return self.tr("{0} s").format(round(seconds)) if rest else self.tr("{0} min").format(minutes)

    def _seconds(self, key: str) -> float:
        return WAITS[key][0].of(self.context.settings.get(key))

    def _show_proxy(self) -> None:
        # While the address is being typed, what is chosen in the list goes before what is in force.
        if self.address.isHidden() or preferences().proxy.mode == ADDRESS:
            select(self.proxy, preferences().proxy.mode)
        typing = self.proxy.currentData() == ADDRESS
        self.address.setVisible(typing)
        if typing and not self.address.text():
            self.address.setText(preferences().proxy.address)

    def _choose_proxy(self) -> None:
        mode = self.proxy.currentData()
        self.address.setVisible(mode == ADDRESS)
        self.address_error.say("")
        if mode == ADDRESS:
            self.address.setFocus(Qt.FocusReason.OtherFocusReason)
            if self.address.text():
                self._keep_address()
        elif mode in PROXY_MODES:
            self.put(PROXY_MODE, mode)

    def _keep_address(self) -> None:
        from app.core.auth.http.proxies import check_address

        if self.proxy.currentData() != ADDRESS or not self.address.text().strip():
            return
        try:
            address = check_address(self.address.text())
        except BurrowError as failure:
            self.address_error.say(failure.cause)
            return
        self.address_error.say("")
        self.context.settings.put(PROXY_ADDRESS, address)
        self.put(PROXY_MODE, ADDRESS)
