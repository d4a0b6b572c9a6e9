"""The activity drawer: every request, newest first, with filter, details, copy and export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.choices import Select
from app.ui.widgets.fields import CodeEdit, FilterField
from app.ui.widgets.page import RememberedSplitter
from app.ui.widgets.tables import Column, DataTable
from app.ui.widgets.text import Text
from app.ui.widgets.times import absolute, clock, duration, moment_at

if TYPE_CHECKING:
    from app.core.diagnostics.activity import Activity, ActivityRecord
    from app.ui.bridge import Bridge
    from app.ui.theme.tokens import Tone

REFRESH_MS = 100


class ActivityDrawer(QWidget):
    """Emits `closed()` when the user closes it. It reads the records only while it is visible."""

    closed = Signal()

    def __init__(self, activity: Activity, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._activity = activity
        self._bridge = bridge
        self.filter = FilterField(self.tr("Filter activity"))
        self.filter.changed.connect(lambda _text: self.refresh())
        kinds = [("", self.tr("All kinds")), ("http", "HTTP"), ("mcp", "MCP"), ("auth", self.tr("Sign-in"))]
        self.kind = Select(self.tr("Kind"), kinds)
        self.kind.currentIndexChanged.connect(lambda _index: self.refresh())
        self.count = Text(role="caption", tone="muted")
        columns: list[Column[ActivityRecord]] = [
            Column(self.tr("Time"), lambda record: clock(moment_at(record.at)), 84, tooltip=_when),
            Column(self.tr("Kind"), lambda record: record.kind, 56, drop_below=560),
            Column(self.tr("Server"), _server, 140, drop_below=500, tooltip=lambda record: record.target),
            Column(self.tr("What"), lambda record: record.summary, tooltip=lambda record: record.summary),
            Column(self.tr("Answer"), lambda record: record.status, 100, tone=_tone),
            Column(self.tr("Took"), _took, 84, right=True, drop_below=500),
        ]
        self.table: DataTable[ActivityRecord] = DataTable(self.tr("Activity"), columns, lambda record: record.id)
        self.table.picked.connect(self._show_detail)
        self.filter.down.connect(self.table.setFocus)
        self.detail = CodeEdit(self.tr("Details of the selected line"), read_only=True, wrap=True)
        self.detail.setProperty("edge", "none")
        self.detail.setVisible(False)
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        row = QHBoxLayout()
        row.setContentsMargins(wide, gap, gap, gap)
        row.setSpacing(gap)
        row.addWidget(Text(self.tr("Activity"), "section"))
        row.addWidget(self.filter, 1)
        row.addWidget(self.kind)
        row.addWidget(self.count)
        row.addWidget(QuietButton(self.tr("Copy"), "copy", clicked=self.copy_current))
        row.addWidget(QuietButton(self.tr("Export…"), "download", clicked=self.ask_where_to_export))
        row.addWidget(IconButton(self.tr("Close activity"), "cross", keys="Ctrl+J", clicked=self.closed.emit))
        split = RememberedSplitter(Qt.Orientation.Horizontal, [self.table, self.detail], [760, 340])
        split.setStretchFactor(0, 5)
        split.setStretchFactor(1, 2)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(row)
        box.addWidget(split, 1)
        self._timer = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        bridge.listen(self, activity.changed, self._record_added)
        self.refresh()

    def refresh(self) -> None:
        """Show the records that match the filters."""
        wanted = self.filter.text().strip().lower().split()
        kind = self.kind.currentData()
        every = self._activity.records()
        shown = [record for record in every if (not kind or record.kind == kind) and _matches(record, wanted)]
        self.table.set_items(shown)
        locale = QLocale()
        if len(shown) == len(every):
            self.count.setText(locale.toString(len(every)))
        else:
            words = self.tr("{0} of {1}").format(locale.toString(len(shown)), locale.toString(len(every)))
            self.count.setText(words)

    def copy_current(self) -> None:
        """Put the selected record on the clipboard."""
        record = self.table.current()
        if record is not None:
            QGuiApplication.clipboard().setText(_text(record))

    def ask_where_to_export(self) -> None:
        """Ask for a file, then write every record to it as JSON lines."""
        dialog = QFileDialog(self, self.tr("Export activity"), "burrow-activity.jsonl")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.export_to)
        dialog.open()

    def export_to(self, path: str) -> None:
        """Write every record to a file."""
        self._bridge.spawn(self, self._activity.export(Path(path)), key="export")

    def showEvent(self, event: object) -> None:
        super().showEvent(event)  # type: ignore[arg-type]
        self.refresh()

    def _record_added(self, _record: ActivityRecord) -> None:
        # Not restarted: records that come faster than the interval would never be shown.
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def _show_detail(self, record: ActivityRecord | None) -> None:
        self.detail.setPlainText(_text(record) if record is not None else "")
        self.detail.setVisible(record is not None)


def _server(record: ActivityRecord) -> str:
    return record.target.partition("://")[2] or record.target


def _when(record: ActivityRecord) -> str:
    return absolute(moment_at(record.at))


def _took(record: ActivityRecord) -> str:
    return "" if record.milliseconds is None else duration(record.milliseconds / 1000)


def _tone(record: ActivityRecord) -> Tone:
    status = record.status
    if status.isdigit():
        return "bad" if status >= "500" else "attention" if status >= "400" else "muted"
    return "muted" if status in {"", "ok", "renewed", "adopted"} else "attention"


def _matches(record: ActivityRecord, words: list[str]) -> bool:
    if not words:
        return True
    text = f"{record.kind} {record.target} {record.summary} {record.status}".lower()
    return all(word in text for word in words)


def _text(record: ActivityRecord) -> str:
    shown = record._asdict() | {"at": moment_at(record.at).astimezone().isoformat(timespec="milliseconds")}
    return json.dumps(shown, indent=2, ensure_ascii=False, default=str)
