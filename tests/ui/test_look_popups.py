"""Everything that pops up can be read in both themes: suggestions, choices, menus, dialogs, tooltips."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PySide6.QtCore import QAbstractItemModel, QPoint, QRect, QStringListModel
from PySide6.QtGui import QContextMenuEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QCompleter,
    QDialog,
    QFileDialog,
    QLabel,
    QLineEdit,
    QListView,
    QMenu,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QTableView,
    QToolTip,
    QTreeView,
    QWidget,
)

from app.core.posthog.task_fields import TASK_FIELDS
from app.ui.tasks.field_inputs import SuggestedInput
from app.ui.theme import theme, tokens
from app.ui.widgets.choices import Select
from app.ui.widgets.fields import FilterField
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.menus import CheckMenu
from app.ui.widgets.plain_text import PlainTextEdit
from tests.ui._pixels import BENEATH, ground, painted, words_contrast

READABLE = 4.5


def add(host: QWidget, widget: QWidget) -> None:
    layout = host.layout()
    assert layout is not None
    layout.addWidget(widget)
    QApplication.processEvents()


def rows_of(view: QAbstractItemView) -> list[QRect]:
    model: QAbstractItemModel = view.model()
    return [view.visualRect(model.index(row, 0, view.rootIndex())) for row in range(model.rowCount(view.rootIndex()))]


def check_list(view: QAbstractItemView, chosen: int) -> None:
    """Every row can be read on a ground of its own, and the chosen one has the tint of the lists."""
    QApplication.processEvents()
    image = painted(view.viewport())
    for number, row in enumerate(rows_of(view)):
        assert ground(image, row) != BENEATH, f"row {number} has no ground"
        assert words_contrast(image, row) >= READABLE, f"row {number}"
        assert row.height() >= tokens.TARGET
    wanted = theme().colour("selection").name()
    assert ground(image, rows_of(view)[chosen]) == wanted


@pytest.mark.parametrize("of", [QLineEdit, QComboBox])
def test_suggestions_can_be_read(host: QWidget, of: type[QLineEdit | QComboBox]) -> None:
    field = of()
    add(host, field)
    if isinstance(field, QComboBox):
        field.setEditable(True)
        field.addItems(["acme/web", "acme/api"])
    completer = QCompleter(["acme/web", "acme/api"], field)
    field.setCompleter(completer)
    completer.setCompletionPrefix("acme")
    completer.complete()
    popup = completer.popup()
    popup.setCurrentIndex(completer.completionModel().index(0, 0))
    check_list(popup, 0)
    popup.close()


@pytest.mark.parametrize("editable", [False, True])
def test_the_choices_of_a_combo_box_can_be_read(host: QWidget, editable: bool) -> None:
    for combo in (QComboBox(), Select("Place", [("a", "One"), ("b", "Two"), ("c", "Three")])):
        combo.setEditable(editable)
        if combo.count() == 0:
            combo.addItems(["One", "Two", "Three"])
        combo.setCurrentIndex(1)
        add(host, combo)
        combo.showPopup()
        check_list(combo.view(), 1)
        combo.hidePopup()


@pytest.mark.parametrize("kind", [QListView, QTreeView, QTableView])
def test_a_list_of_any_kind_has_a_ground_of_its_own(host: QWidget, kind: type[QAbstractItemView]) -> None:
    view = kind()
    model = QStringListModel(["One", "Two"], view)
    view.setModel(model)
    add(host, view)
    image = painted(view.viewport())
    assert ground(image, view.viewport().rect()) == theme().colour("surface").name()
    assert all(words_contrast(image, row) >= READABLE for row in rows_of(view))


def check_menu(menu: QMenu, active: QPoint | None = None) -> None:
    menu.popup(QPoint(0, 0))
    QApplication.processEvents()
    image = painted(menu)
    for action in menu.actions():
        where = menu.actionGeometry(action)
        if action.isSeparator():
            assert not action.text(), f"the words {action.text()!r} are not drawn"
            continue
        assert ground(image, where) != BENEATH
        assert words_contrast(image, where) >= READABLE, action.text()
        assert where.height() >= tokens.TARGET
    menu.close()


def test_a_menu_with_headings_checks_keys_and_disabled_entries_can_be_read(host: QWidget) -> None:
    menu = CheckMenu(parent=host)
    heading = menu.add_heading("Group by")
    state = menu.addAction("State")
    state.setCheckable(True)
    state.setChecked(True)
    menu.add_heading("Order")
    menu.addAction("Newest first").setEnabled(False)
    menu.addAction("Open", QKeySequence("Ctrl+O"), lambda: None)
    menu.setActiveAction(state)
    assert not heading.isEnabled()
    assert [action.isSeparator() for action in menu.actions()] == [False, False, True, False, False, False]
    check_menu(menu)


@pytest.mark.parametrize("of", [QLineEdit, QPlainTextEdit])
def test_the_context_menu_of_a_field_can_be_read(host: QWidget, of: type[QLineEdit | QPlainTextEdit]) -> None:
    field = of()
    add(host, field)
    field.selectAll()
    check_menu(field.createStandardContextMenu())


def test_a_message_can_be_read(host: QWidget) -> None:
    box = QMessageBox(host)
    box.setText("Delete 3 tasks?")
    box.setInformativeText("This cannot be undone.")
    box.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
    box.open()
    check_words_of(box)


def test_the_dialog_for_files_can_be_read(host: QWidget, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("x")
    dialog = QFileDialog(host, "Save", str(tmp_path))
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.open()
    check_words_of(dialog)


def check_words_of(dialog: QDialog) -> None:
    QApplication.processEvents()
    image = painted(dialog)
    parts: list[QWidget] = [*dialog.findChildren(QLabel), *dialog.findChildren(QPushButton)]
    for part in parts:
        if part.isVisible() and part.text().strip():  # type: ignore[attr-defined]
            where = QRect(part.mapTo(dialog, QPoint(0, 0)), part.size())
            assert words_contrast(image, where) >= (READABLE if part.isEnabled() else 3), part.text()  # type: ignore[attr-defined]
    for view in dialog.findChildren(QAbstractItemView):
        if view.isVisible():
            lines = painted(view.viewport())
            assert ground(lines, lines.rect()) != BENEATH
            for row in filter(QRect.isValid, rows_of(view)):
                assert words_contrast(lines, row) >= READABLE
    dialog.close()


def test_a_tooltip_can_be_read(host: QWidget, qtbot) -> None:
    QToolTip.showText(host.mapToGlobal(QPoint(5, 5)), "Refresh (F5)", host)
    qtbot.waitUntil(lambda: any(w.inherits("QTipLabel") and w.isVisible() for w in QApplication.topLevelWidgets()))
    tip = next(w for w in QApplication.topLevelWidgets() if w.inherits("QTipLabel") and w.isVisible())
    image = painted(tip)
    assert ground(image, image.rect()) != BENEATH
    assert words_contrast(image, image.rect()) >= READABLE
    QToolTip.hideText()


def test_no_menu_of_the_window_uses_a_section_which_the_stylesheet_draws_without_its_words() -> None:
    sections = re.compile(r"\.(addSection|insertSection)\(")
    found = [path for path in Path("app/ui").rglob("*.py") if sections.search(path.read_text("utf-8"))]
    assert found == []


def _context_menu(widget: QWidget, of: QWidget) -> QMenu:
    event = QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, QPoint(2, 2), widget.mapToGlobal(QPoint(2, 2)))
    QApplication.sendEvent(widget, event)
    QApplication.processEvents()
    return next(each for each in of.findChildren(QMenu) if each.isVisible())


@pytest.mark.parametrize("of", [LineEdit, FilterField, PlainTextEdit])
def test_the_menu_of_a_field_underlines_no_letter(qtbot, of: type[QWidget]) -> None:
    field = FilterField("Filter tasks") if of is FilterField else of()
    qtbot.addWidget(field)
    field.show()
    menu = _context_menu(field, field)
    entries = [action.text() for action in menu.actions() if not action.isSeparator()]
    assert any(entry.startswith("Paste") for entry in entries)
    assert not [entry for entry in entries if "&" in entry]
    menu.close()


def test_the_menu_of_a_field_with_suggestions_underlines_no_letter(qtbot) -> None:
    box = SuggestedInput(next(each for each in TASK_FIELDS if each.name == "repository"))
    qtbot.addWidget(box)
    box.show()
    line = box.lineEdit()
    assert line is not None
    # Its words begin where those of the other fields do.
    assert line.mapTo(box, line.cursorRect().center()).x() <= theme().px(tokens.SPACE_3)
    menu = _context_menu(line, line)
    assert not [action.text() for action in menu.actions() if "&" in action.text()]
    menu.close()
