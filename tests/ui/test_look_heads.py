"""The heads of pages and panes: one grid for all places, room for the title, a line while something is beneath."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QApplication, QLabel, QTabBar, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.page import TitledPage
from app.ui.widgets.text import Text
from tests.ui._every_screen import every_screen, shown_window

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

PLACES = {"task": "tasks", "composer": "tasks", "tools": "servers", "about": "servers", "add": "servers", "lab": "lab"}
PLACES |= {"proxy": "connect", "set up": "connect", "client tools": "connect"}


def title_of(page: QWidget) -> QLabel:
    """The title in view: the highest of the labels with that role."""
    titles = [each for each in page.findChildren(Text) if each.isVisible() and each.font() == theme().font("title")]
    return min(titles, key=lambda each: each.mapTo(page, QPoint(0, 0)).y())


async def test_titles_tabs_lists_and_main_buttons_of_all_places_stand_on_one_grid(
    qapp: QApplication, tmp_path: Path
) -> None:
    titles, heads, buttons = {}, {}, {}
    async with shown_window(qapp, tmp_path, "light", 1.0, (1180, 760)) as alive:
        async for name, _ in every_screen(alive):
            if name not in PLACES:
                continue
            place = alive.window.place(PLACES[name])
            assert place is not None
            title = title_of(place)
            page = place.panes()[-1] if name != "lab" else place
            if name in {"tools", "about"}:
                page = alive.servers.pages
                tabs = alive.servers.page.tabs
                heads[name] = tabs.mapTo(page, tabs.tabRect(0).topLeft()).x()
            if name in {"proxy", "set up", "client tools"}:
                page = alive.connect.pages
                shown = alive.connect.pages.client if alive.connect.pages.shows_client else alive.connect.pages.overview
                heads[name] = shown.tabs.mapTo(page, shown.tabs.tabRect(0).topLeft()).x()
            if name in {"task", "composer"}:
                page = alive.tasks.pages
            corner = title.mapTo(page, title.contentsRect().topLeft())
            titles[name] = (corner.x(), corner.y(), title.height() >= tokens.CONTROL)
            pane = place.panes()[0]
            main = next((each for each in pane.findChildren(PrimaryButton) if each.isVisible()), None)
            if main is not None:
                at = main.mapTo(place, QPoint(0, 0))
                buttons[PLACES[name]] = (at.x(), at.y(), main.height())
        widths = {alive.tasks.pane.width(), alive.servers.pane.width(), alive.connect.pane.width()}
    assert len(set(titles.values())) == 1, titles
    left = next(iter(titles.values()))[0]
    assert set(heads.values()) == {left}, heads
    assert left == tokens.SPACE_4
    assert len(buttons) == 3
    assert len(set(buttons.values())) == 1, buttons
    assert widths == {tokens.LIST}


@pytest.fixture
def page(qtbot) -> TitledPage:
    page = TitledPage("Upgrade the payment library to version 12")
    qtbot.addWidget(page)
    page.resize(700, 300)
    page.show()
    return page


def test_controls_stand_beside_a_title_that_has_room_and_below_one_that_has_none(page: TitledPage) -> None:
    first, second = QuietButton("Code for a sign-in page", "key"), QuietButton("Clear all faults", "refresh")
    page.add_action(first)
    page.add_action(second)
    QApplication.processEvents()
    assert first.y() == second.y()
    assert first.y() < page.title.geometry().bottom()
    page.resize(400, 300)
    QApplication.processEvents()
    assert first.y() > page.title.geometry().bottom()
    assert page.title.width() == 400 - 2 * tokens.SPACE_4
    page.resize(300, 300)
    QApplication.processEvents()
    assert second.y() > first.y()
    assert min(first.width() - first.sizeHint().width(), second.width() - second.sizeHint().width()) >= 0


def test_the_head_of_a_page_is_as_high_with_a_control_as_without(page: TitledPage) -> None:
    page.set_body(QWidget())
    QApplication.processEvents()
    before = page.title.geometry().center().y(), page.edge.y()
    page.add_action(QuietButton("Refresh"))
    QApplication.processEvents()
    assert (page.title.geometry().center().y(), page.edge.y()) == before


def test_a_line_stands_under_the_head_while_the_body_is_scrolled(page: TitledPage) -> None:
    area = ScrollColumn("Body")
    for number in range(40):
        area.box.addWidget(Text(f"Line {number}", wrap=True))
    page.set_body(area)
    QApplication.processEvents()
    assert not page.edge.seen
    area.verticalScrollBar().setValue(30)
    assert page.edge.seen
    edge = page.grab().toImage().pixelColor(page.width() // 2, page.edge.y())
    assert edge.name() == theme().colour("border").name()
    area.hide()
    assert not page.edge.seen


def test_a_tab_is_wide_enough_to_be_hit_however_short_its_word(qtbot) -> None:
    tabs = QTabBar()
    qtbot.addWidget(tabs)
    tabs.addTab("A")
    tabs.show()
    assert tabs.tabRect(0).width() >= tokens.TARGET
