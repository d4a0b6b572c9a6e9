"""The question of the first close: keep Burrow running in the tray, or quit."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.shell.fitted_dialog import FittedDialog
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import CheckBox
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.text import Text

WIDTH = 420


class KeepRunningDialog(FittedDialog):
    """`kept()` or `quit_wanted()`; rejected, the window stays as it is. `remember` is whether it counts from now on."""

    kept = Signal()
    quit_wanted = Signal()

    def __init__(self, *, serves: bool, parent: QWidget) -> None:
        """`serves`: the proxy is switched on."""
        super().__init__(WIDTH, parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        title = self.tr("Keep Burrow running in the tray?")
        self.setWindowTitle(title)
        current = theme()
        box = self.box
        box.addWidget(Text(title, "section", wrap=True))
        proxy = self.tr("MCP clients use its proxy: they reach your servers only while Burrow runs.")
        words = self.tr("You are still told when an agent asks or a sign-in is needed.")
        box.addWidget(Text(f"{proxy} {words}" if serves else words, tone="muted", wrap=True))
        self.remember = CheckBox(self.tr("Remember my choice"))
        self.remember.setChecked(True)
        box.addWidget(self.remember)
        box.addWidget(Text(self.tr("You can change it in Settings, Desktop."), "caption", "muted", wrap=True))
        box.addStretch(1)
        self.keep_button = PrimaryButton(self.tr("Keep running"), clicked=self.kept.emit)
        self.quit_button = QuietButton(self.tr("Quit"), clicked=self.quit_wanted.emit)
        self.cancel_button = QuietButton(self.tr("Cancel"), clicked=self.reject)
        row = QHBoxLayout()
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addWidget(self.cancel_button)
        row.addStretch(1)
        row.addWidget(self.quit_button)
        row.addWidget(self.keep_button)
        box.addLayout(row)
        self.keep_button.setDefault(True)
        self.keep_button.setFocus()
        show_focus_ring(self)
