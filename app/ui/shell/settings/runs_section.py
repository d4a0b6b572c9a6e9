"""Settings ▸ Runs: whether permission modes are offered in which an agent asks for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.posthog.run_options import BYPASS_SETTING
from app.ui.shell.settings.section import Setting, SettingsSection, set_checked
from app.ui.translation import marked
from app.ui.widgets.choices import CheckBox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget


class RunsSection(SettingsSection):
    """Off by default."""

    title = marked("Settings", "Runs")
    settings = (
        Setting(
            BYPASS_SETTING,
            marked("Settings", "Permissions"),
            marked("Settings", "In these modes an agent changes files and runs commands without asking anybody."),
        ),
    )

    def controls(self) -> Mapping[str, QWidget]:
        self.bypass = CheckBox(self.tr("Offer Bypass permissions and Full access"))
        self.bypass.switched.connect(lambda offered: self.put(BYPASS_SETTING, offered))
        return {BYPASS_SETTING: self.bypass}

    def refresh(self) -> Mapping[str, bool]:
        offered = self.context.settings.flag(BYPASS_SETTING)
        set_checked(self.bypass, offered)
        return {BYPASS_SETTING: offered}
