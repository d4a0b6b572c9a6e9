"""The order of Tab in a place, whatever it is made of and whenever its controls were made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.ui.context import Context
from app.ui.place import Place
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.tab_order import reading_order
from tests.ui._tasks_fakes import settle

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


class Scene:
    """A window with a rail before and a corner after a place of three parts."""

    def __init__(self) -> None:
        self.window = QWidget()
        self.rail, self.corner = QPushButton("rail"), QPushButton("corner")
        self.place = Place(cast(Context, None))
        self.list, self.top, self.run = QLineEdit("list"), QPushButton("top"), QPushButton("run")
        self.form = QWidget()
        self.fields = QVBoxLayout(self.form)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setWidget(self.form)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.card = InlineCard()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.area)
        self.other = QPushButton("other page")
        self.stack.addWidget(self.other)
        page = QWidget()
        box = QVBoxLayout(page)
        for part in (self.top, self.card, self.stack, self.run):
            box.addWidget(part)
        split = QSplitter()
        split.addWidget(self.list)
        split.addWidget(page)
        QVBoxLayout(self.place).addWidget(split)
        row = QHBoxLayout(self.window)
        for each in (self.rail, self.place, self.corner):
            row.addWidget(each)

    def add_field(self, name: str) -> QLineEdit:
        made = QLineEdit(name)
        self.fields.addWidget(made)
        return made


@asynccontextmanager
async def scene(_qapp: QApplication) -> AsyncIterator[Scene]:
    made = Scene()
    made.window.resize(700, 400)
    made.window.show()
    made.window.activateWindow()
    await settle()
    try:
        yield made
    finally:
        made.window.close()
        made.window.deleteLater()
        await settle()


def words(widget: QWidget | None) -> str:
    return str(cast(Any, widget).text()) if widget is not None else "nothing"


async def test_tab_goes_as_one_reads_also_through_fields_that_were_made_last(qapp: QApplication) -> None:
    async with scene(qapp) as on:
        on.add_field("first")
        on.add_field("second")
        on.card.show_note("Note", actions=[("Close", on.card.clear)])
        await settle()
        expected = ["list", "top", "Close", "first", "second", "run"]
        assert [words(each) for each in reading_order(on.place)] == expected
        on.rail.setFocus()
        heard = []
        for _ in range(len(expected) + 1):
            QTest.keyClick(cast(QWidget, QApplication.focusWidget()), Qt.Key.Key_Tab)
            heard.append(words(QApplication.focusWidget()))
        assert heard == [*expected, "corner"]
        back = []
        for _ in range(len(expected) + 1):
            QTest.keyClick(cast(QWidget, QApplication.focusWidget()), Qt.Key.Key_Backtab)
            back.append(words(QApplication.focusWidget()))
        assert back == [*reversed(expected), "rail"]
