"""The History page of a tool: its earlier calls, and what was sent and answered in the one that is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QVBoxLayout, QWidget

from app.marks import revealed
from app.ui.servers.blocks import size_words
from app.ui.servers.wording import CallState, call_state, tr
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.tables import Column, DataTable
from app.ui.widgets.text import Text
from app.ui.widgets.times import absolute, duration, moment_at, relative

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.storage.calls import StoredCall
    from app.ui.theme.state import State

OUTCOMES = {
    "done": CallState.DONE,
    "tool error": CallState.TOOL_ERROR,
    "failed": CallState.PROTOCOL_ERROR,
    "cancelled": CallState.CANCELLED,
}
FAILED = "Failed"
SUMMARY_CHARACTERS = 120
FIRST_SHOWN = 64 * 1024


class HistoryPage(QWidget):
    """Shows `StoredCall`s. `use_wanted(call)` to fill the form, `again_wanted(call)` to run it, `clear_wanted()`."""

    use_wanted = Signal(object)
    again_wanted = Signal(object)
    clear_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        columns: tuple[Column[StoredCall], ...] = (
            Column(tr("Time"), lambda call: relative(moment_at(call.at)), 84, tooltip=_moment),
            Column(tr("Outcome"), _outcome, 110, tone=lambda call: _state(call).tone, glyph=lambda c: _state(c).glyph),
            Column(tr("Took"), lambda call: duration(call.seconds), 70, right=True, drop_below=460),
            Column(tr("Arguments"), _summary, mono=True),
        )
        self.table: DataTable[StoredCall] = DataTable(tr("Earlier calls"), columns, lambda call: call.number)
        self.table.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.table.picked.connect(lambda _call: self._show())
        self.table.opened.connect(self.use_wanted)
        self.use = QuietButton(tr("Use these arguments"), "edit", clicked=lambda: self._emit(self.use_wanted))
        self.again = QuietButton(tr("Run again"), "play", clicked=lambda: self._emit(self.again_wanted))
        self.clear_button = QuietButton(tr("Clear history"), kind="flat", clicked=self.clear_wanted.emit)
        self.note = Text("", "caption", "muted", wrap=True)
        self.detail = ExactText(tr("The call"), fitted=False)
        buttons = QHBoxLayout()
        buttons.setSpacing(theme().px(tokens.SPACE_2))
        buttons.addWidget(self.use)
        buttons.addWidget(self.again)
        buttons.addStretch()
        buttons.addWidget(self.clear_button)
        side = QWidget()
        box = QVBoxLayout(side)
        box.setContentsMargins(theme().px(tokens.SPACE_3), 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        box.addWidget(self.note)
        box.addWidget(self.detail, 1)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self.table)
        splitter.addWidget(side)
        splitter.setHandleWidth(1)
        splitter.setStretchFactor(0, 3)
        splitter.setStretchFactor(1, 2)
        splitter.setSizes([theme().px(600), theme().px(400)])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(theme().px(tokens.SPACE_2))
        outer.addLayout(buttons)
        outer.addWidget(splitter, 1)
        self._show()

    @property
    def has_calls(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.table.values.items())

    def show_calls(self, calls: Sequence[StoredCall]) -> None:
        """Show these, the newest first; the chosen one stays chosen."""
        self.table.set_items(calls)
        if calls and self.table.current() is None:
            self.table.selectRow(0)
        self._show()

    def _emit(self, signal: object) -> None:
        call = self.table.current()
        if call is not None:
            signal.emit(call)  # type: ignore[attr-defined]

    def _show(self) -> None:
        call = self.table.current()
        self.use.setEnabled(call is not None and bool(call.arguments))
        self.again.setEnabled(call is not None and bool(call.arguments))
        self.clear_button.setEnabled(self.has_calls)
        if call is None:
            self.note.setText(tr("Calls of this tool are kept here.") if not self.has_calls else "")
            self.detail.set_source("", 0)
            return
        notes = []
        if call.omitted:
            notes.append(tr("Not kept, because it is secret: {0}.").format(revealed(", ".join(call.omitted)[:500])))
        if not call.arguments:
            notes.append(tr("The arguments were too long to keep."))
        if call.size > len(call.result):
            kept, whole = size_words(len(call.result)), size_words(call.size)
            notes.append(tr("The first {0} of {1} are kept.").format(kept, whole))
        self.note.setText(" ".join(notes))
        self.note.setVisible(bool(notes))
        parts = [tr("Arguments"), call.arguments or "–", "", tr("Answer"), call.result or "–"]
        text = "\n".join(parts)
        self.detail.set_source(text, max(FIRST_SHOWN, len(text)))


def _state(call: StoredCall) -> State:
    return call_state(OUTCOMES.get(call.outcome, CallState.UNKNOWN))


def _moment(call: StoredCall) -> str:
    return absolute(moment_at(call.at))


def _outcome(call: StoredCall) -> str:
    return tr(FAILED) if call.outcome == "failed" else _state(call).word


def _summary(call: StoredCall) -> str:
    members = " ".join(call.arguments[: 4 * SUMMARY_CHARACTERS].split()).removeprefix("{").removesuffix("}").strip()
    return revealed(members[:SUMMARY_CHARACTERS]) or "–"
