"""The picture of a sign-in: seen, read aloud and walked through, with any number of steps."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QColor, QGuiApplication, QHelpEvent, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QToolTip

from app.core.diagnostics.history import SpanKind
from app.core.diagnostics.timeline import StepKind
from app.ui.shell import history_words
from app.ui.shell.details import SignInDetails
from app.ui.shell.history_picture import LANE, HistoryPicture
from app.ui.theme import apply_theme, theme
from tests.ui._tasks_fakes import until
from tests.ui._window import living
from tests.ui.test_details import page, signed_in, step

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

NOW = time.time()
HEALED = (
    step(2, StepKind.RENEWED, 100.0, key="2", after=5),
    step(1, StepKind.SIGNED_IN, 500.0, key="1", after=4, cause="browser", target=""),
)


def drawn(picture: HistoryPicture, width: int = 700) -> QImage:
    picture.resize(width, picture.sizeHint().height())
    return picture.grab().toImage()


def colours(image: QImage, row: int, height: int) -> set[str]:
    """The colours in one lane."""
    ratio = image.devicePixelRatio()
    rows = range(int(row * height * ratio), int((row + 1) * height * ratio))
    return {QColor(image.pixel(x, y)).name() for y in rows for x in range(image.width())}


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_a_refused_token_and_the_one_that_healed_it_look_different(qapp: QApplication, mode: str, scale: float) -> None:
    apply_theme(qapp, mode, scale)  # type: ignore[arg-type]
    picture = HistoryPicture()
    picture.show_steps(HEALED, float("inf"), now=NOW)
    image = drawn(picture)
    tokens = colours(image, 0, theme().px(LANE))
    assert {theme().colour("attention_fill").name(), theme().colour("good_fill").name()} <= tokens
    assert theme().colour("good_fill").name() not in colours(image, 1, theme().px(LANE))
    apply_theme(qapp, "light", 1.0)


@pytest.mark.parametrize("count", [0, 1, 500])
def test_any_number_of_steps_is_drawn(qapp: QApplication, count: int, caplog: pytest.LogCaptureFixture) -> None:
    kinds = list(StepKind)
    steps = [step(n, kinds[n % len(kinds)], 10.0 * n, key=str(n), process=f"window {n % 9}") for n in range(count)]
    picture = HistoryPicture()
    picture.show_steps(steps, float("inf"))
    for width in (60, 300, 1200):
        assert not drawn(picture, width).isNull()
    assert picture.sizeHint().height() <= 7 * theme().px(LANE)
    assert not caplog.records
    assert bool(picture.accessibleDescription())


def test_a_span_says_what_it_is(qapp: QApplication) -> None:
    picture = HistoryPicture()
    picture.show_steps(HEALED, float("inf"), now=NOW)
    first, _signed_in, second, renewal = sorted(
        picture.history.spans, key=lambda span: (span.step.key, span.kind is SpanKind.STEP)
    )
    words = history_words.sentence(first)
    assert "Access token, generation 4" in words
    assert "Notion refused the old token, a new one was there after 41 ms" in words
    assert "still in force" in history_words.sentence(second)
    assert "Renewed" in history_words.sentence(renewal)


async def test_arrow_keys_go_from_span_to_span_and_the_list_follows(qapp: QApplication) -> None:
    async with page(signed_in(*HEALED)) as shown:
        dialog = shown.dialog
        await until(lambda: shown.rows == 2)
        picture = dialog.picture
        picture.setFocus(Qt.FocusReason.TabFocusReason)
        QTest.keyClick(picture, Qt.Key.Key_Home)
        first = picture.current
        assert first is picture.history.spans[0]
        seen = [dialog.line.text()]
        for _ in picture.history.spans[1:]:
            QTest.keyClick(picture, Qt.Key.Key_Right)
            seen.append(dialog.line.text())
            assert picture.accessibleDescription() == dialog.line.text()
            chosen = dialog.table.current()
            assert chosen is not None
            assert picture.current is not None
            assert chosen.key == picture.current.step.key
        assert len(set(seen)) == len(seen) == 4
        QTest.keyClick(picture, Qt.Key.Key_Right)
        assert picture.current is picture.history.spans[-1]
        QTest.keyClick(picture, Qt.Key.Key_Left)
        assert picture.current is picture.history.spans[-2]


async def test_a_click_goes_to_the_span_under_it(qapp: QApplication) -> None:
    async with page(signed_in(*HEALED)) as shown:
        await until(lambda: shown.rows == 2)
        picture = shown.dialog.picture
        picture.grab()
        span = next(span for span in picture.history.spans if span.kind is SpanKind.TOKEN)
        place = picture._rect(span).center().toPoint()
        QTest.mouseClick(picture, Qt.MouseButton.LeftButton, pos=QPoint(place))
        assert picture.current is span
        assert "generation 4" in shown.dialog.line.text()


async def test_hovering_over_a_span_says_its_line(qapp: QApplication) -> None:
    async with page(signed_in(*HEALED)) as shown:
        await until(lambda: shown.rows == 2)
        picture = shown.dialog.picture
        picture.grab()
        span = next(span for span in picture.history.spans if span.refused)
        place = picture._rect(span).center().toPoint()
        QApplication.sendEvent(picture, QHelpEvent(QEvent.Type.ToolTip, place, picture.mapToGlobal(place)))
        assert "a new one was there after" in QToolTip.text()
        nowhere = QPoint(1, picture.height() - 1)
        QApplication.sendEvent(picture, QHelpEvent(QEvent.Type.ToolTip, nowhere, picture.mapToGlobal(nowhere)))
        QToolTip.hideText()


async def test_a_line_of_the_list_is_copied_by_its_key_and_from_its_menu(qapp: QApplication) -> None:
    async with page(signed_in(*HEALED)) as shown:
        dialog = shown.dialog
        await until(lambda: shown.rows == 2)
        dialog.table.setFocus()
        QTest.keyClick(dialog.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        assert QGuiApplication.clipboard().text() == dialog.line.text() != ""
        dialog.table.menu_wanted.emit(dialog.table.current(), dialog.mapToGlobal(QPoint(5, 5)))
        menu = QApplication.activePopupWidget()
        assert menu is not None
        assert [action.text() for action in menu.actions()] == ["Copy line", "Copy everything"]
        menu.close()


async def test_nothing_is_drawn_where_nothing_has_happened(qapp: QApplication) -> None:
    async with page(signed_in()) as shown:
        await until(lambda: shown.dialog.empty.isVisible())
        assert not shown.dialog.picture.isVisible()


async def test_whoever_kills_a_token_sees_on_the_picture_what_healed_it(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path, opens=("SignInDetails",)) as alive:
        await alive.lab.kill_access_token()
        alive.tasks.refresh()
        alive.window.open_sign_in_details()
        (dialog,) = alive.window.findChildren(SignInDetails)

        def killed() -> bool:
            return any(span.refused for span in dialog.picture.history.spans)

        await until(killed, 15)
        span = next(span for span in dialog.picture.history.spans if span.refused)
        dialog.picture._go(span)
        assert "refused the old token, a new one was there after" in dialog.line.text()
        dialog.reject()
