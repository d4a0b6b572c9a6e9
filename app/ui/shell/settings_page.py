"""The settings page (Ctrl+,). Every setting counts at once, has a default and can be reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QLocale, QSignalBlocker, Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.core.errors import BurrowError
from app.core.preferences import ADDRESS, PROXY_ADDRESS, PROXY_MODE, PROXY_MODES, SYSTEM, preferences, use_preferences
from app.ui.shell import settings_list as known
from app.ui.shell.appearance import DENSITIES, DENSITY_SETTING, MODE_SETTING, SCALE_SETTING
from app.ui.shell.layout import START_SETTING
from app.ui.shell.setting_row import SettingRow
from app.ui.theme import theme, tokens
from app.ui.translation import translate
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.choices import CheckBox, Segmented, Select
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.fields import FieldError
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QKeyEvent

    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.place_info import PlaceInfo
    from app.ui.settings import UiSettings
    from app.ui.shell.appearance import Appearance

T = TypeVar("T")

WIDTH, HEIGHT = 680, 620
LEAST_WIDTH, LEAST_HEIGHT = 360, 300
ADDRESS_WIDTH = 260
STORE_JOB = "store"


class SettingsPage(QDialog):
    """Opened with `show()`, beside the window."""

    def __init__(
        self,
        services: Services,
        bridge: Bridge,
        settings: UiSettings,
        appearance: Appearance,
        places: Sequence[PlaceInfo],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Settings"))
        # What is put into `settings` counts before it is written.
        use_preferences(settings)
        self._services, self._bridge, self._settings, self._appearance = services, bridge, settings, appearance
        self.rows: dict[str, SettingRow] = {}
        self._make_controls(places)
        current = theme()
        wide = current.px(tokens.SPACE_4)
        self.column = ScrollColumn(self.tr("Settings"), side=tokens.SPACE_4, top=0)
        self.column.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._fill()
        foot = QHBoxLayout()
        foot.setContentsMargins(wide, current.px(tokens.SPACE_2), wide, wide)
        self.reset_button = QuietButton(self.tr("Reset all"), "undo", clicked=self.reset_all)
        self.close_button = QuietButton(self.tr("Close"), clicked=self.reject)
        foot.addWidget(self.reset_button)
        foot.addStretch(1)
        foot.addWidget(self.close_button)
        head = QVBoxLayout()
        head.setContentsMargins(wide, wide, wide, current.px(tokens.SPACE_2))
        head.addWidget(Text(self.tr("Settings"), "title"))
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(head)
        box.addWidget(self.column, 1)
        box.addLayout(foot)
        self.setMinimumSize(current.px(LEAST_WIDTH), current.px(LEAST_HEIGHT))
        room = self.screen().availableGeometry()
        self.resize(min(current.px(WIDTH), room.width()), min(current.px(HEIGHT), room.height()))
        bridge.listen(self, services.sign_ins.changed, lambda _nothing: self._show_store())
        bridge.listen(self, services.backend_changed, lambda _backend: self._show_store())
        theme().changed.connect(self.refresh)
        self.refresh()
        show_focus_ring(self)
        self.focus_on(MODE_SETTING)

    def focus_on(self, key: str) -> None:
        """Bring a setting into view and put the focus on it."""
        row = self.rows.get(key)
        if row is None:
            return
        control = row.control
        target = control if control.focusPolicy() & Qt.FocusPolicy.TabFocus else _first_stop(control)
        self.column.ensureWidgetVisible(row)
        target.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def refresh(self) -> None:
        """Show every setting as it is now."""
        mode, density = theme().mode, DENSITIES[theme().compact]
        self.theme_choice.set_value(mode)
        self.density.set_value(density)
        _select(self.scale, theme().user_scale, _percent)
        start = self._settings.choice(
            START_SETTING, [str(self.start.itemData(row)) for row in range(self.start.count())], ""
        )
        _select(self.start, start)
        for key, control in self._waits.items():
            _select(control, self._seconds(key), _length)
        for key, box in self._notices.items():
            with QSignalBlocker(box):
                box.setChecked(self._settings.flag(key))
        self._show_proxy()
        self._show_store()
        changed = {
            MODE_SETTING: mode != "system",
            SCALE_SETTING: theme().user_scale != 1.0,
            DENSITY_SETTING: density != DENSITIES[0],
            START_SETTING: start != "",
            PROXY_MODE: preferences().proxy.mode != SYSTEM,
            **{key: self._seconds(key) != known.WAITS[key][0].default for key in self._waits},
            **{key: box.isChecked() for key, box in self._notices.items()},
        }
        for key, differs in changed.items():
            self.rows[key].set_changed(differs)
        self.reset_button.setEnabled(any(changed.values()))

    def reset(self, key: str) -> None:
        """Bring the default of one setting back."""
        if key == MODE_SETTING:
            self._appearance.set_mode("system")
        elif key == SCALE_SETTING:
            self._appearance.set_scale(1.0)
        elif key == DENSITY_SETTING:
            self._appearance.set_density(DENSITIES[0])
        self._settings.drop(key)
        if key == PROXY_MODE:
            self._settings.drop(PROXY_ADDRESS)
            self.address.clear()
            self.address_error.say("")
        preferences().refresh()
        self.refresh()

    def reset_all(self) -> None:
        """Bring all defaults back. Where the sign-in is kept stays as it is."""
        for key in self.rows:
            if key != known.STORE:
                self.reset(key)

    def _make_controls(self, places: Sequence[PlaceInfo]) -> None:
        self.theme_choice = Segmented([(value, _tr(words), "", "accent") for value, words in known.MODES], _tr("Theme"))
        self.theme_choice.chosen.connect(self._appearance.set_mode)
        self.theme_choice.chosen.connect(lambda _value: self.refresh())
        self.scale = Select(_tr("Text size"))
        for size in known.SIZES:
            self.scale.addItem(_percent(size), size)
        self.scale.activated.connect(lambda _row: self._appearance.set_scale(self.scale.currentData()))
        self.density = Segmented(
            [(value, _tr(words), "", "accent") for value, words in known.DENSITIES], _tr("Density")
        )
        self.density.chosen.connect(self._appearance.set_density)
        self.density.chosen.connect(lambda _value: self.refresh())
        self.start = Select(
            _tr("Start with"), [("", self.tr("The last place")), *((info.id, info.label) for info in places)]
        )
        self.start.activated.connect(lambda _row: self._put(START_SETTING, self.start.currentData()))
        self._waits = {key: self._wait(key) for key in known.WAITS}
        self._notices = {key: self._notice(key) for key in (known.NOTIFY_SIGN_IN, known.NOTIFY_CALLS)}
        self.proxy = Select(_tr("Proxy"), [(value, _tr(words)) for value, words in known.PROXIES])
        self.proxy.activated.connect(lambda _row: self._choose_proxy())
        self.address = LineEdit()
        self.address.setAccessibleName(self.tr("Address of the proxy"))
        self.address.setPlaceholderText("http://proxy.example:3128")
        self.address.setMinimumWidth(theme().px(ADDRESS_WIDTH))
        self.address.editingFinished.connect(self._keep_address)
        self.address_error = FieldError(self.address)
        self.store = Select(_tr("Where the sign-in is kept"), [(value, _tr(words)) for value, words in known.STORES])
        self.store.activated.connect(lambda _row: self._choose_store())

    def _fill(self) -> None:
        controls: dict[str, QWidget] = {
            MODE_SETTING: self.theme_choice,
            SCALE_SETTING: self.scale,
            DENSITY_SETTING: self.density,
            START_SETTING: self.start,
            PROXY_MODE: _stacked(self.proxy, self.address, self.address_error),
            **self._waits,
            **self._notices,
            known.STORE: self.store,
        }
        section = ""
        for setting in known.SETTINGS:
            if setting.section != section:
                section = setting.section
                self.column.box.addSpacing(theme().px(tokens.SPACE_2))
                self.column.box.addWidget(Text(_tr(section), "section"))
            row = SettingRow(
                _tr(setting.name),
                _tr(setting.hint) if setting.hint else "",
                controls[setting.key],
                self._resetting(setting.key),
            )
            self.rows[setting.key] = row
            self.column.box.addWidget(row)
        self.column.box.addStretch(1)

    def _resetting(self, key: str) -> Callable[[], None]:
        return lambda: self.reset(key)

    def _wait(self, key: str) -> Select:
        setting = next(each for each in known.SETTINGS if each.key == key)
        control = Select(_tr(setting.name))
        for seconds in known.WAITS[key][1]:
            control.addItem(_length(seconds), float(seconds))
        control.activated.connect(lambda _row: self._put(key, control.currentData()))
        return control

    def _notice(self, key: str) -> CheckBox:
        setting = next(each for each in known.SETTINGS if each.key == key)
        box = CheckBox(self.tr("Show a notification"))
        box.setAccessibleName(self.tr("{0}: show a notification").format(_tr(setting.name)))
        box.toggled.connect(lambda checked: self._put(key, checked))
        return box

    def _put(self, key: str, value: object) -> None:
        self._settings.put(key, value)
        preferences().refresh()
        self.refresh()

    def _seconds(self, key: str) -> float:
        return known.WAITS[key][0].of(self._settings.get(key))

    def _show_proxy(self) -> None:
        # While the address is being typed, what is chosen in the list goes before what is in force.
        if self.address.isHidden() or preferences().proxy.mode == ADDRESS:
            _select(self.proxy, preferences().proxy.mode)
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
            self._put(PROXY_MODE, mode)

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
        self._settings.put(PROXY_ADDRESS, address)
        self._put(PROXY_MODE, ADDRESS)

    def _show_store(self) -> None:
        backend = self._services.backend
        row = self.rows[known.STORE]
        held = backend is not None and backend.credential.grant is not None
        self.store.setEnabled(held and not (backend is not None and backend.host.embedded))
        if backend is None:
            row.set_hint(self.tr("Nobody is signed in."))
            return
        status = backend.credential.status
        _select(self.store, status.store)
        if backend.host.embedded:
            row.set_hint(self.tr("The sign-in to the embedded workspace is made anew at each start."))
        elif status.persistent:
            row.set_hint(self.tr("Counts for {0}. It is moved at once.").format(backend.host.name))
        else:
            row.set_hint(self.tr("Counts for {0}. It is forgotten when Burrow ends.").format(backend.host.name))

    def _choose_store(self) -> None:
        backend = self._services.backend
        if backend is None:
            return
        self._bridge.spawn(
            self,
            backend.credential.choose_store(str(self.store.currentData())),
            done=lambda _nothing: self._show_store(),
            failed=self._store_failed,
            key=STORE_JOB,
        )

    def _store_failed(self, error: BurrowError) -> None:
        self._show_store()
        self.rows[known.STORE].set_hint(f"{error.title}. {error.cause} {error.advice}".strip())

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter keeps what was typed and presses no button that does not have the focus."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.ignore()
            return
        super().keyPressEvent(event)


def _select(control: Select, value: T, words: Callable[[T], str] = str) -> None:
    """Show a value, which is added in its `words` if it is none of the offered ones."""
    place = next((row for row in range(control.count()) if control.itemData(row) == value), -1)
    if place < 0:
        control.addItem(words(value), value)
        place = control.count() - 1
    control.setCurrentIndex(place)


def _percent(scale: float) -> str:
    return f"{QLocale().toString(round(scale * 100))} %"


def _length(seconds: float) -> str:
    """A duration in whole minutes or seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return _tr(known.SECONDS).format(round(seconds)) if rest else _tr(known.MINUTES).format(minutes)


def _stacked(*parts: QWidget) -> QWidget:
    whole = QWidget()
    box = QVBoxLayout(whole)
    box.setContentsMargins(0, 0, 0, 0)
    box.setSpacing(theme().px(tokens.SPACE_1))
    for part in parts:
        box.addWidget(part)
    whole.setFocusProxy(parts[0])
    return whole


def _first_stop(root: QWidget) -> QWidget:
    """The first part of a control that takes the focus by Tab."""
    proxy = root.focusProxy()
    if proxy is not None:
        return proxy
    parts = (each for each in root.findChildren(QWidget) if each.focusPolicy() & Qt.FocusPolicy.TabFocus)
    return next(parts, root)


def _tr(text: str) -> str:
    return translate("Settings", text)
