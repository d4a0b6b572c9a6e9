"""Where the focus goes when its control goes away, and the order of Tab: in any place, whatever it is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
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


def hide(on: Scene, button: QPushButton) -> None:
    button.hide()


def disable(on: Scene, button: QPushButton) -> None:
    button.setEnabled(False)


def delete(on: Scene, button: QPushButton) -> None:
    button.setParent(None)
    button.deleteLater()


@pytest.mark.parametrize("take_away", [hide, disable, delete])
async def test_the_focus_stays_in_the_part_that_lost_its_control(
    qapp: QApplication, take_away: Callable[[Scene, QPushButton], None]
) -> None:
    async with scene(qapp) as on:
        on.add_field("field")
        on.run.setFocus()
        take_away(on, on.run)
        await settle()
        assert words(QApplication.focusWidget()) == "field"


async def test_what_takes_the_place_of_a_control_has_the_focus_even_if_it_is_shown_later(qapp: QApplication) -> None:
    async with scene(qapp) as on:
        on.card.show_note("Remove?", actions=[("Remove", on.card.clear), ("Keep", on.card.clear)])
        await settle()
        button = next(each for each in on.card.findChildren(QPushButton) if each.text() == "Remove")
        button.setFocus()
        # The card asks something else: its former buttons go, and new ones come.
        on.card.show_note("Try again?", actions=[("Try again", on.card.clear)])
        await settle()
        assert words(QApplication.focusWidget()) == "Try again"


async def test_a_page_that_is_turned_passes_the_focus_to_the_next_page(qapp: QApplication) -> None:
    async with scene(qapp) as on:
        field = on.add_field("field")
        await settle()
        field.setFocus()
        on.stack.setCurrentWidget(on.other)
        await settle()
        assert words(QApplication.focusWidget()) == "other page"


async def test_a_person_who_goes_on_is_not_called_back(qapp: QApplication) -> None:
    async with scene(qapp) as on:
        on.run.setFocus()
        on.run.hide()
        on.rail.setFocus()
        await settle()
        assert words(QApplication.focusWidget()) == "rail"


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
