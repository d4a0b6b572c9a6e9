"""Settings ▸ Updates: whether to look for them, how things stand, and a look now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.updates.service import ASK, MODE_SETTING, OFF
from app.core.updates.source import WhyOff
from app.core.updates.status import UpdateState
from app.ui.shell.settings.section import Setting, SettingsSection, set_checked, stacked
from app.ui.shell.update_bar import short_names
from app.ui.theme import theme
from app.ui.translation import marked, translate
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.choices import CheckBox
from app.ui.widgets.text import Text
from app.ui.widgets.times import date_and_minute, moment_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget

    from app.core.errors import BurrowError
    from app.core.updates.status import UpdateStatus

STATE_WIDTH = 280
# How else the installation is updated.
ELSEWHERE = {
    WhyOff.MANAGED: marked("Settings", "The package manager that installed Burrow updates it, with the system."),
    WhyOff.SOURCE: marked("Settings", "Burrow runs from a checkout or a Python package. Update it there."),
    WhyOff.FOLDER: marked("Settings", "This kind of build does not update itself. Get the new one where this is from."),
    WhyOff.NO_SOURCE: marked("Settings", "This build has no update source. Get the new one where this is from."),
    WhyOff.BROKEN_SOURCE: marked("Settings", "The update source of this build cannot be read. Install Burrow again."),
}


class UpdatesSection(SettingsSection):
    """Looking is on by default; downloading and installing are always asked for."""

    title = marked("Settings", "Updates")
    settings = (
        Setting(
            MODE_SETTING,
            marked("Settings", "Look for new versions"),
            marked("Settings", "Once a day. Nothing is downloaded or installed before you say so."),
        ),
    )

    def controls(self) -> Mapping[str, QWidget]:
        self._updates = self.context.services.updates
        self.box = CheckBox(self.tr("Look once a day"))
        self.box.toggled.connect(lambda checked: self.put(MODE_SETTING, ASK if checked else OFF))
        self.check_button = QuietButton(self.tr("Check now"), "refresh", clicked=self.check_now)
        self.state = Text("", "caption", "muted", wrap=True, selectable=True)
        self.state.setMinimumWidth(theme().px(STATE_WIDTH))
        self.context.bridge.listen(self, self._updates.changed, lambda _status: self.refresh())
        self._control = stacked(self.box, self.state, self.check_button)
        self._control.setAccessibleName(self.tr("Updates"))
        return {MODE_SETTING: self._control}

    def refresh(self) -> Mapping[str, bool]:
        possible = self._updates.possible
        # What was put there counts before it is stored.
        off = self.context.settings.get(MODE_SETTING) == OFF
        set_checked(self.box, possible and not off)
        self.box.setVisible(possible)
        self.check_button.setVisible(possible)
        status = self._updates.status
        self.check_button.setEnabled(status.state not in (UpdateState.CHECKING, UpdateState.DOWNLOADING))
        self.state.setText(self._words(status))
        if not possible:
            elsewhere = ELSEWHERE.get(self._updates.why_off or WhyOff.FOLDER, "")
            self.rows[MODE_SETTING].set_hint(translate("Settings", elsewhere))
        return {MODE_SETTING: possible and off}

    def check_now(self) -> None:
        """Look now. What is found is offered above the place in view."""
        self.context.bridge.spawn(self, self._updates.check(), failed=self._failed, key="check")

    def _failed(self, _trouble: BurrowError) -> None:
        # It is in the status.
        self.refresh()

    def _words(self, status: UpdateStatus) -> str:
        version = "" if status.release is None else str(status.release.version)
        found = {
            UpdateState.CHECKING: self.tr("Looking…"),
            UpdateState.CURRENT: self.tr("Burrow {0} is the newest version.").format(self._updates.running),
            UpdateState.AVAILABLE: self.tr("Burrow {0} is available.").format(version),
            UpdateState.DOWNLOADING: self.tr("Burrow {0} is being downloaded.").format(version),
            UpdateState.READY: self.tr("Burrow {0} is downloaded and verified.").format(version),
        }.get(status.state, self.tr("This is Burrow {0}.").format(self._updates.running))
        if status.trouble is not None:
            found = f"{status.trouble.title}. {status.trouble.cause}"
        if status.checked:
            found += " " + self.tr("Last look: {0}.").format(date_and_minute(moment_at(status.checked)))
        works = self._updates.waits_for() if status.state is UpdateState.READY else ()
        if works:
            found += " " + self.tr("It waits for: {0}.").format(short_names(works, 3))
        return found
