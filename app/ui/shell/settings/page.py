"""The settings page (Ctrl+,). Every setting counts at once, has a default and can be reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.core.preferences import preferences, use_preferences
from app.ui.shell.setting_row import SettingRow
from app.ui.shell.settings.section import translated
from app.ui.shell.settings.sections import SECTIONS
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent, QResizeEvent

    from app.ui.shell.settings.section import SettingsContext, SettingsSection

S = TypeVar("S", bound="SettingsSection")

WIDTH, HEIGHT = 860, 620
LEAST_WIDTH, LEAST_HEIGHT = 360, 300
# With less room, in pixels of the design, there is no list of the sections.
LIST_WIDTH, LIST_HEIGHT = 760, 460


class SettingsPage(QDialog):
    """Opened with `show()`, beside the window. `rows` has the row of each setting by its key."""

    def __init__(self, context: SettingsContext, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Settings"))
        # What is put into the settings counts before it is written.
        use_preferences(context.settings)
        self.rows: dict[str, SettingRow] = {}
        self._sections = [each(context, self) for each in SECTIONS]
        current = theme()
        wide = current.px(tokens.SPACE_4)
        self._headings: dict[SettingsSection, Text] = {}
        self.sections = QWidget(self)
        doors = QVBoxLayout(self.sections)
        doors.setContentsMargins(current.px(tokens.SPACE_2), 0, 0, 0)
        doors.setSpacing(0)
        for section in self._sections:
            door = QuietButton(translated(section.title), kind="flat", clicked=self._leading_to(section))
            doors.addWidget(door, 0, Qt.AlignmentFlag.AlignLeft)
        doors.addStretch(1)
        # With its parent before its rows: Qt styles a widget and all inside it again whenever it gets another one.
        self.column = ScrollColumn(self.tr("Settings"), self, side=tokens.SPACE_4, top=0)
        self.column.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for section in self._sections:
            self._add(section)
        self.column.box.addStretch(1)
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
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self.sections)
        middle.addWidget(self.column, 1)
        box.addLayout(middle, 1)
        box.addLayout(foot)
        self.setMinimumSize(current.px(LEAST_WIDTH), current.px(LEAST_HEIGHT))
        room = self.screen().availableGeometry()
        self.resize(min(current.px(WIDTH), room.width()), min(current.px(HEIGHT), room.height()))
        self._brought: SettingRow | None = None
        bar = self.column.verticalScrollBar()
        bar.rangeChanged.connect(self._bring)
        bar.valueChanged.connect(self._forget_brought)
        theme().changed.connect(self.refresh)
        self.refresh()
        for section in self._sections:
            section.changed.connect(self.refresh)
        show_focus_ring(self)
        self.focus_on(next(iter(self.rows)))

    def section(self, kind: type[S]) -> S:
        """The section of this class. Raises StopIteration when the page has none."""
        return next(each for each in self._sections if isinstance(each, kind))

    def focus_on(self, key: str) -> None:
        """Bring a setting into view and put the focus on it."""
        row = self.rows.get(key)
        if row is None:
            return
        control = row.control
        target = control if control.focusPolicy() & Qt.FocusPolicy.TabFocus else _first_stop(control)
        self._brought = row
        self._bring()
        target.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def refresh(self) -> None:
        """Show every setting as it is now."""
        changed: dict[str, bool] = {}
        for section in self._sections:
            changed.update(section.refresh())
        for key, differs in changed.items():
            self.rows[key].set_changed(differs)
        self.reset_button.setEnabled(any(changed.values()))

    def reset_all(self) -> None:
        """Bring all defaults back. What has none, such as where the sign-in is kept, stays as it is."""
        for section in self._sections:
            for setting in section.settings:
                if setting.resettable:
                    self._reset(section, setting.key)

    def _add(self, section: SettingsSection) -> None:
        self.column.box.addSpacing(theme().px(tokens.SPACE_2))
        heading = self._headings[section] = Text(translated(section.title), "section")
        self.column.box.addWidget(heading)
        controls = section.controls()
        for setting in section.settings:
            row = SettingRow(
                translated(setting.name),
                translated(setting.hint) if setting.hint else "",
                controls[setting.key],
                self._resetting(section, setting.key),
            )
            self.rows[setting.key] = row
            self.column.box.addWidget(row)
        section.rows = {setting.key: self.rows[setting.key] for setting in section.settings}

    def _leading_to(self, section: SettingsSection) -> Callable[[], None]:
        def lead() -> None:
            self.focus_on(section.settings[0].key)
            # The heading is what was asked for, not the first row alone.
            self._brought = None
            self.column.verticalScrollBar().setValue(self._headings[section].y())

        return lead

    def _resetting(self, section: SettingsSection, key: str) -> Callable[[], None]:
        return lambda: self._reset(section, key)

    def _reset(self, section: SettingsSection, key: str) -> None:
        section.reset(key)
        preferences().refresh()
        self.refresh()

    def _bring(self) -> None:
        """Scroll to the row that was asked for, until the person scrolls: its words may come after it was shown."""
        if self._brought is not None:
            brought = self._brought
            self.column.ensureWidgetVisible(brought)
            # This scrolling was not the person's.
            self._brought = brought

    def _forget_brought(self) -> None:
        self._brought = None

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        room = self.width() >= theme().px(LIST_WIDTH) and self.height() >= theme().px(LIST_HEIGHT)
        self.sections.setVisible(room)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter keeps what was typed and presses no button that does not have the focus."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.ignore()
            return
        super().keyPressEvent(event)


def _first_stop(root: QWidget) -> QWidget:
    """The first part of a control that takes the focus by Tab."""
    proxy = root.focusProxy()
    if proxy is not None:
        return proxy
    parts = (each for each in root.findChildren(QWidget) if each.focusPolicy() & Qt.FocusPolicy.TabFocus)
    return next(parts, root)
