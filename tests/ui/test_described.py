"""Descriptions of others: bounded, whole on request, formatted by choice."""

from __future__ import annotations

from time import process_time

import pytest
from PySide6.QtWidgets import QApplication

from app.ui.theme import apply_theme
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.described import Described
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.prose import Prose
from app.ui.widgets.text import Text
from tests.ui._screens import nameless
from tests.ui._servers_fakes import FakeBackend, own, text_answer, tool, until
from tests.ui._tasks_fakes import settle
from tests.ui.test_servers_place import desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


def shown_text(view: Described) -> str:
    return next(text.text() for text in view.plain.findChildren(Text) if text.isVisibleTo(view.plain))


def test_a_description_of_megabytes_shows_its_beginning_at_once_and_all_on_request(qapp: QApplication) -> None:
    apply_theme(qapp, "light", 1.0)
    view = Described("Description")
    view.resize(500, 400)
    view.show()
    text = "word " * 400_000
    before = process_time()
    view.set_text(text)
    qapp.processEvents()
    assert process_time() - before < 0.5
    assert len(shown_text(view)) < 2_000
    before = process_time()
    next(button for button in view.findChildren(QuietButton) if "Show all" in button.text()).click()
    qapp.processEvents()
    assert process_time() - before < 0.5
    (whole,) = view.findChildren(ExactText)
    for _ in range(2_000):
        qapp.processEvents()
        if whole.complete:
            break
    assert whole.selected_source() == text
    assert nameless(view) == []
    view.set_text("another")
    qapp.processEvents()
    assert shown_text(view) == "another"
    view.deleteLater()


def test_direction_characters_in_a_description_are_marked(qapp: QApplication) -> None:
    apply_theme(qapp, "light", 1.0)
    view = Described("Description")
    view.set_text("delete\u202e all\u200b")
    assert shown_text(view) == "delete‹U+202E› all‹U+200B›"
    assert view.text() == "delete\u202e all\u200b"
    view.deleteLater()


def test_markdown_is_formatted_by_choice(qapp: QApplication) -> None:
    apply_theme(qapp, "light", 1.0)
    view = Described("Description")
    view.set_text("plain words")
    assert view.formatted.isHidden()
    view.set_text("# Title\n\n- one\n- two")
    assert not view.formatted.isHidden()
    view.formatted.click()
    prose = view.findChild(Prose)
    assert prose is not None
    assert prose.toPlainText().startswith("Title")
    view.formatted.click()
    assert prose.isHidden()
    view.set_text("")
    assert view.isHidden()
    view.deleteLater()


async def test_results_and_descriptions_share_the_choice(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        tools = [tool("find", description="# Find\n\n**all** of it"), tool("other", 1, description="- a\n- b")]
        await on.show(FakeBackend([own()], {"posthog": tools}))
        session = await on.open("posthog/find")
        page = on.place.page.tool
        (await on.run(query="x")).give(text_answer("# Title"))
        await until(lambda: session.result is not None)
        await settle()
        page.description.formatted.click()
        assert page.result.formatted.isChecked()
        assert page.result.area.findChildren(Prose)
        await on.open("posthog/other")
        assert page.description.formatted.isChecked()
