"""Settings ▸ Runs: whether modes are offered in which an agent asks for nothing, and the draft of its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.posthog.run_options import BYPASS_SETTING
from app.core.runs.local.versions import DRAFT_SETTING
from app.ui.shell.settings.section import Setting, SettingsSection, set_checked
from app.ui.translation import marked
from app.ui.widgets.choices import CheckBox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget


class RunsSection(SettingsSection):
    """All of it is off by default."""

    title = marked("Settings", "Runs")
    settings = (
        Setting(
            BYPASS_SETTING,
            marked("Settings", "Permissions"),
            marked("Settings", "In these modes an agent changes files and runs commands without asking anybody."),
        ),
        Setting(
            DRAFT_SETTING,
            marked("Settings", "Agents on this machine"),
            marked(
                "Settings",
                "Agent Client Protocol 2 still changes. An agent that does not take it is started with version 1.",
            ),
        ),
    )

    def controls(self) -> Mapping[str, QWidget]:
        self.bypass = CheckBox(self.tr("Offer Bypass permissions and Full access"))
        self.bypass.switched.connect(lambda offered: self.put(BYPASS_SETTING, offered))
        self.draft = CheckBox(self.tr("Offer version 2 of their protocol, a draft"))
        self.draft.switched.connect(lambda offered: self.put(DRAFT_SETTING, offered))
        return {BYPASS_SETTING: self.bypass, DRAFT_SETTING: self.draft}

    def refresh(self) -> Mapping[str, bool]:
        controls = {BYPASS_SETTING: self.bypass, DRAFT_SETTING: self.draft}
        offered = {name: self.context.settings.flag(name) for name in controls}
        for name, control in controls.items():
            set_checked(control, offered[name])
        return offered
