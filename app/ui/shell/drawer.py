"""The activity drawer: every request, newest first, with filter and export, and the page of the selected one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QLocale, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.core.diagnostics.exchanges import as_json
from app.ui import activity_words
from app.ui.shell.exchange_page import ExchangePage
from app.ui.shell.exchange_words import as_line
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.choices import Select
from app.ui.widgets.fields import FilterField
from app.ui.widgets.guard import guarded
from app.ui.widgets.menus import CheckMenu
from app.ui.widgets.page import RememberedSplitter
from app.ui.widgets.tables import Column, DataTable
from app.ui.widgets.text import Text
from app.ui.widgets.times import absolute, clock, duration, moment_at

if TYPE_CHECKING:
    from PySide6.QtCore import QPoint
    from PySide6.QtGui import QResizeEvent

    from app.core.diagnostics.activity import ActivityRecord
    from app.core.diagnostics.exchanges import WireExchange
    from app.core.services import Services
    from app.ui.bridge import Bridge

REFRESH_MS = 100
# Narrower than this, in pixels of the design, there is room for the list or for the page.
BOTH_FROM = 860


class ActivityDrawer(QWidget):
    """Emits `closed()` when the user closes it. It reads the records only while it is visible.

    Where it is wide, the page of the selected line stands beside the list, else Enter puts it in the list's place.
    """

    closed = Signal()

    def __init__(self, services: Services, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        activity = self._activity = services.activity
        self._bridge = bridge
        self.filter = FilterField(self.tr("Filter activity"))
        self.filter.changed.connect(lambda _text: self.refresh())
        kinds = [("", self.tr("All kinds")), ("http", "HTTP"), ("mcp", "MCP"), ("auth", self.tr("Sign-in"))]
        self.kind = Select(self.tr("Kind"), kinds)
        self.kind.currentIndexChanged.connect(lambda _index: self.refresh())
        self.count = Text(role="caption", tone="muted")
        columns: list[Column[ActivityRecord]] = [
            Column(self.tr("Time"), lambda record: clock(moment_at(record.at)), 84, tooltip=_when),
            Column(self.tr("Kind"), lambda record: record.kind, 56, drop_below=640),
            Column(self.tr("Server"), _server, 140, drop_below=720, tooltip=activity_words.server),
            Column(self.tr("What"), activity_words.summary, tooltip=activity_words.summary),
            Column(self.tr("Answer"), activity_words.outcome, 100, tone=activity_words.tone),
            Column(self.tr("Took"), _took, 84, right=True, drop_below=500),
        ]
        self.table: DataTable[ActivityRecord] = DataTable(self.tr("Activity"), columns, lambda record: record.id)
        self.table.picked.connect(self._show_detail)
        self.table.opened.connect(self._open)
        self.table.menu_wanted.connect(self._open_menu)
        self.filter.down.connect(self.table.setFocus)
        self.page = ExchangePage(services, bridge)
        self.page.setVisible(False)
        self.page.left.connect(self._back)
        self._opened = False
        self._actions = self._make_actions()
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        row = QHBoxLayout()
        row.setContentsMargins(wide, gap, gap, gap)
        row.setSpacing(gap)
        row.addWidget(Text(self.tr("Activity"), "section"))
        row.addWidget(self.filter, 1)
        row.addWidget(self.kind)
        row.addWidget(self.count)
        row.addWidget(QuietButton(self.tr("Export…"), "download", clicked=self.ask_where_to_export))
        row.addWidget(IconButton(self.tr("Close activity"), "cross", keys="Ctrl+J", clicked=self.closed.emit))
        split = RememberedSplitter(Qt.Orientation.Horizontal, [self.table, self.page], [600, 500])
        split.setStretchFactor(0, 4)
        split.setStretchFactor(1, 3)
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
        """Put the selected record on the clipboard as JSON."""
        record = self.table.current()
        if record is not None:
            # Of the selected line the page has read what belongs to it.
            QGuiApplication.clipboard().setText(_text(record, self.page.exchange))

    def copy_line(self) -> None:
        """Put the selected line on the clipboard as one line of text."""
        record = self.table.current()
        if record is not None:
            QGuiApplication.clipboard().setText(as_line(record))

    def copy_address(self) -> None:
        """Put the address of the selected request on the clipboard, or the server's where it is not kept."""
        record, exchange = self.table.current(), self.page.exchange
        if record is not None:
            QGuiApplication.clipboard().setText(record.target if exchange is None else exchange.url)

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

    def _make_actions(self) -> list[QAction]:
        """What the menu of a line offers, each by its keys too while the drawer has the focus."""
        found = []
        for words, keys, run in (
            (self.tr("Show details"), "", self._open),
            (self.tr("Copy line"), "Ctrl+C", self.copy_line),
            (self.tr("Copy address"), "", self.copy_address),
            (self.tr("Copy as JSON"), "", self.copy_current),
            (self.tr("Copy as curl"), "Ctrl+Shift+C", self.page.copy_curl),
            (self.tr("Send again"), "Ctrl+R", self.page.send_again),
        ):
            action = QAction(words, self)
            action.setShortcut(QKeySequence(keys))
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            action.setAutoRepeat(False)
            action.triggered.connect(lambda _checked=False, run=run: run())
            # The page has its own copying; a selected text goes before the line.
            (self.table if keys == "Ctrl+C" else self).addAction(action)
            found.append(action)
        return found

    def _open_menu(self, record: ActivityRecord, at: QPoint) -> None:
        if record is not self.table.current():
            self.table.selectRow(self.table.values.place(record.id))
        *_, curl, again = self._actions
        curl.setEnabled(self.page.curl_button.isEnabled())
        again.setEnabled(self.page.again_button.isEnabled())
        menu = CheckMenu(parent=self)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.addActions(self._actions)
        menu.popup(at)

    def _open(self, _record: ActivityRecord | None = None) -> None:
        """Put the focus into the page of the selected line, which may have to take the list's place."""
        if self.table.current() is None:
            return
        self._opened = True
        self._arrange()
        self.page.tabs.setFocus(Qt.FocusReason.OtherFocusReason)

    def _back(self) -> None:
        self._opened = False
        self._arrange()
        self.table.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_detail(self, record: ActivityRecord | None) -> None:
        self.page.show_record(record)
        if record is None:
            self._opened = False
        self._arrange()

    def _arrange(self) -> None:
        both = self.width() >= theme().px(BOTH_FROM)
        self.table.setVisible(both or not self._opened)
        self.page.setVisible(self.page.record is not None and (both or self._opened))
        self.page.back_button.setVisible(not both)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()


def _server(record: ActivityRecord) -> str:
    return activity_words.server(record._replace(target=record.target.partition("://")[2] or record.target))


def _when(record: ActivityRecord) -> str:
    return absolute(moment_at(record.at))


def _took(record: ActivityRecord) -> str:
    return "" if record.milliseconds is None else duration(record.milliseconds / 1000)


def _matches(record: ActivityRecord, words: list[str]) -> bool:
    if not words:
        return True
    text = f"{record.kind} {record.target} {record.summary} {record.status} {activity_words.summary(record)}".lower()
    return all(word in text for word in words)


def _text(record: ActivityRecord, exchange: WireExchange | None) -> str:
    shown: dict[str, Any] = record._asdict() | {
        "at": moment_at(record.at).astimezone().isoformat(timespec="milliseconds")
    }
    if exchange is not None:
        shown["exchange"] = as_json(exchange)
    return json.dumps(shown, indent=2, ensure_ascii=False, default=str)
