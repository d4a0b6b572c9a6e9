"""What the window does about updates: it looks once a day, says what there is, and restarts when it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QUrl
from PySide6.QtGui import QDesktopServices

from app.core.updates.status import UpdateState
from app.ui.shell.update_bar import UpdateBar
from app.ui.shell.update_notes import notes_opener
from app.ui.widgets.announce import announce

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from app.core.errors import BurrowError
    from app.core.updates.record import UpdateOutcome
    from app.core.updates.service import Updates
    from app.core.updates.status import UpdateStatus
    from app.ui.bridge import Bridge


class UpdateCare(QObject):
    """Made in the loop, once the window has settled: then the version that runs has shown that it starts.

    `bar` is the only thing that it shows. A failed look that nobody asked for is in the settings and in the log.
    """

    def __init__(
        self,
        window: QWidget,
        updates: Updates,
        bridge: Bridge,
        *,
        place: Callable[[QWidget], object],
        restart: Callable[[], object],
        tell: Callable[[str], object] = lambda _words: None,
        looks: bool = True,
        open_address: Callable[[QUrl], bool] = QDesktopServices.openUrl,
    ) -> None:
        """`place` puts the bar into the window. `restart` starts Burrow again, after the questions at its end.

        `tell` gets words for somebody who is in another window. `looks`: by itself, once a day.
        """
        super().__init__(window)
        self._window, self._updates, self._bridge = window, updates, bridge
        self._restart, self._tell, self._looks = restart, tell, looks
        # The version that the person wants to hear of later, until the next start.
        self._later = ""
        # What the bar says until it is dismissed, whatever the status is meanwhile.
        self._told = False
        self.bar = UpdateBar()
        place(self.bar)
        self.bar.download_wanted.connect(self.download)
        self.bar.cancel_wanted.connect(lambda: bridge.cancel(self, key="download"))
        self.bar.restart_wanted.connect(self.install)
        self.bar.skip_wanted.connect(lambda: bridge.spawn(self, updates.skip(), key="skip"))
        self.bar.later_wanted.connect(self._dismiss)
        self.bar.notes_wanted.connect(notes_opener(window))
        self.bar.folder_wanted.connect(lambda: open_address(QUrl.fromLocalFile(str(updates.place))))
        bridge.listen(self, updates.changed, self._follow)
        bridge.listen(self, updates.busy.changed, lambda _nothing: self._follow(updates.status))
        bridge.spawn(self, self._begin(), done=self._say_outcome, key="begin")

    def download(self) -> None:
        """Download what is offered, because the person says so."""
        self._told, self._later = False, ""
        self._bridge.spawn(
            self,
            self._updates.download(),
            done=self._tell_ready,
            failed=self._say_trouble,
            key="download",
        )

    def _tell_ready(self, status: UpdateStatus) -> None:
        version = "" if status.release is None else str(status.release.version)
        self._tell(self.tr("Burrow {0} is downloaded. It is installed when you restart Burrow.").format(version))

    def install(self) -> None:
        """Verify the downloaded version once more, and restart into it. The user is asked first as when quitting."""
        self._bridge.spawn(
            self, self._updates.arm(), done=lambda _release: self._restart(), failed=self._say_trouble, key="install"
        )

    async def _begin(self) -> UpdateOutcome | None:
        from app.core.updates.schedule import look_daily

        outcome = await self._updates.confirm()
        await self._updates.load()
        if self._looks and self._updates.possible:
            self._bridge.spawn(self, look_daily(self._updates), key="look")
        return outcome

    def _say_outcome(self, outcome: UpdateOutcome | None) -> None:
        if outcome is None:
            return
        self.bar.show_outcome(outcome)
        self._say()
        self._told = True
        self._bridge.spawn(self, self._updates.outcome_said(), key="said")

    def _say_trouble(self, trouble: BurrowError) -> None:
        if trouble.facts.code == "busy":
            # The bar says what it waits for.
            self._follow(self._updates.status)
            return
        status = self._updates.status
        self.bar.show_trouble(trouble, again=status.state is UpdateState.AVAILABLE)
        self._say()
        self._told = True

    def _dismiss(self) -> None:
        release = self._updates.status.release
        if not self._told and release is not None:
            self._later = str(release.version)
        self._told = False
        self.bar.hide_all()
        self._follow(self._updates.status)

    def _follow(self, status: UpdateStatus) -> None:
        if self._told or status.state is UpdateState.CHECKING:
            return
        release = status.release
        quiet = status.skipped or (release is not None and str(release.version) == self._later)
        if status.state is UpdateState.OFF or (quiet and status.state is not UpdateState.DOWNLOADING):
            self.bar.hide_all()
            return
        before = self.bar.isHidden()
        self.bar.show_status(status, self._updates.waits_for())
        if before and not self.bar.isHidden():
            self._say()

    def _say(self) -> None:
        announce(self._window, self.bar.text())
