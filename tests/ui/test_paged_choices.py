"""A drop-down list whose choices a server searches and pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from PySide6.QtCore import QObject, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.ui.theme import apply_theme
from app.ui.widgets.paged_choices import PagedSelect
from app.ui.widgets.paged_popup import ChoicesPage, PagedChoice, PagedPopup
from tests.ui._tasks_fakes import settle, until

PAGE = 30


class Source:
    """A server in memory; `fail` is what it answers next, `hold` keeps its answers back."""

    refreshable = True

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.asked: list[tuple[str, int]] = []
        self.fail = ""
        self.hold = False
        self.held: list[Callable[[], object]] = []
        self.refreshed = 0

    def known(self) -> Sequence[PagedChoice]:
        return ()

    def ask(
        self,
        owner: QObject,
        search: str,
        offset: int,
        done: Callable[[ChoicesPage], object],
        failed: Callable[[str], object],
    ) -> None:
        self.asked.append((search, offset))
        cause, self.fail = self.fail, ""
        found = [PagedChoice(name, name) for name in self.names if search in name]
        end = offset + PAGE
        page = ChoicesPage(found[offset:end], end if end < len(found) else None)
        answer = (lambda: failed(cause)) if cause else (lambda: done(page))
        if self.hold:
            self.held.append(answer)
        else:
            answer()

    def refresh(self, owner: QObject, done: Callable[[], object], failed: Callable[[str], object]) -> None:
        self.refreshed += 1
        done()


@pytest.fixture
def select(qapp: QApplication) -> Iterator[PagedSelect]:
    apply_theme(qapp, "light", 1.0)
    first = [PagedChoice("", "The default")]
    made = PagedSelect("Branch", Source([f"b{number:03}" for number in range(100)]), first=first, free=str.isidentifier)
    made.show()
    yield made
    made.close()
    made.deleteLater()


def source_of(select: PagedSelect) -> Source:
    assert isinstance(select.source, Source)
    return select.source


def open_of(select: PagedSelect) -> PagedPopup:
    select.showPopup()
    assert select.popup is not None
    return select.popup


async def test_a_failure_is_said_beside_what_is_there_and_can_be_repeated(select: PagedSelect) -> None:
    source = source_of(select)
    source.fail = "No connection."
    popup = open_of(select)
    assert popup.state.text() == "No connection."
    assert popup.texts() == ["The default"]
    popup.again.click()
    assert len(popup.texts()) == 1 + PAGE
    assert not popup.again.isVisible()
    # The next page fails: what is there stays, and it is not asked for again by itself.
    await settle()
    source.fail = "No connection."
    popup.list.verticalScrollBar().setValue(popup.list.verticalScrollBar().maximum())
    await settle()
    asked = len(source.asked)
    popup.list.verticalScrollBar().setValue(0)
    popup.list.verticalScrollBar().setValue(popup.list.verticalScrollBar().maximum())
    assert len(source.asked) == asked
    assert len(popup.texts()) == 1 + PAGE
    popup.again.click()
    assert source.asked[-1] == ("", PAGE)
    assert len(popup.texts()) >= 1 + 2 * PAGE


async def test_pages_come_as_one_goes_down_and_nothing_is_asked_twice(select: PagedSelect) -> None:
    source = source_of(select)
    popup = open_of(select)
    for _ in range(20):
        QTest.keyClick(popup.filter, Qt.Key.Key_PageDown)
        await settle()
    assert [offset for _search, offset in source.asked] == [0, 30, 60, 90]
    assert len(popup.texts()) == 101
    QTest.keyClick(popup.filter, Qt.Key.Key_Return)
    assert select.value == "b099"
    assert select.currentText() == "b099"


async def test_enter_right_after_a_key_never_chooses_what_the_key_excluded(select: PagedSelect) -> None:
    source = source_of(select)
    popup = open_of(select)
    source.hold = True
    QTest.keyClicks(popup.filter, "b077")
    # Its page has not come: it is not among the first ones.
    assert popup.texts() == ["Use “b077”"]
    QTest.keyClick(popup.filter, Qt.Key.Key_Return)
    assert (select.value, select.currentText()) == ("b077", "b077")


async def test_nothing_found_is_said_and_the_source_is_searched(select: PagedSelect) -> None:
    source = source_of(select)
    popup = open_of(select)
    QTest.keyClicks(popup.filter, "b05")
    await until(lambda: source.asked[-1] == ("b05", 0))
    assert popup.texts()[0] == "b050"
    popup.filter.setText("no such")
    await until(lambda: source.asked[-1] == ("no such", 0))
    assert popup.texts() == []
    assert popup.state.text() == "Nothing matches “no such”"
    QTest.keyClick(popup.filter, Qt.Key.Key_Return)
    assert popup.isVisible()
    popup.refresh.click()
    assert source.refreshed == 1
    popup.filter.setText("")
    QTest.keyClick(popup.filter, Qt.Key.Key_Escape)
    assert select.value == ""
    assert select.currentText() == "The default"


async def test_keys_open_it_and_the_current_value_is_marked(select: PagedSelect) -> None:
    select.set_value("b003")
    select.setFocus()
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Space):
        QTest.keyClick(select, key)
        popup = select.popup
        assert popup is not None
        assert popup.list.currentIndex().data() == "b003"
        popup.close()
    QTest.keyClicks(select, "b")
    assert select.popup is not None
    assert select.popup.filter.text() == "b"
    select.popup.close()
