"""Settings ▸ Notifications: what the desktop tells while another window is in front."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from app.ui.shell.notices import DEFAULTS, NOTIFY_APPROVALS, NOTIFY_CALLS, NOTIFY_RUNS, NOTIFY_SIGN_IN, NOTIFY_UPDATES
from app.ui.shell.settings.section import Setting, SettingsSection, set_checked, translated
from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtCore import QObject
    from PySide6.QtWidgets import QWidget

    from app.ui.shell.settings.section import SettingsContext


class NoticesSection(SettingsSection):
    """Each kind of notification is shown or not."""

    title = marked("Settings", "Notifications")
    settings = (
        Setting(
            NOTIFY_APPROVALS,
            marked("Settings", "An agent asks for a call"),
            marked("Settings", "Refuse it there, or review it in the window. Only the window can allow a call."),
        ),
        Setting(
            NOTIFY_RUNS,
            marked("Settings", "A run needs you or ends"),
            marked("Settings", "Also when the agent finishes its turn. Only while another window is in front."),
        ),
        Setting(
            NOTIFY_SIGN_IN,
            marked("Settings", "A sign-in is needed"),
            marked("Settings", "Only while another window is in front."),
        ),
        Setting(
            NOTIFY_CALLS,
            marked("Settings", "A tool call has ended"),
            marked("Settings", "Or takes long. Only while another window is in front."),
        ),
        Setting(
            NOTIFY_UPDATES,
            marked("Settings", "An update is ready"),
            marked("Settings", "Only while another window is in front."),
        ),
    )

    def __init__(self, context: SettingsContext, parent: QObject) -> None:
        super().__init__(context, parent)
        self._nowhere = False
        if sys.platform.startswith("linux"):
            from app.core.desktop.notifications import is_shown_anywhere

            context.bridge.spawn(self, is_shown_anywhere(), done=self._looked, key="service")

    def controls(self) -> Mapping[str, QWidget]:
        self.boxes = {each.key: self.check(each.key, self.tr("Show a notification")) for each in self.settings}
        return dict(self.boxes)

    def refresh(self) -> Mapping[str, bool]:
        background = self.context.background
        nowhere = self._nowhere and not (background is not None and background.possible)
        for setting in self.settings:
            hint = translated(setting.hint)
            self.rows[setting.key].set_hint(
                self.tr("No service of this desktop shows notifications.") if nowhere else hint
            )
        for key, box in self.boxes.items():
            set_checked(box, self.context.settings.flag(key, default=DEFAULTS[key]))
        return {key: box.isChecked() != DEFAULTS[key] for key, box in self.boxes.items()}

    def _looked(self, shown: bool) -> None:
        self._nowhere = not shown
        self.changed.emit()
