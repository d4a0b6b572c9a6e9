"""About Burrow: version, licences, where the data is, and diagnostics to copy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, QUrl, qVersion
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.core.diagnostics import report
from app.core.diagnostics.about import Versions, notices
from app.core.diagnostics.snapshot import snapshot_of
from app.core.redaction import redact_text
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.fields import CodeEdit, KeyValueGrid
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.services import Services
    from app.ui.bridge import Bridge

WIDTH, HEIGHT = 620, 560
LEAST_WIDTH, LEAST_HEIGHT = 360, 320
SAID_MS = 2_000
SHOWN_STEPS = 50


class About(QDialog):
    """Opened with `open()`. `open_address` opens the data folder, by default with the desktop's own program."""

    def __init__(
        self,
        services: Services,
        bridge: Bridge,
        parent: QWidget,
        open_address: Callable[[QUrl], bool] = QDesktopServices.openUrl,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("About Burrow"))
        self._services, self._bridge, self._open_address = services, bridge, open_address
        versions = self._versions = Versions.of_process(qVersion())
        current = theme()
        wide = current.px(tokens.SPACE_4)
        facts = KeyValueGrid()
        for name, value in (
            (self.tr("Version"), versions.burrow),
            (self.tr("Python"), versions.python),
            ("Qt", versions.qt),
            (self.tr("System"), versions.system),
            (self.tr("Data folder"), str(services.folder)),
        ):
            facts.add(name, value)
        self.folder_button = QuietButton(self.tr("Open data folder"), "folder", clicked=self.open_folder)
        self.path_button = QuietButton(self.tr("Copy path"), "copy", clicked=self.copy_path)
        self.copy_button = QuietButton(self.tr("Copy diagnostics"), "copy", clicked=self.copy_diagnostics)
        self.copy_button.setToolTip(self.tr("Versions, state and history of the sign-in, without secrets"))
        doors = FlowLayout()
        for button in (self.folder_button, self.path_button, self.copy_button):
            doors.addWidget(button)
        self.line = Text("", "caption", "muted")
        self.licences = CodeEdit(self.tr("Licences"), read_only=True, wrap=True)
        self.close_button = QuietButton(self.tr("Close"), clicked=self.accept)
        foot = QHBoxLayout()
        foot.addWidget(self.line, 1)
        foot.addWidget(self.close_button)
        foot.setContentsMargins(wide, 0, wide, 0)
        column = ScrollColumn(self.tr("About Burrow"), top=0)
        column.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        column.box.setSpacing(current.px(tokens.SPACE_3))
        column.box.addWidget(Text("Burrow", "title"))
        column.box.addWidget(
            Text(self.tr("A desktop client for agent tasks and MCP servers."), tone="muted", wrap=True)
        )
        column.box.addWidget(facts)
        column.box.addLayout(doors)
        column.box.addWidget(Text(self.tr("Licences"), "section"))
        column.box.addWidget(self.licences, 1)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, wide, 0, wide)
        box.setSpacing(0)
        box.addWidget(column, 1)
        box.addLayout(foot)
        self.setMinimumSize(current.px(LEAST_WIDTH), current.px(LEAST_HEIGHT))
        room = self.screen().availableGeometry()
        self.resize(min(current.px(WIDTH), room.width()), min(current.px(HEIGHT), room.height()))
        self._said = QTimer(self, singleShot=True, interval=SAID_MS)
        self._said.timeout.connect(lambda: self.line.setText(""))
        bridge.spawn(self, asyncio.to_thread(notices), done=self.licences.setPlainText, key="licences")
        show_focus_ring(self)
        self.close_button.setFocus()

    def open_folder(self) -> None:
        """Show the data folder in the desktop's own program."""
        if not self._open_address(QUrl.fromLocalFile(str(self._services.folder))):
            self._say(self.tr("No program opens folders here. The path can be copied."))

    def copy_path(self) -> None:
        """Put the path of the data folder on the clipboard."""
        QGuiApplication.clipboard().setText(str(self._services.folder))
        self._say(self.tr("Copied"))

    def copy_diagnostics(self) -> None:
        """Put versions, the state of the sign-in and its newest steps on the clipboard."""
        self._bridge.spawn(self, self._diagnostics(), done=self._copied, key="diagnostics")

    async def _diagnostics(self) -> str:
        versions = self._versions
        lines = [f"Burrow {versions.burrow}", f"Python {versions.python}, Qt {versions.qt}", versions.system, ""]
        backend = self._services.backend
        if backend is None:
            return "\n".join([*lines, "Nobody is signed in.\n"])
        steps = await backend.timeline.recent(SHOWN_STEPS)
        return redact_text("\n".join([*lines, report.text(snapshot_of(backend), steps)]))

    def _copied(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self._say(self.tr("Copied, without secrets"))

    def _say(self, words: str) -> None:
        self.line.setText(words)
        self._said.start()
        announce(self, words)
