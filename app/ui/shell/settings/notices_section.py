"""Settings ▸ Notifications: what the desktop tells while another window is in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.shell.notices import NOTIFY_CALLS, NOTIFY_SIGN_IN
from app.ui.shell.settings.section import Setting, SettingsSection, set_checked
from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget


class NoticesSection(SettingsSection):
    """Each kind of notification is shown or not. None is without being asked for."""

    title = marked("Settings", "Notifications")
    settings = (
        Setting(
            NOTIFY_SIGN_IN,
            marked("Settings", "A sign-in is needed"),
            marked("Settings", "Only while another window is in front."),
        ),
        Setting(
            NOTIFY_CALLS,
            marked("Settings", "A tool call has ended"),
            marked("Settings", "Or takes long, or waits for your answer. Only while another window is in front."),
        ),
    )

    def controls(self) -> Mapping[str, QWidget]:
        self.boxes = {each.key: self.check(each.key, self.tr("Show a notification")) for each in self.settings}
        return dict(self.boxes)

    def refresh(self) -> Mapping[str, bool]:
        for key, box in self.boxes.items():
            set_checked(box, self.context.settings.flag(key))
        return {key: box.isChecked() for key, box in self.boxes.items()}
