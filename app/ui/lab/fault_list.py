"""FaultList: the faults in groups, each a button with what should be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.lab.faults import GROUPS
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from app.ui.lab.fault import Fault


class FaultList(ScrollColumn):
    """`chosen(Fault)`. `buttons` are by the keys of the faults."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            QCoreApplication.translate("FaultList", "Faults"), parent, side=tokens.SPACE_4, top=tokens.SPACE_2
        )
        self.buttons: dict[str, QuietButton] = {}
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.box.setSpacing(theme().px(tokens.SPACE_4))
        about = self.tr("Each fault really happens on the server. The text below it says what you should see.")
        self.box.addWidget(Text(about, tone="muted", wrap=True))
        for title, faults in GROUPS:
            self.box.addSpacing(theme().px(tokens.SPACE_2))
            self.box.addWidget(Text(_tr(title), "section"))
            for fault in faults:
                self.box.addWidget(self._row(fault))
        self.box.addStretch(1)
        self._fit()
        theme().changed.connect(self._fit)

    def _fit(self) -> None:
        """Have room for the widest button at the text size in force."""
        widest = max(button.sizeHint().width() for button in self.buttons.values())
        self.setMinimumWidth(widest + theme().px(2 * tokens.SPACE_4 + tokens.SPACE_3))

    def _row(self, fault: Fault) -> QWidget:
        row = QWidget()
        box = QVBoxLayout(row)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        button = QuietButton(
            _tr(fault.title),
            kind="danger" if fault.ends_session else "quiet",
            clicked=lambda: self.chosen.emit(fault),
        )
        button.setAccessibleDescription(_tr(fault.expected))
        self.buttons[fault.key] = button
        line = QHBoxLayout()
        line.addWidget(button)
        line.addStretch(1)
        box.addLayout(line)
        box.addWidget(Text(_tr(fault.expected), "caption", "muted", wrap=True))
        return row


def _tr(text: str) -> str:
    return QCoreApplication.translate("Lab", text)
