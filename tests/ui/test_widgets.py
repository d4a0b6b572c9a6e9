"""Generic widgets: quick lists, keyboard everywhere, nothing that raises while painting."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QLocale, QModelIndex, QPoint, Qt
from PySide6.QtGui import QAccessible, QGuiApplication, QIcon, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.ui.servers.policy import SegmentedPolicy
from app.ui.tasks.wording import run_state
from app.ui.theme import apply_theme, icons, theme, tokens
from app.ui.widgets import guard
from app.ui.widgets.buttons import IconButton, QuietButton, with_keys
from app.ui.widgets.choices import CheckBox, Segmented, Select, TabStrip
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.feedback import Banner, EmptyState, InlineCard, ProgressLine
from app.ui.widgets.fields import FieldError, FilterField, JsonEdit, KeyValueGrid
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.jsontree import JsonTree
from app.ui.widgets.lists import ListTable
from app.ui.widgets.page import RememberedSplitter, TitledPage
from app.ui.widgets.rows import Group, Row
from app.ui.widgets.tables import Column, DataTable
from app.ui.widgets.text import ElidedLabel, StatusWord, Text
from app.ui.widgets.times import RelativeTime, absolute, duration, relative
from tests.ui._screens import nameless

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture(autouse=True)
def light(qapp: QApplication) -> Iterator[None]:
    apply_theme(qapp, "light")
    yield
    apply_theme(qapp, "light")


def rows(count: int, start: int = 0) -> list[Row]:
    return [Row(str(n), f"Task {n}", "acme/web", run_state("queued")) for n in range(start, start + count)]


def shown(qtbot: Any, widget: QWidget, size: tuple[int, int] = (420, 320)) -> Any:
    qtbot.addWidget(widget)
    widget.resize(*size)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def table(qtbot: Any, **options: Any) -> ListTable:
    made: ListTable = shown(qtbot, ListTable("Tasks", **options))
    return made


# Lists


def test_a_list_satisfies_the_rules_of_models(qtbot, qtmodeltester) -> None:
    view = table(qtbot)
    view.set_groups([Group("a", "Running", tuple(rows(3))), Group("b", "Done", tuple(rows(2, 10)))])
    qtmodeltester.check(view.rows)
    tree = shown(qtbot, JsonTree("Result"))
    tree.set_value({"a": [1, {"b": None}], "c": "x"})
    qtmodeltester.check(tree.values)


def test_the_selection_follows_its_key_through_updates(qtbot) -> None:
    view = table(qtbot)
    view.set_rows(rows(5))
    view.select_key("3")
    with qtbot.assertNotEmitted(view.picked):
        view.set_rows([*rows(2, 100), *rows(5)])
        assert view.current_key() == "3"
        view.set_rows(list(reversed(rows(5))))
        assert view.current_key() == "3"
        assert view.selected_keys() == ("3",)


def test_a_selected_row_that_goes_away_is_told(qtbot) -> None:
    view = table(qtbot)
    view.set_rows(rows(5))
    view.select_key("3")
    with qtbot.waitSignal(view.picked) as told:
        view.set_rows(rows(2))
    assert told.args == [""]


def test_a_changed_row_repaints_without_a_reset(qtbot) -> None:
    view = table(qtbot)
    view.set_rows(rows(50))
    with qtbot.waitSignal(view.rows.dataChanged), qtbot.assertNotEmitted(view.rows.modelReset):
        changed = rows(50)
        changed[7] = Row("7", "Renamed")
        view.set_rows(changed)
    assert view.rows.row("7").title == "Renamed"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(st.integers(0, 12), unique=True),
    second=st.lists(st.integers(0, 12), unique=True),
    chosen=st.integers(0, 12),
)
def test_any_update_shows_exactly_the_new_snapshot(qapp, first, second, chosen) -> None:
    view = ListTable("Tasks")
    view.set_rows([Row(str(n), str(n)) for n in first])
    view.select_key(str(chosen))
    view.set_rows([Row(str(n), str(n)) for n in second])
    assert [line.key for line in view.rows.lines()] == [str(n) for n in second]
    assert view.current_key() == (str(chosen) if chosen in first and chosen in second else None)
    view.deleteLater()


def test_groups_fold_by_click_and_by_arrow_and_stay_folded(qtbot) -> None:
    view = table(qtbot)
    groups = [Group("a", "Running", tuple(rows(2))), Group("b", "Done", tuple(rows(3, 10)))]
    view.set_groups(groups)
    assert view.rows.rowCount() == 7
    heading = view.visualRect(view.rows.index(0, 0)).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=heading)
    assert view.rows.rowCount() == 5
    view.set_groups(groups)
    assert view.rows.rowCount() == 5
    view.select_key("11")
    QTest.keyClick(view, Qt.Key.Key_Left)
    QTest.keyClick(view, Qt.Key.Key_Left)
    assert view.rows.rowCount() == 2
    QTest.keyClick(view, Qt.Key.Key_Right)
    assert view.rows.rowCount() == 5


def test_choosing_a_folded_row_opens_its_group(qtbot) -> None:
    view = table(qtbot)
    view.set_groups([Group("a", "Running", tuple(rows(2)))])
    view.rows.set_folded("a", True)
    assert view.select_key("1")
    assert view.current_key() == "1"


def test_typing_letters_jumps_and_a_letter_again_goes_on(qtbot) -> None:
    view = table(qtbot)
    view.set_rows([Row("1", "alpha"), Row("2", "beta"), Row("3", "bravo"), Row("4", "gamma")])
    view.setFocus()
    QTest.keyClicks(view, "b")
    assert view.current_key() == "2"
    QTest.keyClicks(view, "b")
    assert view.current_key() == "3"
    view._typed = ""
    QTest.keyClicks(view, "ga")
    assert view.current_key() == "4"


def test_home_end_return_space_and_up_at_the_top_do_what_they_say(qtbot) -> None:
    view = table(qtbot)
    view.set_rows(rows(6))
    view.setFocus()
    QTest.keyClick(view, Qt.Key.Key_End)
    assert view.current_key() == "5"
    QTest.keyClick(view, Qt.Key.Key_Home)
    assert view.current_key() == "0"
    with qtbot.waitSignal(view.opened) as told:
        QTest.keyClick(view, Qt.Key.Key_Return)
    assert told.args == ["0"]
    with qtbot.waitSignal(view.toggled):
        QTest.keyClick(view, Qt.Key.Key_Space)
    with qtbot.waitSignal(view.left_upwards):
        QTest.keyClick(view, Qt.Key.Key_Up)


def test_several_rows_can_be_selected_and_keep_their_selection(qtbot) -> None:
    view = table(qtbot, multi=True)
    view.set_rows(rows(6))
    view.setFocus()
    QTest.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert len(view.selected_keys()) == 6
    view.set_rows(rows(4))
    assert view.selected_keys() == ("0", "1", "2", "3")


def test_the_end_of_the_list_asks_for_more_once(qtbot) -> None:
    view = table(qtbot)
    asked: list[int] = []
    view.need_more.connect(lambda: asked.append(view.rows.rowCount()))
    view.set_rows(rows(100))
    assert asked == []
    view.scrollToBottom()
    view.scrollToTop()
    view.scrollToBottom()
    assert asked == [100]
    view.set_rows(rows(150))
    view.scrollToBottom()
    assert asked == [100, 150]


def test_rows_are_read_with_their_state_and_headings_with_their_count(qtbot) -> None:
    view = table(qtbot)
    view.set_groups([Group("a", "Running", (Row("1", "Fix crash", "acme", run_state("failed"), trailing="2 h"),))])
    interface = QAccessible.queryAccessibleInterface(view)
    spoken = [interface.child(n).text(QAccessible.Text.Name) for n in range(interface.childCount())]
    assert "Running, 1" in spoken
    assert "Fix crash, Failed, acme, 2 h" in spoken


def test_a_row_behind_a_hundred_thousand_is_inserted_and_moves_no_other(qtbot) -> None:
    view = table(qtbot, two_lines=True)
    many = rows(100_000)
    view.set_rows(many)
    view.grab()
    model, told = view.rows, list[str]()
    model.modelReset.connect(lambda: told.append("reset"))
    model.dataChanged.connect(lambda first, last: told.append("changed"))
    model.rowsInserted.connect(lambda parent, first, last: told.append(f"inserted {first} to {last}"))
    view.set_rows([*many, *rows(1, 100_000)])
    view.grab()
    assert told == ["inserted 100000 to 100000"]


def test_data_and_paint_never_raise_whatever_a_row_holds(qtbot, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        glyph = "no such drawing"
        word = None
        tone = "no such colour"

    view = table(qtbot)
    guard._logged.clear()
    with caplog.at_level(logging.CRITICAL), qtbot.captureExceptions() as raised:
        view.set_rows([Row("1", "fine"), Row("2", None, state=Broken(), side=Broken())])  # type: ignore[arg-type]
        view.grab()
        view.rows.data(view.rows.index(1, 0), Qt.ItemDataRole.AccessibleTextRole)
        view.rows.data(QModelIndex())
    assert raised == []


def test_a_guarded_function_answers_its_default_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    @guard.guarded(default=7)
    def broken() -> int:
        raise KeyError("x")

    guard._logged.clear()
    assert [broken(), broken()] == [7, 7]
    assert len(caplog.records) == 1


def test_titles_of_any_length_and_kind_paint(qtbot) -> None:
    view = table(qtbot, two_lines=True)
    hostile = ["", "x" * 20_000, "line\nbreak\ttab", "\u202eright to left", "👩‍👩‍👧 " * 50, "<b>bold</b>", "\x00\ud800"]
    view.set_rows([Row(str(n), title, title, run_state("failed"), badge=title) for n, title in enumerate(hostile)])
    assert not view.grab().isNull()


def test_a_table_keeps_its_current_value_when_newer_ones_come(qtbot) -> None:
    columns = [Column("Name", lambda item: item.name, 80), Column("N", lambda item: str(item.n), right=True)]
    view: DataTable[Any] = shown(qtbot, DataTable("Records", columns, lambda item: item.n))
    items = [SimpleNamespace(n=n, name=f"r{n}") for n in range(5)]
    view.set_items(items)
    view.selectRow(2)
    view.set_items([SimpleNamespace(n=9, name="new"), *items])
    assert view.current() is items[2]
    view.set_items(items[2:])
    assert view.current() is items[2]
    assert view.values.data(view.values.index(0, 0), Qt.ItemDataRole.AccessibleTextRole) == "Name: r2"


# Text and time


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (5, "now"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (2 * 3600, "2 h ago"),
        (26 * 3600, "yesterday"),
        (4 * 86400, "4 days ago"),
    ],
)
def test_times_are_said_as_people_say_them(qapp, ago: int, words: str) -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert relative(now - timedelta(seconds=ago), now) == words


def test_old_and_future_times_are_dates(qapp) -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert relative(now - timedelta(days=400), now) == "19 Oct 2025"
    assert relative(now + timedelta(hours=2), now) == absolute(now + timedelta(hours=2))
    assert relative(None) == ""


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en_GB", "28/11/2026 14:05:09"),
        ("en_US", "11/28/26 2:05:09\u202fPM"),
        ("fi_FI", "28.11.2026 14.05.09"),
        ("ca_ES", "28/11/26 14:05:09"),
        ("cs_CZ", "28.11.26 14:05:09"),
        ("zh_CN", "2026/11/28 14:05:09"),
        ("C", "2026-11-28 14:05:09"),
    ],
)
def test_an_absolute_time_is_one_to_the_second_in_the_persons_locale(qapp, locale: str, words: str) -> None:
    before = QLocale()
    QLocale.setDefault(QLocale(locale))
    try:
        assert absolute(datetime(2026, 11, 28, 14, 5, 9).astimezone()) == words
    finally:
        QLocale.setDefault(before)


def test_a_relative_time_has_the_absolute_in_its_tooltip(qtbot) -> None:
    moment = datetime.now(UTC) - timedelta(minutes=5)
    label = RelativeTime(moment)
    qtbot.addWidget(label)
    assert label.text() == "5 min ago"
    assert label.toolTip() == absolute(moment)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.34, "340 ms"), (2.1, "2.1 s"), (252, "4 min 12 s"), (7500, "2 h 5 min")]
)
def test_durations_are_short(qapp, seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_long_path_elides_in_the_middle_and_never_pushes_its_layout(qtbot) -> None:
    whole = QWidget()
    box = QHBoxLayout(whole)
    label = ElidedLabel("/home/ana/" + "deep/" * 80 + "file.py")
    box.addWidget(label)
    shown(qtbot, whole, (300, 60))
    assert whole.width() == 300
    assert "…" in label.shown_text()
    assert label.shown_text().endswith("file.py")


def test_text_is_never_taken_for_markup(qtbot) -> None:
    label = Text("<img src=x><b>bold</b>")
    qtbot.addWidget(label)
    assert label.textFormat() == Qt.TextFormat.PlainText


def test_a_state_is_a_glyph_and_a_word_and_read_as_its_word(qtbot) -> None:
    word = shown(qtbot, StatusWord(run_state("failed")), (120, 24))
    assert word.accessibleName() == "Failed"
    word.set_state(run_state("in_progress"), "04:12")
    assert word.accessibleName() == "Running 04:12"
    assert not word.grab().isNull()


# Buttons and fields


def test_policy_is_one_focus_stop_moved_by_arrows(qtbot) -> None:
    whole = QWidget()
    box = QVBoxLayout(whole)
    before, policy, after = QLineEdit(), SegmentedPolicy("Policy of send"), QLineEdit()
    for each in (before, policy, after):
        box.addWidget(each)
    shown(qtbot, whole)
    whole.activateWindow()
    qtbot.waitUntil(whole.isActiveWindow)
    policy.set_value("needs_approval")
    before.setFocus()
    QTest.keyClick(before, Qt.Key.Key_Tab)
    focused = QApplication.focusWidget()
    assert focused.accessibleName() == "Policy of send: Ask"
    with qtbot.waitSignal(policy.chosen) as told:
        QTest.keyClick(focused, Qt.Key.Key_Right)
    assert told.args == ["do_not_use"]
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    assert after.hasFocus()


def test_a_policy_is_read_as_radio_buttons_and_a_locked_one_says_why(qtbot) -> None:
    policy = shown(qtbot, SegmentedPolicy("Policy of send"))
    policy.set_value("approved")
    button = next(iter(policy._buttons.values()))
    interface = QAccessible.queryAccessibleInterface(button)
    assert interface.role() == QAccessible.Role.RadioButton
    assert interface.state().checked
    policy.set_locked("Blocked by your team")
    assert not policy.isEnabled()
    assert policy.toolTip() == "Blocked by your team"
    policy.set_value(None)
    assert policy.value() is None


def test_a_filter_tells_once_after_the_last_key_and_escape_clears_at_once(qtbot) -> None:
    field = shown(qtbot, FilterField("Filter tasks"), (200, 32))
    told: list[str] = []
    field.changed.connect(told.append)
    QTest.keyClicks(field, "check")
    assert told == []
    qtbot.waitUntil(lambda: told == ["check"])
    QTest.keyClick(field, Qt.Key.Key_Escape)
    assert told == ["check", ""]
    with qtbot.waitSignal(field.down):
        QTest.keyClick(field, Qt.Key.Key_Down)


def test_escape_in_an_empty_filter_is_left_to_others(qtbot) -> None:
    class Around(QWidget):
        heard = 0

        def keyPressEvent(self, event: Any) -> None:
            self.heard += 1

    whole = Around()
    box = QVBoxLayout(whole)
    field = FilterField("Filter")
    box.addWidget(field)
    shown(qtbot, whole)
    QTest.keyClick(field, Qt.Key.Key_Escape)
    assert whole.heard == 1


def test_json_that_cannot_be_read_says_line_and_column(qtbot) -> None:
    edit = shown(qtbot, JsonEdit("Arguments"))
    edit.edit.setPlainText('{"a": 1,\n "b" 2}')
    with qtbot.waitSignal(edit.checked) as told:
        edit.check()
    assert told.args == [False]
    assert edit.line().startswith("Line 2, column 6")
    edit.edit.setPlainText("[" * 100_000)
    assert not edit.check()
    edit.set_value({"a": [1]})
    assert edit.check()
    assert edit.value() == {"a": [1]}
    edit.edit.clear()
    assert edit.value() == {}


def test_an_error_is_tied_to_its_field(qtbot) -> None:
    field = QLineEdit()
    qtbot.addWidget(field)
    error = FieldError(field)
    qtbot.addWidget(error)
    error.say("Too short.")
    assert field.accessibleDescription() == "Too short."
    assert field.property("wrong") == "true"
    error.say("")
    assert field.accessibleDescription() == ""


def test_controls_are_at_least_24_pixels_and_tooltips_name_their_keys(qtbot) -> None:
    for control in (QuietButton("x"), IconButton("Close", "cross"), CheckBox("Wrap"), Select("Kind", [("a", "A")])):
        qtbot.addWidget(control)
        assert control.sizeHint().height() >= 24
    assert with_keys("New task", "Ctrl+N") == "New task (Ctrl+N)"
    assert IconButton("Refresh", "refresh", keys="F5").toolTip() == "Refresh (F5)"


def test_a_check_box_toggles_anywhere_on_its_words(qtbot) -> None:
    box = shown(qtbot, CheckBox("Wrap lines"), (160, 24))
    QTest.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(100, 12))
    assert box.isChecked()
    assert not box.grab().isNull()


# JSON tree


def test_a_large_value_shows_in_portions(qtbot) -> None:
    tree = shown(qtbot, JsonTree("Result"))
    tree.set_value([{"n": n, "text": "x" * 50} for n in range(100_000)])
    before = tree.values.rowCount()
    assert before <= 2000
    assert tree.values.canFetchMore(QModelIndex())
    tree.values.fetchMore(QModelIndex())
    assert tree.values.rowCount() == before + 500


def test_value_and_path_can_be_copied(qtbot) -> None:
    tree = shown(qtbot, JsonTree("Result"))
    tree.set_value({"items": [{"odd key": "hello"}]}, open_levels=3)
    model = tree.values
    items = model.index(0, 0)
    first = model.index(0, 0, items)
    model.fetchMore(items)
    first = model.index(0, 0, items)
    model.fetchMore(first)
    tree.setCurrentIndex(model.index(0, 0, first))
    QTest.keyClick(tree, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "hello"
    tree.copy_path()
    assert QGuiApplication.clipboard().text() == '$.items[0]["odd key"]'


@pytest.mark.parametrize("value", [None, "text", 12, [], {}, True, [[[[]]]], {"": {"": float("inf")}}, "x" * 10**6])
def test_any_json_value_can_be_shown(qtbot, value: object) -> None:
    tree = shown(qtbot, JsonTree("Result"))
    tree.set_value(value)
    assert not tree.grab().isNull()


# In place


def test_a_banner_says_one_thing_and_breaks_where_it_is_narrow(qtbot) -> None:
    banner = shown(qtbot, Banner(), (700, 60))
    pressed: list[str] = []
    actions = [("Use for this session only", lambda: pressed.append("memory"))]
    banner.show_message("Unlock your keyring.", "attention", ("Try again", lambda: pressed.append("again")), actions)
    assert banner.accessibleName() == "Unlock your keyring."
    wide = banner.sizeHint().height()
    banner.resize(380, 120)
    QApplication.processEvents()
    assert banner.sizeHint().height() > wide
    for button in banner.findChildren(QPushButton):
        button.click()
    assert sorted(pressed) == ["again", "memory"]


def test_an_error_card_shows_title_cause_and_advice_without_repeating(qtbot) -> None:
    card = shown(qtbot, InlineCard())
    card.show_error(SimpleNamespace(title="Offline", cause="Offline", advice="Burrow tries again."))
    assert card.text() == "Offline Burrow tries again."
    card.clear()
    assert not card.isVisible()


def test_an_empty_state_says_why_and_offers_a_way_on(qtbot) -> None:
    cleared: list[bool] = []
    empty = shown(qtbot, EmptyState("No task fits “x”", "", [("Clear filter", lambda: cleared.append(True))]))
    empty.findChild(QPushButton).click()
    assert cleared == [True]
    assert empty.accessibleName() == "No task fits “x”"


@pytest.mark.parametrize("text", ["x" * 300, "An id " + "7f3a" * 60 + " and what follows"])
def test_a_word_longer_than_its_line_breaks_where_it_must(qtbot, text: str) -> None:
    label = shown(qtbot, Text(text, wrap=True, selectable=True), (200, 400))
    line, needed = label.fontMetrics().height(), label.fontMetrics().horizontalAdvance(text) / 200
    assert label.heightForWidth(200) >= needed * line
    label.resize(150, 400)
    image = label.grab().toImage()
    ground = image.pixelColor(149, 399)
    inked = [y for y in range(400) if any(image.pixelColor(x, y) != ground for x in range(150))]
    assert inked[-1] - inked[0] > needed * line
    label.setSelection(0, len(text))
    assert label.selectedText() == text
    label.setText("Short")
    assert label.heightForWidth(200) <= 2 * line


def test_words_that_fit_stay_whole(qtbot) -> None:
    words = "plain words that wrap between each other and nowhere else " * 4
    label = shown(qtbot, Text(words, wrap=True, selectable=True), (200, 400))
    plain = shown(qtbot, Text(words, wrap=True), (200, 400))
    assert label.heightForWidth(200) == plain.heightForWidth(200)


def test_words_that_can_be_selected_are_painted_once_for_each_change(qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[str] = []
    paint = Text.paintEvent
    monkeypatch.setattr(Text, "paintEvent", lambda self, event: (painted.append(self.text()), paint(self, event))[1])
    label = shown(qtbot, Text("x" * 300, wrap=True, selectable=True), (200, 400))
    for change in (lambda: None, lambda: label.setText("y" * 300), lambda: label.resize(150, 400)):
        change()
        for _ in range(50):
            QApplication.processEvents()
        assert 1 <= len(painted) <= 3
        painted.clear()


def test_progress_shows_only_after_a_moment(qtbot) -> None:
    line = shown(qtbot, ProgressLine("Loading"), (200, 2))
    line.start()
    assert line.active
    assert not line._running
    qtbot.waitUntil(lambda: line._running)
    line.set_fraction(0.5)
    image = line.grab().toImage()
    assert image.pixelColor(10, 0) != image.pixelColor(190, 0)
    line.stop()
    assert not line.active


def test_progress_has_a_name_only_while_it_shows(qtbot) -> None:
    line = shown(qtbot, ProgressLine("Loading"), (200, 2))
    interface = QAccessible.queryAccessibleInterface(line)
    assert interface.text(QAccessible.Text.Name) == ""
    line.start()
    qtbot.waitUntil(lambda: interface.text(QAccessible.Text.Name) == "Loading")
    line.stop()
    assert interface.text(QAccessible.Text.Name) == ""
    assert line.isVisible()


def test_a_splitter_tells_its_sizes_when_a_person_moves_it(qtbot) -> None:
    told: list[list[int]] = []
    split = RememberedSplitter(Qt.Orientation.Horizontal, [QWidget(), QWidget()], [100, 300], told.append)
    shown(qtbot, split, (401, 100))
    assert told == []
    split.moveSplitter(150, 1)
    assert told
    assert told[-1][0] == split.sizes()[0]


# Focus


def test_the_ring_is_shown_for_the_keyboard_and_not_for_the_pointer(qtbot) -> None:
    whole = QWidget()
    box = QVBoxLayout(whole)
    first, second = QuietButton("One"), QuietButton("Two")
    box.addWidget(first)
    box.addWidget(second)
    ring = show_focus_ring(whole)
    shown(qtbot, whole)
    whole.activateWindow()
    qtbot.waitUntil(whole.isActiveWindow)
    first.setFocus()
    QTest.keyClick(first, Qt.Key.Key_Tab)
    assert ring.target is second
    around = second.geometry()
    assert ring.geometry().contains(around)
    assert ring.width() - around.width() == 6
    QTest.mousePress(first, Qt.MouseButton.LeftButton)
    assert ring.target is None
    QTest.mouseRelease(first, Qt.MouseButton.LeftButton)
    QTest.keyClick(first, Qt.Key.Key_Tab)
    whole.resize(500, 400)
    QApplication.processEvents()
    assert ring.geometry().contains(second.geometry())


def test_every_generic_control_can_be_named(qtbot) -> None:
    whole = QWidget()
    box = QVBoxLayout(whole)
    page = TitledPage("Title")
    page.add_action(IconButton("More", "more"))
    page.set_head(TabStrip(["One", "Two"], "Parts"))
    page.banner.show_message("Words", "info", ("Act", lambda: None))
    grid = KeyValueGrid()
    grid.add("Path", "/a/b", path=True)
    parts = (page, grid, FilterField("Filter"), JsonEdit("Arguments"), JsonTree("Result"), ListTable("Tasks"))
    for each in (*parts, SegmentedPolicy("Policy"), Select("Kind"), CheckBox("Wrap")):
        box.addWidget(each)
    shown(qtbot, whole, (500, 900))
    assert nameless(whole) == []


def test_the_same_picture_comes_out_twice(qtbot) -> None:
    def picture() -> QImage:
        view = ListTable("Tasks", two_lines=True)
        view.set_rows(rows(4))
        view.resize(300, 220)
        image = view.grab().toImage()
        view.deleteLater()
        return image

    assert picture() == picture()


def test_enter_presses_a_button_as_space_does(qtbot) -> None:
    pressed: list[str] = []
    button = QuietButton("Open", clicked=lambda: pressed.append("x"))
    qtbot.addWidget(button)
    button.show()
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
        QTest.keyClick(button, key)
    QTest.keyClick(button, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert len(pressed) == 3


@pytest.mark.parametrize("centred", [False, True])
def test_controls_that_do_not_fit_go_on_in_the_next_line(qtbot, centred: bool) -> None:
    box = QWidget()
    qtbot.addWidget(box)
    flow = FlowLayout(box, centred=centred)
    buttons = [QuietButton(f"Number {number}") for number in range(3)]
    for button in buttons:
        flow.addWidget(button)
    wide = flow.sizeHint().width()
    box.resize(wide, flow.heightForWidth(wide))
    box.show()
    assert len({button.y() for button in buttons}) == 1
    narrow = buttons[0].sizeHint().width() + 4
    assert flow.heightForWidth(narrow) > 3 * buttons[0].height()
    box.resize(narrow, flow.heightForWidth(narrow))
    QApplication.processEvents()
    assert len({button.y() for button in buttons}) == 3
    assert [button.x() for button in buttons] == [2 * centred] * 3


def test_a_card_in_a_narrow_column_shows_all_its_words(qtbot) -> None:
    page = ScrollColumn("Card")
    qtbot.addWidget(page)
    card = InlineCard()
    page.box.addWidget(card)
    page.box.addStretch()
    page.resize(260, 600)
    page.show()
    card.show_note("Not deleted", "The server no longer accepts this sign-in, and says so at some length.", "Sign in.")
    QApplication.processEvents()
    for label in card.findChildren(Text):
        if label.isVisible():
            assert label.height() >= label.heightForWidth(label.width()), label.text()


def test_a_hidden_card_leaves_no_gap_on_its_page(qtbot) -> None:
    page = TitledPage("Title")
    qtbot.addWidget(page)
    page.set_body(body := QWidget())
    page.resize(400, 300)
    page.show()
    QApplication.processEvents()
    before = body.mapTo(page, QPoint(0, 0)).y()
    page.card.show_note("Something", "went wrong")
    QApplication.processEvents()
    assert body.mapTo(page, QPoint(0, 0)).y() > before + card_margins()
    page.card.clear()
    QApplication.processEvents()
    assert body.mapTo(page, QPoint(0, 0)).y() == before


def card_margins() -> int:
    return 2 * theme().px(tokens.SPACE_2)


def test_the_icon_of_a_disabled_button_is_as_readable_as_its_words(qtbot) -> None:
    image = icons.icon("play", "on_accent").pixmap(32, 32, QIcon.Mode.Disabled).toImage()
    spots = [(x, y) for x in range(image.width()) for y in range(image.height())]
    inks = {image.pixelColor(x, y).name() for x, y in spots if image.pixelColor(x, y).alpha() > 250}
    assert inks == {theme().colour("muted").name()}


def test_what_assistive_technology_toggles_is_chosen_once_as_by_a_click(qtbot: Any) -> None:
    choices = shown(qtbot, Segmented([("a", "A", "", "accent"), ("b", "B", "", "accent")], "Which"), (200, 24))
    box = shown(qtbot, CheckBox("Wrap"), (160, 24))
    told: list[object] = []
    choices.chosen.connect(told.append)
    box.switched.connect(told.append)
    choices.set_value("a")
    box.setChecked(True)
    assert told == []
    choices._buttons["b"].toggle()
    box.toggle()
    assert told == ["b", False]
    for control in (choices._buttons["a"], choices._buttons["a"], box):
        QTest.mouseClick(control, Qt.MouseButton.LeftButton)
    assert told == ["b", False, "a", "a", True]
    choices._buttons["b"].toggle()
    QTest.mouseClick(choices._buttons["b"], Qt.MouseButton.LeftButton)
    assert told[5:] == ["b", "b"]
