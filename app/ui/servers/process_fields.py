"""ProcessFields: the command of a server that is a process, its folder and environment, and who shares it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from app.ui.servers.labelled_field import LabelledField
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.choices import CheckBox
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping


class ProcessFields(QWidget):
    """Emits `typed()` when the person changed something. `fields` are named as errors name them."""

    typed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.command = LabelledField(
            self.tr("Command"), self.tr("As in a terminal, with quotes around what has spaces: npx -y some-server")
        )
        self.choose = QuietButton(self.tr("Choose…"), "folder", clicked=self._choose)
        self.choose.setAccessibleName(self.tr("Choose the folder"))
        self.folder = LabelledField(
            self.tr("Folder"), self.tr("Where it is started. Empty: where Burrow runs."), beside=self.choose
        )
        self.environment = LabelledField(
            self.tr("Environment"),
            self.tr(
                "NAME=value, each on a line of its own. Kept with the server on this computer, where only you can read "
                "it. Burrow never shows the values again."
            ),
            tall=True,
        )
        self.shared = CheckBox(self.tr("One process for all clients"))
        shared_words = Text(
            self.tr(
                "For servers that must not run twice. Otherwise each session of a client has a process of its own."
            ),
            "caption",
            "muted",
            wrap=True,
        )
        self.shared.setAccessibleDescription(shared_words.text())
        self.fields = {"command": self.command, "folder": self.folder, "environment": self.environment}
        for field in self.fields.values():
            field.edit.textChanged.connect(lambda *_: self.typed.emit())
        self.shared.toggled.connect(lambda _on: self.typed.emit())
        sharing = QVBoxLayout()
        sharing.setSpacing(theme().px(tokens.SPACE_1))
        sharing.addWidget(self.shared, 0, Qt.AlignmentFlag.AlignLeft)
        sharing.addWidget(shared_words)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_4))
        box.addWidget(self.command)
        box.addWidget(self.folder)
        box.addWidget(self.environment)
        box.addLayout(sharing)

    def typed_fields(self) -> dict[str, str]:
        """What was typed, without the environment, which may have secrets."""
        return {
            "command": self.command.raw,
            "folder": self.folder.raw,
            "shared": "yes" if self.shared.isChecked() else "",
        }

    def fill(self, fields: Mapping[str, str]) -> None:
        """Put back what `typed_fields` gave."""
        self.command.set_text(fields.get("command", ""))
        self.folder.set_text(fields.get("folder", ""))
        self.shared.setChecked(bool(fields.get("shared")))

    def clear(self) -> None:
        """Empty all."""
        for field in self.fields.values():
            field.clear()
        self.shared.setChecked(False)

    def _choose(self) -> None:
        dialog = QFileDialog(self, self.tr("Choose the folder"), self.folder.text)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self.folder.set_text)
        dialog.open()
