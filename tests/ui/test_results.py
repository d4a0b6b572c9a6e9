"""Results of any size and shape: what a person sees of them, and that the window goes on meanwhile."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PySide6.QtCore import QBuffer, QIODevice, Qt
from PySide6.QtGui import QGuiApplication, QImage, QKeySequence, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from app.core.mcp.json_text import write_json
from app.core.mcp.results.exact import exact_data
from app.core.mcp.results.parsing import call_result
from app.ui.bridge import Bridge
from app.ui.servers.picture_loader import PIXEL_BUDGET
from app.ui.servers.result import CONTENT, DATA, HISTORY, RAW, ResultView
from app.ui.theme import apply_theme
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.jsontable import JsonTable
from app.ui.widgets.jsontree import OPENED_LINES, JsonTree
from app.ui.widgets.pictures import Picture
from app.ui.widgets.prose import Prose
from app.ui.widgets.text import Text
from tests.ui._screens import nameless
from tests.ui._tasks_fakes import until

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", "libpng", "qt.gui.imageio", extend=True)


class Shown:
    """A result view, and what it asked for."""

    def __init__(self, view: ResultView) -> None:
        self.view = view
        self.saved: list[tuple[str, bytes]] = []
        self.read: list[str] = []
        view.save_wanted.connect(lambda name, data: self.saved.append((name, data)))
        view.read_wanted.connect(self.read.append)

    def show(self, raw: Any, message: bytes = b"") -> None:
        self.view.show_result(call_result(raw, 0.1, message))

    def words(self) -> str:
        return "\n".join(text.text() for text in self.view.area.findChildren(Text))

    async def press(self, name: str) -> None:
        def there() -> list[QuietButton]:
            buttons = self.view.findChildren(QuietButton)
            return [button for button in buttons if name in button.text() and button.isVisible()]

        await until(there)
        there()[0].click()

    def find(self, kind: type[Any]) -> list[Any]:
        return self.view.area.findChildren(kind)


@asynccontextmanager
async def shown(qapp: QApplication, width: int = 800, height: int = 500) -> AsyncIterator[Shown]:
    apply_theme(qapp, "light", 1.0)
    bridge = Bridge()
    failures: list[BaseException] = []
    bridge.crashed.connect(failures.append)
    view = ResultView(bridge)
    view.resize(width, height)
    view.show()
    try:
        yield Shown(view)
        assert failures == []
    finally:
        await bridge.close()
        view.close()
        view.deleteLater()
        await asyncio.sleep(0)


def picture(width: int, height: int, form: str = "png") -> bytes:
    image = QImage(width, height, QImage.Format.Format_RGB32)
    image.fill(0x336699)
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    assert image.save(buffer, form)
    return bytes(buffer.data())


def image_block(data: bytes, mime: str | None = "image/png") -> dict[str, Any]:
    block = {"type": "image", "data": base64.b64encode(data).decode()}
    return block if mime is None else {**block, "mimeType": mime}


def texts(*values: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value} for value in values]}


async def longest_wait(until_true: Callable[[], bool], seconds: float = 30.0) -> float:
    """How long the loop did not answer while a condition became true, in seconds."""
    worst, end = 0.0, time.monotonic() + seconds
    while not until_true():
        assert time.monotonic() < end
        # The time of this thread: neither that of the workers, nor of other programs.
        before = time.thread_time()
        await asyncio.sleep(0.001)
        worst = max(worst, time.thread_time() - before)
    return worst


async def test_pictures_beyond_the_budget_are_files_and_the_window_goes_on(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        data = picture(7000, 7000)
        on.show({"content": [image_block(data) for _ in range(10)]})
        worst = await longest_wait(lambda: on.find(Picture) and "too large to show together" in on.words())
        assert worst < 1.0
        assert len(on.find(Picture)) == 1
        (one,) = on.find(Picture)
        assert one.image.width() * one.image.height() < 9_000_000
        assert "7000 × 7000" in on.words()
        assert one.image.sizeInBytes() < PIXEL_BUDGET
        await on.press("Save")
        assert on.saved == [("picture.png", data)]


@pytest.mark.parametrize("form", ["png", "jpeg", "bmp", "webp", "tiff", "ico"])
@pytest.mark.parametrize("mime", ["image/png", None, "application/json", "image/svg+xml"])
async def test_a_picture_is_shown_whatever_the_server_calls_it(qapp: QApplication, form: str, mime: str | None) -> None:
    async with shown(qapp) as on:
        on.show({"content": [image_block(picture(40, 30, form), mime)]})
        await until(lambda: on.find(Picture))
        assert on.view.tabs.tabText(CONTENT) == "Picture"
        assert nameless(on.view) == []


async def test_a_picture_in_any_block_is_shown(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        sent = base64.urlsafe_b64encode(picture(40, 30)).decode().rstrip("=")
        on.show(
            {
                "content": [
                    {"type": "resource", "resource": {"uri": "a:b", "blob": sent}},
                    {"type": "audio", "data": f"data:audio/wav;base64,{sent}"},
                ]
            }
        )
        await until(lambda: len(on.find(Picture)) == 2)


async def test_a_truncated_and_an_empty_picture_say_so(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        noise = QImage(200, 200, QImage.Format.Format_RGB32)
        random.seed(1)
        for x in range(200):
            for y in range(200):
                noise.setPixel(x, y, random.getrandbits(24))
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        noise.save(buffer, "png")
        whole = bytes(buffer.data())
        on.show({"content": [image_block(whole[:30]), image_block(b""), image_block(b"\x89PNG\r\n\x1a\n")]})
        await until(lambda: on.words().count("This picture is not shown.") == 3)
        assert "damaged" in on.words()
        assert "empty" in on.words()
        on.show({"content": [image_block(whole[: len(whole) // 2])]})
        await until(lambda: on.find(Picture) or "damaged" in on.words())


DRAWING = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>"


@pytest.mark.parametrize("mime", ["image/svg+xml", "image/png", None, "image/svg+xml; charset=utf-8"])
async def test_a_drawing_is_a_file(qapp: QApplication, mime: str | None) -> None:
    import gzip

    async with shown(qapp) as on:
        for data in (DRAWING, gzip.compress(DRAWING)):
            on.show({"content": [image_block(data, mime)]})
            await until(lambda: "is not shown" in on.words())
            assert on.find(Picture) == []
            on.saved.clear()
            await on.press("Save")
            assert on.saved[0][1] == data
        blob = base64.b64encode(DRAWING).decode()
        on.show({"content": [{"type": "resource", "resource": {"uri": "x:y.svg", "blob": blob}}]})
        await until(lambda: "does not draw SVG" in on.words())


async def test_content_that_is_no_base64_gives_the_reason_and_can_be_saved(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        on.show({"content": [{"type": "image", "data": "not base64 é", "mimeType": "image/png"}]})
        assert "is not base64" in on.words()
        await on.press("Save")
        assert on.saved == [("data.txt", "not base64 é".encode())]


async def test_thousands_of_texts_open_at_once_and_each_comes_into_view(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        on.show(texts(*(f"text {number}" for number in range(5_000))))
        assert len(on.find(ExactText)) <= 60
        bar = on.view.area.verticalScrollBar()
        await until(lambda: bar.maximum() > 50_000)
        for _ in range(8):
            bar.setValue(bar.maximum())
            await asyncio.sleep(0.02)
        await until(lambda: any(each.source == "text 4999" for each in on.find(ExactText)))
        assert len(on.find(ExactText)) < 600
        bar.setValue(bar.maximum() // 2)
        await until(
            lambda: any(
                1_500 < int(each.source.split()[1]) < 3_500 and not each.visibleRegion().isEmpty()
                for each in on.find(ExactText)
            )
        )


async def test_fifty_thousand_blocks_cost_little_more_than_reading_them(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        result = call_result(texts(*("text" for _ in range(50_000))), 0.1)
        before = time.process_time()
        on.view.show_result(result)
        await until(lambda: len(on.find(ExactText)) >= 10)
        bar = on.view.area.verticalScrollBar()
        await until(lambda: bar.maximum() > 500_000)
        for place in (1, 3, 2):
            bar.setValue(bar.maximum() * place // 3)
            await until(lambda: any(not each.visibleRegion().isEmpty() for each in on.find(ExactText)))
        assert time.process_time() - before < 4.0
        assert len(on.find(ExactText)) < 600


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "lorem ipsum " * 90_000, "a line\n" * 140_000, "\r\n" * 300_000, "🧑‍🚀\u202e\u200b" * 100_000],
)
async def test_a_long_text_shows_its_beginning_then_all_of_it_and_is_saved_exactly(
    qapp: QApplication, text: str
) -> None:
    async with shown(qapp) as on:
        on.show(texts(text))
        (edit,) = on.find(ExactText)
        assert not edit.complete
        assert "The first 200 KB of" in on.words()
        await on.press("Show all")
        assert await longest_wait(lambda: edit.complete, 60) < 1.0
        await on.press("Save full text")
        assert on.saved == [("result.txt", text.encode())]
        edit.selectAll()
        assert edit.selected_source() == text


TEXT = some.text(some.characters(blacklist_categories=[]) | some.sampled_from("\r\n\t\u2028\u2029\u202e\u200d\xa0é🧑"))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, some.integers(0, 60), some.integers(0, 60))
def test_what_is_copied_is_exactly_what_is_behind_the_selection(
    qapp: QApplication, text: str, first: int, last: int
) -> None:
    edit = ExactText("Text")
    edit.set_source(text, len(text))
    edit.selectAll()
    assert edit.selected_source() == text
    # Any selection is a part of the source, and the parts before, in and behind it make the whole.
    end = edit.document().characterCount() - 1
    places = sorted((min(first, end), min(last, end)))
    parts = []
    for start, stop in ((0, places[0]), tuple(places), (places[1], end)):
        cursor = edit.textCursor()
        cursor.setPosition(start)
        cursor.setPosition(stop, QTextCursor.MoveMode.KeepAnchor)
        edit.setTextCursor(cursor)
        parts.append(edit.selected_source() if cursor.hasSelection() else "")
    assert "".join(parts) == text
    edit.deleteLater()


async def test_direction_and_invisible_characters_are_marked_and_copied_as_they_are(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        link = {"type": "resource_link", "uri": "doc://a\u200bb", "name": "x", "title": "delete\u202e_all"}
        on.show({"content": [{"type": "text", "text": "a\u202eb\u2028c\xa0d"}, link]})
        (edit,) = on.find(ExactText)
        assert "‹U+202E›" in edit.toPlainText()
        edit.setFocus()
        QTest.keyClick(edit, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        assert QGuiApplication.clipboard().text() == "a\u202eb\u2028c\xa0d"
        assert "delete‹U+202E›_all" in on.words()
        assert "doc://a‹U+200B›b" in on.words()


MESSAGE = (
    b'{ "jsonrpc":"2.0", "id":1,\n "result": {"structuredContent":{"z":1e400,"a":0.10,"pi":3.14159265358979323846},'
    b' "content":[]}}'
)


async def test_raw_is_the_answers_own_bytes_and_data_rounds_nothing(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        on.show({"content": [], "structuredContent": {"z": 1.0, "a": 0.1, "pi": 3.14}}, MESSAGE)
        assert on.view.tabs.currentIndex() == DATA
        tree = on.view.tree
        tree.setCurrentIndex(tree.values.index(2, 0))
        assert tree.current_text() == "3.14159265358979323846"
        tree.setCurrentIndex(tree.values.index(0, 0))
        assert Decimal(tree.current_text()) == Decimal("1e400")
        on.view.tabs.setCurrentIndex(RAW)
        assert on.view.raw.source.encode() == MESSAGE
        await on.press("Save full answer")
        assert on.saved == [("result.json", MESSAGE)]
        on.view.copy_json()
        assert QGuiApplication.clipboard().text().encode() == MESSAGE


async def test_a_name_that_appears_twice_is_said(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        message = b'{"result":{"structuredContent":{"a":1,"a":2},"content":[]}}'
        on.show({"content": [], "structuredContent": {"a": 2}}, message)
        assert "appears twice" in "".join(text.text() for text in on.view.data.findChildren(Text))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"content": []}, "Done. The tool returned no content."),
        ({}, "Done. The tool returned no content."),
        ({"content": [], "structuredContent": {"a": 1}}, "Done. The tool returned data only."),
    ],
)
async def test_an_empty_success_is_worded(qapp: QApplication, raw: Any, said: str) -> None:
    async with shown(qapp) as on:
        on.show(raw)
        assert said in on.words()
        assert on.view.card.isHidden()


async def test_an_error_without_content_says_that_it_has_no_reason(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        on.show({"content": [], "isError": True})
        assert "It does not say why" in on.view.card.text()
        assert "Done" not in on.words()
        on.show({"content": [{"type": "text", "text": "bad path"}], "isError": True})
        assert "What it says is below" in on.view.card.text()


@pytest.mark.parametrize(
    ("blocks", "name"),
    [
        ([{"type": "text", "text": "a"}], "Text"),
        ([{"type": "audio", "data": "AAAA"}], "Audio"),
        ([{"type": "resource_link", "uri": "a:b"}], "Link"),
        ([{"type": "text", "text": "a"}, {"type": "audio", "data": "AAAA"}], "Content"),
    ],
)
async def test_the_first_tab_is_called_by_what_it_holds(qapp: QApplication, blocks: Any, name: str) -> None:
    async with shown(qapp) as on:
        on.show({"content": blocks})
        assert on.view.tabs.tabText(CONTENT) == name


async def test_a_hundred_thousand_objects_are_a_table_at_once(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        rows = [{"id": number, "name": f"n{number}", "nested": {"a": number}} for number in range(100_000)]
        text = write_json({"jsonrpc": "2.0", "id": 1, "result": {"structuredContent": rows, "content": []}})
        on.show({"content": [], "structuredContent": rows}, text.encode())
        await until(lambda: on.view.data.table.values.rowCount() == 100_000, 20)
        table = on.view.data.table
        assert table.isVisible()
        assert table.values.columns == ("id", "name", "nested")
        table.clearSelection()
        table.setCurrentIndex(table.values.index(99_999, 1))
        table.copy_cells()
        assert QGuiApplication.clipboard().text() == "n99999"
        on.view.data.view.setCurrentIndex(0)
        assert on.view.tree.isVisible()


def opened(tree: JsonTree) -> int:
    """How many lines are open of a value whose every line has one below it."""
    count, index = 0, tree.values.index(0, 0)
    while tree.isExpanded(index):
        count, index = count + 1, tree.indexBelow(index)
    return count


async def test_a_large_object_and_a_deep_one_open_as_a_tree(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        wide = {f"k{number}": number for number in range(200_000)}
        on.show({"content": [], "structuredContent": wide})
        await until(lambda: on.view.tree.values.rowCount() > 0, 20)
        before = time.process_time()
        for _ in range(100):
            on.view.tree.values.fetchMore(on.view.tree.rootIndex())
        assert time.process_time() - before < 3.0
        deep: Any = 1
        for _ in range(5_000):
            deep = [deep]
        on.show({"content": [], "structuredContent": {"deep": deep}})
        on.view.tree.setCurrentIndex(on.view.tree.values.index(0, 0))
        on.view.tree.copy_value()
        before = time.process_time()
        on.view.tree.expand_below()
        on.view.tree.executeDelayedItemsLayout()
        assert time.process_time() - before < 3.0
        assert opened(on.view.tree) == OPENED_LINES
        on.view.tabs.setCurrentIndex(RAW)
        assert on.view.raw.source


def table_of(rows: list[dict[str, Any]], columns: list[str]) -> JsonTable:
    table = JsonTable("Table", write=lambda value: write_json(value, indent=None))
    table.set_rows(rows, columns)
    return table


def test_a_table_sorts_by_value_and_back(qapp: QApplication) -> None:
    apply_theme(qapp, "light", 1.0)
    nine: Any = Decimal("9.5")
    rows: list[dict[str, Any]] = [{"v": 10}, {"v": "b"}, {"v": nine}, {}, {"v": None}, {"v": "a"}, {"v": True}]
    table = table_of(rows, ["v"])
    table.sort_by_current()
    assert [row.get("v", "absent") for row in table.values.rows] == [True, Decimal("9.5"), 10, "a", "b", "absent", None]
    table.sort_by_current()
    assert [row.get("v", "absent") for row in table.values.rows] == ["b", "a", 10, Decimal("9.5"), True, "absent", None]
    table.sort_by_current()
    assert list(table.values.rows) == rows
    table.deleteLater()


def test_a_table_copies_cells_rows_and_csv_exactly(qapp: QApplication) -> None:
    apply_theme(qapp, "light", 1.0)
    rows = [{"a": Decimal("1.10"), "b": 'x,"y"\nz', "c": None}, {"a": 10**30, "c": {"d": [1]}}]
    table = table_of(rows, ["a", "b", "c"])
    clipboard = QGuiApplication.clipboard()
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert clipboard.text() == "1.10"
    table.copy_rows()
    assert clipboard.text() == '{"a": 1.10, "b": "x,\\"y\\"\\nz", "c": null}'
    table.copy_all_csv()
    lines = clipboard.text().replace("\r\n", "\n")
    assert lines == 'a,b,c\n1.10,"x,""y""\nz",null\n1000000000000000000000000000000,,"{""d"": [1]}"\n'
    table.deleteLater()


async def test_markdown_is_formatted_by_choice_and_the_choice_is_told(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        told: list[bool] = []
        on.view.formatted_changed.connect(told.append)
        on.show(texts("# Title\n\n**bold** ![x](file:///etc/passwd)"))
        assert on.find(Prose) == []
        assert on.view.formatted.isVisible()
        on.view.formatted.click()
        assert told == [True]
        assert on.find(Prose)[0].toPlainText().startswith("Title")
        on.view.formatted.click()
        await until(lambda: on.find(ExactText))
        on.show(texts("plain"))
        assert on.view.formatted.isHidden()


async def test_the_view_is_worked_by_keyboard_alone(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        blocks = [{"type": "text", "text": "a"}, image_block(picture(40, 30))]
        on.show({"content": blocks, "structuredContent": [{"a": 1}]})
        await until(lambda: on.find(Picture))
        on.view.activateWindow()
        on.view.tabs.setFocus()
        names = set()
        for _ in range(12):
            QTest.keyClick(cast(QWidget, qapp.focusWidget()), Qt.Key.Key_Tab)
            focused = qapp.focusWidget()
            names.add(type(focused).__name__)
        assert {"ExactText", "Picture", "QuietButton", "TabStrip"} <= names
        on.view.tabs.setFocus()
        QTest.keyClick(on.view.tabs, Qt.Key.Key_Right)
        assert on.view.tabs.currentIndex() == DATA
        asked: list[str] = []
        on.view.copy_wanted.connect(asked.append)
        QTest.keySequence(on.view.tabs, QKeySequence("Ctrl+Shift+C"))
        menu = qapp.activePopupWidget()
        assert menu is not None
        for _ in range(3):
            QTest.keyClick(menu, Qt.Key.Key_Down)
        QTest.keyClick(menu, Qt.Key.Key_Return)
        assert len(asked) == 1
        assert nameless(on.view) == []


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | TEXT,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
BLOCK = some.fixed_dictionaries(
    {"type": some.sampled_from(["text", "image", "audio", "resource", "resource_link", "hologram"]) | JSON},
    optional=dict.fromkeys(("text", "data", "mimeType", "uri", "name", "description", "resource", "blob"), JSON),
)
RESULT = JSON | some.fixed_dictionaries(
    {},
    optional={
        "content": some.lists(BLOCK | JSON, max_size=4) | JSON,
        "structuredContent": JSON,
        "isError": JSON,
    },
)


async def test_a_result_of_any_shape_is_shown(qapp: QApplication, caplog: pytest.LogCaptureFixture) -> None:
    async with shown(qapp) as on:

        @settings(deadline=None, max_examples=80)
        @given(RESULT, some.booleans())
        def check(raw: Any, exact: bool) -> None:
            message = json.dumps({"result": raw}).encode() if exact else b""
            on.show(raw, message)
            for tab in (DATA, RAW, HISTORY, CONTENT):
                on.view.tabs.setCurrentIndex(tab)
                qapp.processEvents()
            on.view.data.view.setCurrentIndex(on.view.data.view.count() - 1)
            on.view.copy_text()
            on.view.copy_json()
            on.view.grab()

        check()
        assert "failed; the view shows nothing" not in caplog.text


def test_data_is_read_from_a_text_that_is_json_without_rounding() -> None:
    found = exact_data(call_result(texts('[{"a": 1.10}]'), 0))
    assert found.value == [{"a": Decimal("1.10")}]
    assert found.tables[0].columns == ("a",)
    assert not exact_data(call_result(texts("[not json"), 0)).present
    assert not exact_data(call_result(texts("1", "2"), 0)).present


SCHEMA = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"content": [], "structuredContent": {"count": "three"}}, "count"),
        ({"content": [], "structuredContent": {}}, "outputSchema"),
        ({"content": [], "structuredContent": None}, "outputSchema"),
        ({"content": []}, "the answer has none"),
        ({"content": [], "structuredContent": {"count": 3}}, ""),
        ({"content": [], "structuredContent": {"count": "three"}, "isError": True}, ""),
    ],
)
async def test_a_result_that_breaks_its_output_schema_says_so(qapp: QApplication, raw: Any, said: str) -> None:
    async with shown(qapp) as on:
        on.view.show_result(call_result(raw, 0.1), SCHEMA)
        if said:
            await until(lambda: said in "".join(text.text() for text in on.view.promise.findChildren(Text)))
            assert not on.view.promise.isHidden()
        else:
            await asyncio.sleep(0.3)
            assert on.view.promise.isHidden()
        on.show({"content": []})
        assert on.view.promise.isHidden()


async def test_an_output_schema_of_any_shape_is_tried(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        schemas: list[Any] = [
            {"type": "nonsense"},
            {"$ref": "#/nowhere"},
            {"pattern": "("},
            {},
            {"type": ["object", 1]},
        ]
        for schema in schemas:
            on.view.show_result(call_result({"structuredContent": {"a": 1}}, 0.1), schema)
            await asyncio.sleep(0.05)


async def test_an_error_of_megabytes_shows_its_beginning_in_the_card_and_the_rest_below(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        words = "It broke.\n" * 200_000
        before = time.process_time()
        on.view.show_card(None, 0.1, "The call failed", words, detail=words)
        on.view.grab()
        assert time.process_time() - before < 1.0
        assert len(on.view.card.text()) < 5_000
        assert [each.source for each in on.find(ExactText)] == [words, words]
        on.view.show_card(None, 0.1, "The call failed", "Short.")
        assert not on.view.stack.isVisible()


async def test_a_line_of_megabytes_is_cut_without_measuring_all_of_it(qapp: QApplication) -> None:
    from app.ui.widgets.text import ElidedLabel

    apply_theme(qapp, "light", 1.0)
    label = ElidedLabel("word " * 1_000_000)
    label.resize(200, 20)
    label.show()
    before = time.process_time()
    label.grab()
    assert time.process_time() - before < 0.3
    label.deleteLater()


async def test_the_copy_menu_offers_the_value_under_the_focus_first(qapp: QApplication) -> None:
    async with shown(qapp) as on:
        on.show({"content": [], "structuredContent": [{"a": Decimal("1.10")}]})
        on.view.activateWindow()
        await until(lambda: on.view.data.table.isVisible() and on.view.isActiveWindow())
        on.view.data.table.setFocus()
        QTest.keySequence(on.view.data.table, QKeySequence("Ctrl+Shift+C"))
        menu = qapp.activePopupWidget()
        assert isinstance(menu, QMenu)
        assert [action.text() for action in menu.actions()][:2] == ["Copy value", "Copy row as JSON"]
        QTest.keyClick(menu, Qt.Key.Key_Return)
        assert QGuiApplication.clipboard().text() == "1.10"


async def test_a_hundred_thousand_rows_are_copied_while_the_window_goes_on(qapp: QApplication) -> None:
    apply_theme(qapp, "light", 1.0)
    rows = [{"id": number, "nested": {"a": number}} for number in range(100_000)]
    table = table_of(rows, ["id", "nested"])
    copied: list[str] = []
    table.copied.connect(copied.append)
    for copy in (table.copy_all_csv, table.selectAll, table.copy_cells, table.copy_rows):
        copied.clear()
        copy()
        if copy != table.selectAll:
            assert await longest_wait(lambda: bool(copied), 60) < 1.0
            assert copied[0].count("\n") >= 99_999
    assert json.loads(copied[0]) == rows
    table.deleteLater()
