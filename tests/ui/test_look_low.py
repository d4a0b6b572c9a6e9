"""Windows and dialogs with too little room: what gives way, what is scrolled, and what stays where it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QRect, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QImage
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.drop_frame import DropFrame
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.lists import ListTable
from app.ui.widgets.rows import Row
from app.ui.widgets.scrolling import LowSplitter, ScrollingPages
from app.ui.widgets.title_row import TitleRow
from tests.ui._every_screen import every_screen, shown_window
from tests.ui._pixels import colours, painted
from tests.ui._walk import clipped

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints|raise\\(\\)", extend=True)


def part(height: int) -> QWidget:
    found = QWidget()
    found.setMinimumHeight(height)
    return found


def test_parts_that_have_no_room_below_each_other_scroll_together(qtbot) -> None:
    upper, lower = part(120), part(160)
    area = LowSplitter("Parts")
    area.hold([upper, lower], [200, 200])
    qtbot.addWidget(area)
    area.resize(300, 400)
    area.show()
    QApplication.processEvents()
    assert area.verticalScrollBar().maximum() == 0
    area.resize(300, 150)
    QApplication.processEvents()
    assert (upper.height(), lower.height()) == (120, 160)
    assert area.verticalScrollBar().maximum() > 0
    area.bring(lower)
    QApplication.processEvents()
    assert lower.mapTo(area, QPoint(0, 0)).y() == 0


def test_pages_that_scroll_need_the_height_of_the_one_in_view(qtbot) -> None:
    pages = ScrollingPages(40)
    qtbot.addWidget(pages)
    for height in (90, 300):
        page = QWidget()
        QVBoxLayout(page).addWidget(part(height))
        pages.addWidget(page)
    first = pages.minimumSizeHint().height()
    pages.setCurrentIndex(1)
    assert 90 <= first < 300 <= pages.minimumSizeHint().height()


def test_a_row_that_wraps_needs_the_height_of_all_its_lines(qtbot) -> None:
    host = QWidget()
    qtbot.addWidget(host)
    row = FlowLayout(host)
    for words in ("Use these arguments", "Run again", "Clear history"):
        row.addWidget(QuietButton(words))
    host.resize(600, 200)
    host.show()
    QApplication.processEvents()
    one = host.minimumSizeHint().height()
    host.resize(160, 200)
    QApplication.processEvents()
    assert host.minimumSizeHint().height() >= 3 * one


async def test_in_a_low_window_a_result_is_scrolled_to_and_nothing_of_it_is_cut(qapp, tmp_path: Path) -> None:
    faults = []
    async with shown_window(qapp, tmp_path, "light", 1.6, (720, 420)) as alive:
        async for name, root in every_screen(alive):
            if name.startswith("result"):
                faults.extend(f"{name}: {fault}" for fault in clipped(root))
                tool = alive.servers.page.tool
                top = tool.result.mapTo(tool.parts, QPoint(0, 0)).y()
                if top >= tool.parts.height() - theme().px(tokens.CONTROL):
                    faults.append(f"{name}: the result begins at {top} of {tool.parts.height()} pixels")
            if name == "activity":
                break
    assert not faults, "\n".join(faults)


def test_a_control_can_stay_beside_a_title_while_the_others_go_below_it(qtbot) -> None:
    host = QWidget()
    qtbot.addWidget(host)
    title, back, policy = QLabel("Send a message"), QuietButton("All tools"), QuietButton("Policy " * 8)
    row = TitleRow(title)
    row.add_beside(back)
    row.addWidget(policy)
    host.setLayout(row)
    host.resize(policy.sizeHint().width() + 40, 200)
    host.show()
    QApplication.processEvents()
    assert (title.x(), policy.x()) == (0, 0)
    assert abs(back.geometry().center().y() - title.geometry().center().y()) <= 1
    assert policy.y() > back.geometry().bottom()


async def test_one_main_button_is_drawn_on_a_page_and_titles_begin_at_one_place(qapp, tmp_path: Path) -> None:
    async with shown_window(qapp, tmp_path, "light", 1.0, (1180, 760)) as alive:
        async for name, root in every_screen(alive):
            pages = alive.tasks.pages if name in {"task", "edit", "composer", "drafts"} else root
            filled = [
                each.text()
                for each in pages.findChildren(PrimaryButton)
                if each.isVisible() and each.property("kind") == "primary"
            ]
            # The pane of a place has one, and the page beside it.
            assert len(filled) <= (1 if pages is not root else 2), f"{name}: {filled}"
            if name in {"tool", "plain"}:
                page = alive.servers.page
                titles = {
                    each.mapTo(page, each.contentsRect().topLeft()).x() for each in (page.page.title, page.tool.title)
                }
                assert titles == {theme().px(tokens.SPACE_4)}
            if name == "activity":
                break


def test_the_run_button_of_a_task_gives_way_while_the_task_is_edited(qtbot) -> None:
    button = PrimaryButton("Run", "play")
    qtbot.addWidget(button)
    button.show()
    filled = painted(button)
    button.set_main(False)
    quiet = painted(button)
    accent = theme().colours.accent.lower()
    assert accent in colours(filled, filled.rect())
    assert accent not in colours(quiet, quiet.rect())
    button.set_main(True)
    assert painted(button) == filled


def dragged(kind: type, *files: str) -> tuple[object, QMimeData]:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(file) for file in files])
    data.setText("\n".join(files))
    copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    return kind(QPoint(5, 5), copy, data, left, none), data


def test_a_page_says_that_files_can_be_dropped_whatever_field_they_are_over(qtbot) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    line, text = QLineEdit(), QPlainTextEdit()
    box = QVBoxLayout(page)
    box.addWidget(line)
    box.addWidget(text)
    taken: list[str] = []

    def take(data: QMimeData) -> bool:
        taken.extend(url.toLocalFile() for url in data.urls())
        return data.hasUrls()

    frame = DropFrame(page, "Drop to attach", takes=QMimeData.hasUrls, take=take, fields=(line, text))
    page.resize(300, 300)
    page.show()
    QApplication.processEvents()
    for over in (page, line, text.viewport()):
        plain = painted(page)
        event, _data = dragged(QDragEnterEvent, "/tmp/notes.md")
        QApplication.sendEvent(over, event)
        assert frame.isVisible()
        assert frame.geometry() == page.rect()
        assert painted(page) != plain
        QApplication.sendEvent(over, QDragLeaveEvent())
        assert not frame.isVisible()
        # Qt hands a drop only to what a drag has entered.
        for kind in (QDragEnterEvent, QDropEvent):
            event, _data = dragged(kind, "/tmp/notes.md")
            QApplication.sendEvent(over, event)
        assert taken.pop() == "/tmp/notes.md"
        assert not frame.isVisible()
    assert (line.text(), text.toPlainText()) == ("", "")


def test_text_that_is_dragged_goes_where_it_is_dropped(qtbot) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    line = QLineEdit(page)
    frame = DropFrame(page, "Drop to attach", takes=QMimeData.hasUrls, take=QMimeData.hasUrls, fields=(line,))
    page.show()
    data = QMimeData()
    data.setText("a word")
    copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(line, QDragEnterEvent(QPoint(5, 5), copy, data, left, none))
    assert not frame.isVisible()
    QApplication.sendEvent(line, QDropEvent(QPoint(5, 5), copy, data, left, none))
    assert line.text() == "a word"


def image_of(table: ListTable) -> QImage:
    table.viewport().repaint()
    return table.viewport().grab().toImage()


def ground_of(image: QImage) -> str:
    return colours(image, image.rect()).most_common(1)[0][0]


@pytest.mark.parametrize("two_lines", [False, True])
def test_a_list_from_right_to_left_is_the_mirror_of_the_other_and_nothing_overlaps(qtbot, two_lines: bool) -> None:
    from app.ui.theme import State

    table = ListTable("Tasks", two_lines=two_lines)
    qtbot.addWidget(table)
    table.set_rows([Row("a", "iiii", state=State("dot", "good", "HHH"), trailing="oo", side=State("dot", "bad", "HH"))])
    table.resize(320, 120)
    table.show()
    QApplication.processEvents()
    usual = image_of(table)
    table.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    QApplication.processEvents()
    other = image_of(table)
    ground = ground_of(usual)

    def columns(image: QImage) -> set[int]:
        height = table.row_height()
        return {x for x in range(image.width()) if colours(image, QRect(x, 0, 1, height)).keys() - {ground}}

    def spans(found: set[int]) -> list[int]:
        """The beginnings of the words and drawings, which are more than 5 pixels apart."""
        return [x for x in sorted(found) if not found & set(range(x - 5, x))]

    assert len(spans(columns(other))) == len(spans(columns(usual)))
    assert max(columns(other)) - (usual.width() - 1 - min(columns(usual))) in range(-3, 4)


def test_a_row_without_a_second_line_stands_in_the_middle(qtbot) -> None:
    table = ListTable("Tasks", two_lines=True)
    qtbot.addWidget(table)
    table.set_rows([Row("under the pointer", ""), Row("a", "HHH"), Row("b", "HHH", "detail")])
    table.resize(200, 200)
    table.show()
    QApplication.processEvents()
    image, height = image_of(table), table.row_height()
    ground = ground_of(image)

    def inked(top: int) -> list[int]:
        return [y for y in range(height) if colours(image, QRect(0, top + y, image.width(), 1)).keys() - {ground}]

    alone, two = inked(height), inked(2 * height)
    assert abs((alone[0] + alone[-1]) / 2 - height / 2) <= 3
    assert two[0] < alone[0]
