"""Settings ▸ Runs: what agents are offered, and the worktrees of runs: where they are, and how much room they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QWidget

from app.core.posthog.run_options import BYPASS_SETTING
from app.core.runs.local.versions import DRAFT_SETTING
from app.marks import isolated, revealed_name
from app.ui.shell.settings.section import Setting, SettingsSection, set_checked
from app.ui.translation import marked
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.choices import CheckBox
from app.ui.widgets.flow import FlowLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PySide6.QtCore import QObject

    from app.core.errors import BurrowError
    from app.core.runs.worktrees.room import WorktreesRoom
    from app.ui.shell.settings.section import SettingsContext

# Not stored: the worktrees are folders.
WORKTREES_SETTING = "runs.worktrees"


class RunsSection(SettingsSection):
    """Both offers are off by default. What worktrees take is counted when the page opens, and after their dialog.

    `open_address` shows a folder.
    """

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
        Setting(WORKTREES_SETTING, marked("Settings", "Worktrees on this computer"), resettable=False),
    )

    def __init__(
        self,
        context: SettingsContext,
        parent: QObject,
        open_address: Callable[[QUrl], bool] = QDesktopServices.openUrl,
    ) -> None:
        from app.core.runs.worktrees.worktrees import Worktrees

        super().__init__(context, parent)
        self._open_address = open_address
        self._worktrees = Worktrees(context.services.folder)
        self._room: WorktreesRoom | None = None
        self._trouble = ""
        self._count()

    def controls(self) -> Mapping[str, QWidget]:
        self.bypass = CheckBox(self.tr("Offer Bypass permissions and Full access"))
        self.bypass.switched.connect(lambda offered: self.put(BYPASS_SETTING, offered))
        self.draft = CheckBox(self.tr("Offer version 2 of their protocol, a draft"))
        self.draft.switched.connect(lambda offered: self.put(DRAFT_SETTING, offered))
        doors = QWidget()
        row = FlowLayout(doors)
        row.setContentsMargins(0, 0, 0, 0)
        self.worktrees_button = QuietButton(self.tr("See and delete…"), clicked=self.open_worktrees)
        self.folder_button = QuietButton(self.tr("Show folder"), "folder", clicked=self.open_folder)
        for button in (self.worktrees_button, self.folder_button):
            row.addWidget(button)
        doors.setFocusProxy(self.folder_button)
        return {BYPASS_SETTING: self.bypass, DRAFT_SETTING: self.draft, WORKTREES_SETTING: doors}

    def refresh(self) -> Mapping[str, bool]:
        controls = {BYPASS_SETTING: self.bypass, DRAFT_SETTING: self.draft}
        offered = {name: self.context.settings.flag(name) for name in controls}
        for name, control in controls.items():
            set_checked(control, offered[name])
        self.worktrees_button.setEnabled(self._room is not None and self._room.number > 0)
        self.rows[WORKTREES_SETTING].set_hint(self._trouble or self._words())
        return offered

    def open_worktrees(self) -> None:
        """Show the worktrees, with what would be lost with each."""
        from app.ui.changes.worktrees_dialog import WorktreesDialog

        page, local = self.parent(), self.context.services.local_runs
        assert isinstance(page, QWidget)
        dialog = WorktreesDialog(local.worktrees, local, self.context.bridge, page)
        dialog.finished.connect(self._count)
        dialog.open()

    def open_folder(self) -> None:
        """Show the folder of the worktrees, or that of all data before there are any."""
        folder = self._worktrees.folder
        self._open_address(QUrl.fromLocalFile(str(folder if folder.is_dir() else folder.parent)))

    def _words(self) -> str:
        room = self._room
        if room is None:
            return self.tr("Counting…")
        if not room.number and not room.trash:
            return self.tr("None.")
        place = isolated(revealed_name(str(room.folder)))
        size = _size(room.bytes)
        size = self.tr("more than {0}").format(size) if room.more else size
        parts = [
            self.tr("1 worktree, {0}, in {1}.").format(size, place)
            if room.number == 1
            else self.tr("%n worktrees, {0}, in {1}.", "", room.number).format(size, place)
        ]
        if room.trash:
            kept = self.tr("What was only in deleted ones is kept in its folder “trash”: {0}.")
            parts.append(kept.format(_size(room.trash)))
        return " ".join(parts)

    def _count(self, _result: int = 0) -> None:
        from app.core.runs.worktrees.room import room_of
        from app.ui.changes.disk import told

        worktrees = self._worktrees
        try:
            self.context.bridge.spawn(
                self, told(lambda: room_of(worktrees)), done=self._took, failed=self._failed, key=WORKTREES_SETTING
            )
        except RuntimeError:
            # Without a loop, in a picture of the page, there are none.
            return

    def _took(self, room: WorktreesRoom) -> None:
        self._room, self._trouble = room, ""
        self.changed.emit()

    def _failed(self, refused: BurrowError) -> None:
        self._trouble = f"{refused.cause} {refused.advice}".strip()
        self.changed.emit()


def _size(count: int) -> str:
    return QLocale().formattedDataSize(count)
