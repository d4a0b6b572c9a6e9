"""A description of any length: its beginning at once, all of it on request, and nothing cut without a word."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QApplication, QScrollArea, QVBoxLayout, QWidget

from app.ui.tasks.description import PART_CHARACTERS, PART_LINES, DescriptionView, parts_of
from app.ui.tasks.markdown import MarkdownView
from app.ui.theme import apply_theme
from tests.ui._screens import nameless
from tests.ui._tasks_fakes import until

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

LONG = "\n".join(f"Line {number}: some **bold** text with code and 你好 مرحبا 🚀" for number in range(5_000))


@pytest.fixture
def view(qapp: QApplication) -> DescriptionView:
    apply_theme(qapp, "light", 1.0)
    area = QScrollArea(widgetResizable=True)
    inner = QWidget()
    box = QVBoxLayout(inner)
    made = DescriptionView("Description")
    made.area = area  # type: ignore[attr-defined]
    box.addWidget(made)
    box.addStretch()
    area.setWidget(inner)
    area.resize(700, 600)
    area.show()
    return made


def shown(view: DescriptionView) -> str:
    return "\n".join(each.toPlainText() for each in view.findChildren(MarkdownView) if not each.isHidden())


def test_the_parts_of_a_text_are_bounded_and_together_the_text() -> None:
    for text in (LONG, "word " * 100_000, "x" * 100_000, "", "one", "\n" * 1_000, "a\r\nb"):
        parts = list(parts_of(text))
        assert "".join("".join(parts).split()) == "".join(text.split())
        assert all(part.count("\n") <= PART_LINES and len(part) <= PART_CHARACTERS + 10 for part in parts)


def test_a_block_of_code_that_goes_over_a_cut_stays_code() -> None:
    parts = list(parts_of("```\n" + "\n".join("*code*" for _ in range(3 * PART_LINES)) + "\n```\n*after*"))
    assert len(parts) > 2
    for part in parts[:-1]:
        assert part.startswith("```")
        assert part.endswith("```")
    assert parts[-1].count("```") == 2


def test_a_short_text_is_shown_whole_without_a_word_about_it(view: DescriptionView) -> None:
    view.set_text("One **line**")
    assert shown(view) == "One line"
    assert not view.all_button.isVisibleTo(view)


async def test_of_a_long_text_the_beginning_is_shown_with_how_much_there_is_and_then_all_of_it(
    view: DescriptionView,
) -> None:
    view.set_text(LONG)
    assert not view.complete
    assert "Line 4999" not in shown(view)
    assert view.all_button.isVisibleTo(view)
    assert "of 5,000 lines" in view._hidden.text()
    view.all_button.click()
    await until(lambda: view.complete)
    await until(lambda: not view.all_button.isVisibleTo(view))
    assert "Line 4999" in shown(view)
    assert nameless(view) == []
    # The same text again, as after a refresh: it stays unfolded.
    view.set_text(LONG)
    assert view.complete


async def test_a_text_of_one_long_line_is_shown_whole_on_request(view: DescriptionView) -> None:
    view.set_text("word " * 60_000 + "end")
    assert "of 300,003 characters" in view._hidden.text()
    view.all_button.click()
    await until(lambda: view.complete)
    assert shown(view).endswith("end")


async def test_another_text_begins_folded_again(view: DescriptionView) -> None:
    view.set_text(LONG)
    view.all_button.click()
    await until(lambda: view.complete)
    view.set_text(LONG + "\nmore")
    assert not view.complete
    view.set_text("short")
    assert shown(view) == "short"


async def test_parts_out_of_view_are_not_laid_out_while_the_window_is_resized(
    view: DescriptionView, monkeypatch: pytest.MonkeyPatch
) -> None:
    view.set_text(LONG)
    view.all_button.click()
    await until(lambda: view.complete)
    QApplication.processEvents()
    fitted: list[MarkdownView] = []
    fit = MarkdownView._fit

    def note(each: MarkdownView) -> None:
        fitted.append(each)
        fit(each)

    monkeypatch.setattr(MarkdownView, "_fit", note)
    views = view.findChildren(MarkdownView)
    for each in views:
        # However slow this machine is.
        each._fit_soon.setInterval(60_000)
    for width in range(690, 640, -10):
        view.area.resize(width, 600)  # type: ignore[attr-defined]
        QApplication.processEvents()
    assert len(set(fitted)) < len(views) / 2
    # In the end each has the width.
    for each in views:
        if each._fit_soon.isActive():
            each._fit_soon.stop()
            each._fit_soon.timeout.emit()
    assert len({each._fitted_width for each in views}) == 1
