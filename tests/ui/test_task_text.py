"""Text that is typed into a task: never cut, and not touched by what arrives meanwhile."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QGuiApplication, QInputMethod, QInputMethodEvent, QKeySequence, QShortcut
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.core.posthog.task_fields import BY_NAME
from app.core.posthog.types import NewTask
from app.ui.bridge import Bridge
from app.ui.tasks.composer import Composer
from app.ui.tasks.field_inputs import SuggestedInput
from app.ui.theme import apply_theme
from tests.ui._tasks_fakes import FakeServices

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints|grabbing the keyboard|raise", extend=True)

CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def composer(qapp: QApplication) -> Composer:
    apply_theme(qapp, "light", 1.0)
    made = Composer(FakeServices(), Bridge())  # type: ignore[arg-type]
    made.resize(700, 600)
    made.show()
    made.activateWindow()
    return made


def sent(composer: Composer) -> list[NewTask]:
    found: list[NewTask] = []
    composer.submitted.connect(found.append)
    return found


def button(root: QWidget, words: str) -> QPushButton:
    return next(each for each in root.findChildren(QPushButton) if each.text() == words and each.isVisibleTo(root))


@pytest.mark.parametrize("length", [256, 300, 40_000])
def test_a_title_that_is_too_long_is_kept_whole_and_not_sent(composer: Composer, length: int) -> None:
    tasks, long = sent(composer), "t" * length
    QGuiApplication.clipboard().setText(long)
    composer.title.setFocus()
    composer.title.paste()
    assert composer.title.text() == long
    assert f"{length:,} characters" in composer.title.accessibleDescription()
    assert not composer.send.isEnabled()
    assert "255" in composer.send.toolTip()
    QTest.keyClick(composer.title, Qt.Key.Key_Return, CONTROL)
    assert tasks == []
    assert composer.title.text() == long


def test_a_title_that_is_too_long_can_be_moved_into_the_description(composer: Composer) -> None:
    tasks, long = sent(composer), "word " * 80
    composer.description.setPlainText("What is more.")
    composer.title.setText(long)
    button(composer, "Move it to the description").click()
    assert composer.title.text() == ""
    assert composer.send.isEnabled()
    QTest.keyClick(composer.description, Qt.Key.Key_Return, CONTROL)
    assert tasks == [NewTask(description=f"{long.strip()}\n\nWhat is more.")]


def test_a_title_of_255_characters_is_sent(composer: Composer) -> None:
    tasks = sent(composer)
    composer.title.setText("t" * 255)
    assert composer.send.isEnabled()
    assert composer.title.accessibleDescription() == ""
    composer.submit()
    assert tasks == [NewTask(title="t" * 255)]


def test_a_long_repository_is_kept_whole(composer: Composer) -> None:
    composer.repository.setEditText("o/" + "r" * 40_000)
    assert len(composer.repository.text()) == 40_002


def test_the_composer_starts_in_the_description(composer: Composer) -> None:
    composer.focus_first()
    assert QApplication.focusWidget() is composer.description


def test_tab_walks_through_the_fields_to_the_button(composer: Composer) -> None:
    composer.description.setPlainText("Words")
    composer.title.setFocus()
    walked = []
    for _ in range(4):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        walked.append(QApplication.focusWidget())
    assert walked[0] is composer.description
    assert walked[1] in {composer.repository, composer.repository.lineEdit()}
    assert walked[2] is composer.attached.attach_button
    assert walked[3] is composer.send


def test_new_suggestions_leave_cursor_and_undo_of_the_repository_alone(qapp: QApplication) -> None:
    field = SuggestedInput(BY_NAME["repository"])
    line = field.lineEdit()
    assert line is not None
    field.suggest(["acme/shop", "acme/web"])
    assert field.text() == ""
    QTest.keyClicks(line, "acme/we")
    line.setCursorPosition(3)
    typed: list[None] = []
    field.typed.connect(lambda: typed.append(None))
    field.suggest(["acme/api", "acme/web", "zed/x"])
    assert (field.text(), line.cursorPosition(), line.isUndoAvailable(), typed) == ("acme/we", 3, True, [])
    field.setCurrentIndex(2)
    line.setCursorPosition(2)
    field.suggest(["zed/x"])
    assert (field.text(), line.cursorPosition()) == ("acme/web", 2)
    line.undo()
    assert [field.itemText(row) for row in range(1, field.count())][-1] == "acme/web"
    field.suggest([])
    assert field.itemText(0) == ""


def suggesting(composer: Composer) -> QWidget:
    """The open popup with suggestions for what is typed as repository."""
    line, completer = composer.repository.lineEdit(), composer.repository.completer()
    assert line is not None
    assert completer is not None
    composer.set_repositories(["acme/api", "acme/web"])
    composer.repository.put("")
    line.setFocus()
    QTest.keyClicks(line, "acme/a")
    assert completer.popup().isVisible()
    return completer.popup()


def test_one_press_sends_the_task_while_suggestions_are_shown(composer: Composer) -> None:
    tasks, to_run = sent(composer), []
    composer.submitted_to_run.connect(to_run.append)
    composer.description.setPlainText("Words")
    QTest.keyClick(suggesting(composer), Qt.Key.Key_Return, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    assert (len(tasks), len(to_run)) == (0, 1)
    QTest.keyClick(suggesting(composer), Qt.Key.Key_Return, CONTROL)
    # What is typed, not what is suggested.
    assert [each.repository for each in tasks] == ["acme/a"]


def test_a_shortcut_of_the_window_works_while_suggestions_are_shown_and_typing_goes_on(composer: Composer) -> None:
    pressed: list[str] = []
    for keys in ("Ctrl+K", "F6"):
        QShortcut(QKeySequence(keys), composer, activated=lambda keys=keys: pressed.append(keys))
    QTest.keyClick(suggesting(composer), Qt.Key.Key_K, CONTROL)
    QTest.keyClick(suggesting(composer), Qt.Key.Key_F6)
    assert pressed == ["Ctrl+K", "F6"]
    popup = suggesting(composer)
    for key in (Qt.Key.Key_Control, Qt.Key.Key_Shift):
        QTest.keyClick(popup, key)
    QTest.keyClicks(popup, "p")
    # AltGr, as Windows tells it.
    QTest.keyClick(popup, "i", CONTROL | Qt.KeyboardModifier.AltModifier)
    assert (composer.repository.text()[:7], popup.isVisible()) == ("acme/ap", True)
    QTest.keyClick(popup, Qt.Key.Key_Down)
    QTest.keyClick(popup, Qt.Key.Key_Return)
    assert composer.repository.text() == "acme/api"


def test_control_enter_takes_over_what_an_input_method_composes(
    composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = sent(composer)
    composer.description.setPlainText("Fix ")
    composer.description.moveCursor(composer.description.textCursor().MoveOperation.End)
    composer.description.setFocus()
    QCoreApplication.sendEvent(composer.description, QInputMethodEvent("日本", []))
    assert composer.description.toPlainText() == "Fix "

    def commit(_method: QInputMethod) -> None:
        event = QInputMethodEvent()
        event.setCommitString("日本")
        QCoreApplication.sendEvent(composer.description, event)

    monkeypatch.setattr(QInputMethod, "commit", commit)
    QTest.keyClick(composer.description, Qt.Key.Key_Return, CONTROL)
    assert tasks == [NewTask(description="Fix 日本")]


def test_a_held_control_enter_sends_once(composer: Composer) -> None:
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QKeyEvent

    tasks = sent(composer)
    composer.description.setPlainText("Words")
    for repeated in (False, True, True):
        event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Return, CONTROL, "\r", repeated)
        QCoreApplication.sendEvent(composer.description, event)
    assert len(tasks) == 1
    assert composer.description.toPlainText() == "Words"
