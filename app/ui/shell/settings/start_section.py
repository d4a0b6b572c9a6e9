"""Settings ▸ Start: the place that is shown first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.shell.layout import START_SETTING
from app.ui.shell.settings.section import Setting, SettingsSection, select
from app.ui.translation import marked
from app.ui.widgets.choices import Select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget


class StartSection(SettingsSection):
    """An empty value means the place that was last in view."""

    title = marked("Settings", "Start")
    settings = (Setting(START_SETTING, marked("Settings", "Start with")),)

    def controls(self) -> Mapping[str, QWidget]:
        places = [(info.id, info.label) for info in self.context.places]
        self.start = Select(self.tr("Start with"), [("", self.tr("The last place")), *places])
        self.start.activated.connect(lambda _row: self.put(START_SETTING, self.start.currentData()))
        return {START_SETTING: self.start}

    def refresh(self) -> Mapping[str, bool]:
        offered = [str(self.start.itemData(row)) for row in range(self.start.count())]
        start = self.context.settings.choice(START_SETTING, offered, "")
        select(self.start, start)
        return {START_SETTING: start != ""}
