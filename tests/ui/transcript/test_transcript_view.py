"""The transcript in view: it follows or stays, folds, is read by keyboard and mouse, and costs nothing while hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

import pytest
from PySide6.QtCore import QEvent, QEventLoop, QPoint, QPointF, Qt
from PySide6.QtGui import QAccessible, QFocusEvent, QFontMetrics, QGuiApplication, QImage, QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from app.core.runs.items import Message, Prompt, TextPart, Thought, ToolCall, TurnEnd
from app.ui.theme import theme
from app.ui.transcript import selector
from app.ui.transcript.view import TranscriptView
from tests.ui.transcript._items import ListedItems, lived_run, long_run

HOSTILE = (
    "\x00\u202egnp.exe\u202c e" + "\u0301" * 300 + " \x1b[2J <img src='file:///etc/passwd'> ![x](http://evil/x.png)"
)


@pytest.fixture
def view(qapp: QApplication) -> Iterator[TranscriptView]:
    made = TranscriptView("Transcript")
    made.resize(720, 500)
    yield made
    made.close()
    made.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def shown(view: TranscriptView, items: ListedItems) -> ListedItems:
    view.set_source(items)
    view.show()
    # A window that was not exposed yet does not paint.
    QApplication.processEvents()
    painted(view)
    return items


def painted(view: TranscriptView) -> None:
    """Take in what came, and paint until nothing is missing."""
    view._take_in()
    for _ in range(20):
        view.viewport().repaint()
        if all(one.drawn is not None for one in view.visible):
            return


def keys_of(view: TranscriptView) -> list[str]:
    return [view.items.key(one.place) for one in view.visible]


def top_of(view: TranscriptView, key: str) -> int:
    return next(one.top for one in view.visible if view.items.key(one.place) == key)


def press(view: TranscriptView, key: str, spot: str) -> None:
    one = next(one for one in view.visible if view.items.key(one.place) == key)
    assert one.drawn is not None
    rect = next(each.rect for each in one.drawn.spots if each.kind == spot)
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=rect.center() + QPoint(0, one.top))
    painted(view)


def test_it_opens_at_the_end_and_lays_out_only_what_is_in_view(view: TranscriptView) -> None:
    shown(view, ListedItems(long_run(20_000)))
    assert keys_of(view)[-1] == "k19999"
    assert view.following
    assert len(view.items._layouts) < 100


def test_a_long_log_that_comes_while_nobody_looks_is_taken_in_from_its_end(view: TranscriptView) -> None:
    items = shown(view, ListedItems())
    view.hide()
    items.add(*long_run(20_000))
    asked: list[int] = []
    head = items.head
    items.head = lambda place: asked.append(place) or head(place)  # type: ignore[method-assign, func-returns-value]
    view.show()
    assert len(set(asked)) < 1_000
    QApplication.processEvents()
    painted(view)
    assert keys_of(view)[-1] == "k19999"
    # The others follow in slices.
    while view.items.estimate_more(0.01):
        pass
    assert len(set(asked)) == 20_000


def test_what_is_added_is_followed_until_a_person_scrolls_up(view: TranscriptView) -> None:
    items = shown(view, ListedItems(long_run(200)))
    items.add(Message(key="new", text="one"))
    painted(view)
    assert keys_of(view)[-1] == "new"
    view.verticalScrollBar().setValue(view.verticalScrollBar().value() - 300)
    painted(view)
    assert not view.following
    before = view.visible
    counted: list[int] = []
    view.behind_changed.connect(counted.append)
    items.add(Message(key="later", text="two\nlines"), Message(key="last", text="three"))
    painted(view)
    assert [(one.place, one.top) for one in view.visible] == [(one.place, one.top) for one in before]
    assert counted == [3]
    QTest.keyClick(view, Qt.Key.Key_End)
    painted(view)
    assert view.following
    assert keys_of(view)[-1] == "last"
    assert counted == [3, 0]


def test_what_is_in_view_stays_while_items_above_turn_out_taller(view: TranscriptView) -> None:
    items = shown(view, ListedItems(long_run(500)))
    view.show_place(250, top=True)
    painted(view)
    before = top_of(view, "k250")
    for place in range(200, 249):
        view.items.lay_out(place)
    items.replace(Message(key="k245", text="taller\n\n" * 60))
    painted(view)
    assert top_of(view, "k250") == before


def test_scrolling_moves_what_is_in_view_by_exactly_that(view: TranscriptView) -> None:
    shown(view, ListedItems(long_run(500)))
    view.show_place(250, top=True)
    painted(view)
    for _ in range(30):
        before = {view.items.key(one.place): one.top for one in view.visible}
        view.verticalScrollBar().setValue(view.verticalScrollBar().value() - 40)
        painted(view)
        both = [key for key in keys_of(view) if key in before]
        assert both
        assert all(top_of(view, key) == before[key] + 40 for key in both)


def test_the_moved_picture_is_what_a_whole_paint_shows(view: TranscriptView) -> None:
    shown(view, ListedItems(long_run(500)))
    screen = QImage(view.viewport().size(), QImage.Format.Format_RGB32)
    for step in (-37, -120, 60, -333):
        view.verticalScrollBar().setValue(view.verticalScrollBar().value() + step)
        painted(view)
        tops = [(one.place, one.top) for one in view.visible]
        view.viewport().update()
        view.viewport().render(screen)
        assert [(one.place, one.top) for one in view.visible] == tops


def test_the_history_read_again_leaves_the_place_in_view(view: TranscriptView) -> None:
    items = shown(view, ListedItems(long_run(300)))
    view.show_place(150, top=True)
    painted(view)
    before = top_of(view, "k150")
    items.read_again([Prompt(key="earlier", text="What was missing."), *long_run(300)])
    painted(view)
    assert top_of(view, "k150") == before
    assert not view.following


def test_a_key_right_after_the_last_items_went_finds_those_that_are_left(view: TranscriptView) -> None:
    items = shown(view, ListedItems([Message(key=f"m{n}", text=f"text {n}") for n in range(6)]))
    view.clearFocus()
    items.rebuild([Message(key=f"m{n}", text=f"text {n}") for n in range(4)])
    view.focusInEvent(QFocusEvent(QEvent.Type.FocusIn, Qt.FocusReason.TabFocusReason))
    assert view.current == 3
    view.set_current(-1)
    view.step(-1)
    assert view.current == 2


def test_an_item_that_came_anew_with_the_same_revision_is_laid_out_again(view: TranscriptView) -> None:
    items = shown(view, ListedItems([Message(key=f"m{n}", text=f"old {n}") for n in range(4)]))
    same = view.items.lay_out(1)
    items.rebuild([Message(key=f"m{n}", text=f"new {n}" if n == 2 else f"old {n}") for n in range(5)])
    painted(view)
    assert [one.drawn.texts[0].document.toPlainText() for one in view.visible if one.drawn] == [
        *("old 0", "old 1", "new 2", "old 3", "old 4")
    ]
    assert view.items.lay_out(1) is same


def test_a_hidden_transcript_does_not_listen_and_catches_up_when_shown(view: TranscriptView) -> None:
    items = shown(view, ListedItems(long_run(50)))
    view.hide()
    assert not items.changed._callbacks
    items.add(Message(key="meanwhile", text="new"))
    view.show()
    QApplication.processEvents()
    painted(view)
    assert keys_of(view)[-1] == "meanwhile"


def test_a_folded_item_opens_where_it_stands_and_folds_again(view: TranscriptView) -> None:
    call = ToolCall(
        key="call", call_id="1", title="Run", kind="execute", status="completed", parts=(TextPart("x\n" * 9),)
    )
    shown(view, ListedItems([*long_run(60), call, Message(key="after", text="done")]))
    top, height = top_of(view, "call"), view.items.heights[60]
    press(view, "call", "fold")
    assert top_of(view, "call") == top
    assert view.items.heights[60] > height
    QTest.keyClick(view, Qt.Key.Key_Return)
    painted(view)
    assert view.items.heights[60] == height


def test_what_arrived_after_a_stop_says_so_folded_open_and_aloud(view: TranscriptView) -> None:
    call = ToolCall(key="call", call_id="1", title="Run", kind="execute", status="completed", late=True)
    shown(view, ListedItems([call, Message(key="m", text="late news", late=True)]))
    words = "Arrived after you stopped"
    folded, message = (one.drawn for one in view.visible)
    assert folded is not None
    assert message is not None
    assert (folded.is_open, folded.card.detail) == (False, words)
    assert words in folded.card.spoken
    assert words in message.card.spoken
    press(view, "call", "fold")
    painted(view)
    opened = view.visible[0].drawn
    assert opened is not None
    assert words not in opened.card.detail
    assert words in opened.texts[0].document.toPlainText()


def test_the_items_of_a_sub_agent_show_when_it_is_opened(view: TranscriptView) -> None:
    view.resize(1000, 500)
    shown(view, ListedItems(lived_run()))
    view.show_place(view.items.place_of("a1"), top=True)
    painted(view)
    assert "a1c1" not in keys_of(view)
    assert "2 steps" in next(
        one.drawn.card.detail for one in view.visible if one.drawn and one.drawn.card.glyph == "user"
    )
    press(view, "a1", "fold")
    assert {"a1c1", "a1m"} <= set(keys_of(view))
    # It begins further in, and ends where the others do.
    frames = {view.items.key(one.place): one.drawn.frame for one in view.visible if one.drawn is not None}
    assert frames["a1c1"].left() > frames["a1"].left()
    assert frames["a1c1"].right() == frames["a1"].right()
    press(view, "a1", "fold")
    assert "a1c1" not in keys_of(view)


def test_a_place_within_a_folded_sub_agent_is_brought_into_view(view: TranscriptView) -> None:
    shown(view, ListedItems(lived_run()))
    view.set_current(view.items.place_of("a1m"))
    painted(view)
    assert "a1m" in keys_of(view)


def test_keys_go_through_items_turns_and_ends(view: TranscriptView) -> None:
    shown(view, ListedItems(lived_run()))
    QTest.keyClick(view, Qt.Key.Key_Home)
    assert view.current == 0
    QTest.keyClick(view, Qt.Key.Key_J)
    QTest.keyClick(view, Qt.Key.Key_Down)
    assert view.items.key(view.current) == "t1"
    QTest.keyClick(view, Qt.Key.Key_K)
    assert view.items.key(view.current) == "p1"
    QTest.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert view.items.key(view.current) == "p2"
    QTest.keyClick(view, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert view.items.key(view.current) == "p1"
    QTest.keyClick(view, Qt.Key.Key_End)
    assert view.items.key(view.current) == "e2"
    # What is folded away is no stop.
    view.set_current(view.items.place_of("a1"))
    QTest.keyClick(view, Qt.Key.Key_J)
    assert view.items.key(view.current) == "m1"


def test_copying_gives_the_item_its_turn_or_the_selection(view: TranscriptView) -> None:
    items = [
        Prompt(key="p", turn=1, text="Do \u202eit"),
        Message(key="m", turn=1, text="Some **bold** words"),
        TurnEnd(key="e", turn=1, reason="end_turn"),
        Prompt(key="p2", turn=2, text="Next"),
    ]
    shown(view, ListedItems(items))
    view.set_current(1)
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "Some **bold** words"
    view.copier.copy_turn(1)
    assert QGuiApplication.clipboard().text() == "## You\n\nDo \u202eit\n\nSome **bold** words\n\n---\n"
    one = next(one for one in view.visible if one.place == 1)
    assert one.drawn is not None
    rect = one.drawn.texts[0].rect.translated(0, one.top)
    middle = rect.center().y()
    QTest.mousePress(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(rect.left(), middle))
    end = QPointF(rect.right(), middle)
    left = Qt.MouseButton.LeftButton
    move = QMouseEvent(QEvent.Type.MouseMove, end, end, left, left, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(view.viewport(), move)
    QTest.mouseRelease(view.viewport(), left, pos=end.toPoint())
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "Some bold words"
    QTest.mouseDClick(view.viewport(), left, pos=QPoint(rect.left() + 2, middle))
    view.copy()
    assert QGuiApplication.clipboard().text() == "Some"


def wait(there: Callable[[], bool]) -> None:
    until = perf_counter() + 10
    while not there():
        assert perf_counter() < until
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)


def point(view: TranscriptView, key: str, number: int = 0, *, end: bool = False) -> QPoint:
    """The beginning or the end of a text of an item in view."""
    one = next(one for one in view.visible if view.items.key(one.place) == key)
    assert one.drawn is not None
    rect = one.drawn.texts[number].rect.translated(0, one.top)
    return QPoint(rect.right() if end else rect.left(), rect.bottom() - 4 if end else rect.top() + 4)


def drag(view: TranscriptView, start: QPoint, *ways: QPoint, release: bool = True) -> None:
    left = Qt.MouseButton.LeftButton
    QTest.mousePress(view.viewport(), left, pos=start)
    for way in ways:
        at = QPointF(way)
        move = QMouseEvent(QEvent.Type.MouseMove, at, at, left, left, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(view.viewport(), move)
    if release:
        QTest.mouseRelease(view.viewport(), left, pos=ways[-1])


def copied(view: TranscriptView) -> str:
    QGuiApplication.clipboard().clear()
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    # What is long is copied in slices.
    wait(lambda: bool(QGuiApplication.clipboard().text()))
    return QGuiApplication.clipboard().text()


def test_a_drag_across_items_selects_all_between_in_their_order(view: TranscriptView) -> None:
    items = [
        Message(key="m", text="First words"),
        Thought(key="t", text="Folded"),
        ToolCall(key="c", call_id="c", title="Run it", kind="execute", parts=(TextPart("a\nb", terminal=True),)),
        Message(key="a1", text="Within", parent="c0"),
        Prompt(key="p", text="Last words"),
    ]
    shown(view, ListedItems(items))
    press(view, "c", "fold")
    middle = point(view, "m") + QPoint(QFontMetrics(theme().font("body")).horizontalAdvance("First "), 0)
    end = point(view, "p", end=True)
    for start, stop in ((middle, end), (end, middle)):
        drag(view, start, QPoint(200, 200), stop)
        assert copied(view) == "words\n\nThought · Folded\n\nRun it\na\nb\n\nWithin\n\nYou\nLast words"
    before = view.viewport().grab().toImage()
    QTest.keyClick(view, Qt.Key.Key_Escape)
    assert not view.selector.some
    assert view.viewport().grab().toImage() != before
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=point(view, "m"))
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, point(view, "m", end=True)
    )
    assert copied(view) == "First words"


def test_a_drag_beyond_the_view_scrolls_on(view: TranscriptView) -> None:
    shown(view, ListedItems(long_run(100)))
    view.show_place(0, top=True)
    painted(view)
    drag(view, point(view, "k1"), QPoint(100, view.viewport().height() + 40), release=False)
    last = view.visible[-1].place
    wait(lambda: bool(view.visible) and view.visible[0].place > last)
    QTest.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(100, 100))
    ends = view.selector.selection.ends
    assert ends is not None
    assert (ends[0][0], ends[1][0] > last) == (1, True)
    assert not view.selector._scroll.isActive()


def test_shift_and_arrows_select_items_and_the_way_back_takes_them_out(view: TranscriptView) -> None:
    said: list[str] = []
    view.said.connect(said.append)
    shown(view, ListedItems([Message(key=f"m{number}", text=str(number)) for number in range(4)]))
    view.set_current(1)
    shift = Qt.KeyboardModifier.ShiftModifier
    for key, text in (
        (Qt.Key.Key_Down, "1\n\n2"),
        (Qt.Key.Key_Down, "1\n\n2\n\n3"),
        (Qt.Key.Key_Up, "1\n\n2"),
        (Qt.Key.Key_Home, "0\n\n1"),
        (Qt.Key.Key_End, "1\n\n2\n\n3"),
    ):
        QTest.keyClick(view, key, shift)
        assert copied(view) == text
    assert said[:2] == ["2 entries selected", "Copied the selection"]
    # Another run has nothing selected, although its items are called the same.
    view.set_source(ListedItems([Message(key=f"m{number}", text="x") for number in range(4)]))
    assert not view.selector.some


def test_all_is_selected_unless_it_is_too_much_to_copy(view: TranscriptView, monkeypatch: pytest.MonkeyPatch) -> None:
    items = shown(view, ListedItems([Message(key="m", text="one"), Message(key="m2", text="two " * 40_000)]))
    refused: list[None] = []
    view.selector.too_long.connect(lambda: refused.append(None))
    QTest.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    text = copied(view)
    assert text.startswith("one\n\ntwo two")
    # A text that is shown in part is copied in part, and says so.
    assert text.endswith("characters are left out]")
    assert refused == []
    monkeypatch.setattr(selector, "LONGEST_SELECTION", 100)
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    view.selector.clear()
    QTest.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert (len(refused), view.selector.some) == (2, False)
    items.read_again([])
    QTest.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert not view.selector.some


def test_a_block_of_code_is_copied_by_its_button(view: TranscriptView) -> None:
    shown(view, ListedItems([Message(key="m", text="Look:\n\n```py\nprint(1)\nprint(2)\n```\n\nDone.")]))
    press(view, "m", "copy")
    assert QGuiApplication.clipboard().text() == "print(1)\nprint(2)"


def test_a_link_shows_its_address_before_it_opens(view: TranscriptView) -> None:
    shown(view, ListedItems([Message(key="m", text="[click here, it is safe](http://evil.example/x)")]))
    one = view.visible[0]
    assert one.drawn is not None
    at = one.drawn.texts[0].rect.translated(0, one.top).topLeft() + QPoint(8, 8)
    hints: list[str] = []
    view.hint.connect(hints.append)
    QTest.mouseMove(view.viewport(), at)
    view._hover(at)
    assert hints == ["http://evil.example/x"]
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    menu = view.findChild(QMenu)
    assert menu is not None
    assert menu.actions()[0].text() == "http://evil.example/x"
    menu.close()


def test_a_long_text_is_shown_in_part_and_can_be_seen_as_a_whole(view: TranscriptView) -> None:
    text = "x" * 1_000_000
    call = ToolCall(
        key="c", call_id="1", title="Run", kind="execute", status="failed", parts=(TextPart(text, terminal=True),)
    )
    shown(view, ListedItems([call, Message(key="m", text="y" * 1_000_000)]))
    wanted: list[tuple[str, str]] = []
    view.whole_wanted.connect(lambda title, whole: wanted.append((title, whole)))
    view.set_current(0)
    view.verticalScrollBar().setValue(0)
    painted(view)
    one = view.visible[0]
    spot = next(spot for spot in one.drawn.spots if spot.kind == "whole")
    view._press(one, spot)
    assert wanted == [("Run", text)]
    assert view.items.heights.total < 20_000


def test_hostile_text_is_laid_out_bounded_and_without_loading_anything(view: TranscriptView) -> None:
    items = [
        Prompt(key="p", text=HOSTILE, files=(HOSTILE,)),
        Message(key="m", text=HOSTILE),
        Thought(key="t", text=HOSTILE),
        ToolCall(key="c", call_id="1", title=HOSTILE, status="failed", parts=(TextPart(HOSTILE, terminal=True),)),
    ]
    shown(view, ListedItems(items))
    texts = [placed.document.toPlainText() for one in view.visible if one.drawn for placed in one.drawn.texts]
    texts += [one.drawn.card.title + one.drawn.card.detail + one.drawn.card.spoken for one in view.visible if one.drawn]
    assert not any(mark in text for text in texts for mark in ("\u202e", "\x00", "\x1b"))
    assert "<img src='file:///etc/passwd'>" in texts[0]
    assert all("\u0301" * 5 not in text for text in texts)
    assert "[x: http://evil/x.png]" in "".join(texts)


def test_assistive_technology_reads_each_item_with_its_state(view: TranscriptView) -> None:
    shown(view, ListedItems(lived_run()))
    view.set_current(view.items.place_of("c3"))
    view._names.update_now()
    found = {}
    viewport = QAccessible.queryAccessibleInterface(view.viewport())
    for number in range(viewport.childCount()):
        child = viewport.child(number)
        if child.role() == QAccessible.Role.ListItem and not child.state().invisible:
            found[child.text(QAccessible.Text.Name)] = child.rect().height()
    assert "Run the tests, Exit code 1, 12.4 s, open" in found
    assert all(height > 0 for height in found.values())


def test_a_growing_message_keeps_the_layout_of_its_beginning(view: TranscriptView) -> None:
    text = "".join(f"Paragraph {n} " + "of some words. " * 20 + "\n\n" for n in range(40))
    items = shown(view, ListedItems([Message(key="m", text=text, open=True)]))
    first = view.items.lay_out(0).texts[0].document
    items.replace(Message(key="m", text=text + "And more.", open=True))
    painted(view)
    again = view.items.lay_out(0)
    assert again.texts[0].document is first
    assert "And more." in again.texts[-1].document.toPlainText()


def test_laid_out_right_to_left_everything_is_mirrored(view: TranscriptView) -> None:
    view.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    shown(view, ListedItems(lived_run()))
    for one in view.visible:
        assert one.drawn is not None
        assert one.drawn.frame.right() >= view.viewport().width() - 80
