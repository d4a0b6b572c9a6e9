"""What can be read: every pair of colours that is painted, in both themes, as pixels of real widgets."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QColor, QFontInfo, QImage, QPainter, QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QStyle,
    QStyleOptionViewItem,
    QTextEdit,
    QWidget,
)

from app.ui.theme import State, apply_theme, theme, tokens
from app.ui.theme.tokens import DARK, GROUNDS, LIGHT, Colours, contrast, high_contrast
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import CheckBox, Segmented, TabStrip
from app.ui.widgets.fields import FilterField
from app.ui.widgets.lists import ListTable
from app.ui.widgets.mnemonics import show_mnemonics
from app.ui.widgets.rows import Row
from app.ui.widgets.text import Text
from tests.ui._pixels import colours, ground, painted, words_contrast

SCHEMES = {
    "light": LIGHT,
    "dark": DARK,
    "light, high contrast": high_contrast(LIGHT),
    "dark, high contrast": high_contrast(DARK),
}
READABLE, SEEN = 4.5, 3.0


def add(host: QWidget, widget: QWidget) -> None:
    layout = host.layout()
    assert layout is not None
    layout.addWidget(widget)
    widget.show()
    QApplication.processEvents()


def contrast_in(host: QWidget, widget: QWidget) -> float:
    """Of the words of a widget, where it stands. Without its border."""
    inner = widget.rect().adjusted(4, 4, -4, -4)
    return words_contrast(painted(host), QRect(widget.mapTo(host, inner.topLeft()), inner.size()))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
def test_disabled_words_can_be_seen_and_differ_from_enabled_ones(scheme: Colours) -> None:
    for name in GROUNDS:
        assert contrast(scheme.disabled, getattr(scheme, name)) >= SEEN
    assert scheme.disabled != scheme.muted


@pytest.mark.parametrize("of", [QLineEdit, FilterField, QPlainTextEdit, QTextEdit])
def test_a_placeholder_can_be_read(host: QWidget, of: type[QWidget]) -> None:
    field = FilterField("Filter tasks") if of is FilterField else of()
    if not isinstance(field, FilterField):
        field.setPlaceholderText("Filter tasks")  # type: ignore[attr-defined]
    add(host, field)
    assert contrast_in(host, field) >= READABLE


@pytest.mark.parametrize("of", [QLineEdit, FilterField, QPlainTextEdit, QTextEdit, QComboBox, QSpinBox])
def test_the_edge_of_what_can_be_filled_in_can_be_seen(host: QWidget, of: type[QWidget]) -> None:
    field = FilterField("Filter tasks") if of is FilterField else of()
    add(host, field)
    image, corner = painted(host), field.mapTo(host, QPoint(0, 0))
    edge = image.pixelColor(corner.x() + field.width() // 2, corner.y()).name()
    assert contrast(edge, theme().colours.surface) >= SEEN
    for name in GROUNDS:
        assert contrast(edge, getattr(theme().colours, name)) >= (SEEN if name != "selection" else 2.9)


def test_what_is_only_read_has_a_softer_edge_than_what_can_be_filled_in(host: QWidget) -> None:
    for text in (QPlainTextEdit(), QTextEdit(), QLineEdit()):
        text.setReadOnly(True)
        add(host, text)
        corner = text.mapTo(host, QPoint(text.width() // 2, 0))
        assert painted(host).pixelColor(corner).name() == theme().colours.border.lower()


def test_the_placeholder_of_a_combo_box_that_can_be_edited_can_be_read(host: QWidget) -> None:
    combo = QComboBox()
    combo.setEditable(True)
    edit = combo.lineEdit()
    assert edit is not None
    edit.setPlaceholderText("organization/repository")
    add(host, combo)
    assert contrast_in(host, edit) >= READABLE


def test_disabled_controls_can_be_seen(host: QWidget) -> None:
    field = QLineEdit("acme/web")
    disabled: list[QWidget] = [
        QuietButton("Archive", "archive"),
        QuietButton("Delete", kind="danger"),
        PrimaryButton("New task", "plus"),
        CheckBox("On"),
        field,
        Segmented([("a", "Form", "", "accent"), ("b", "JSON", "", "accent")], "View"),
    ]
    for control in disabled:
        control.setEnabled(False)
        add(host, control)
    for control in disabled:
        assert contrast_in(host, control) >= SEEN, control


def test_tabs_can_be_read_and_disabled_ones_seen(host: QWidget) -> None:
    tabs = TabStrip(["Log", "Data", "Text"], "Result")
    tabs.setTabEnabled(1, False)
    add(host, tabs)
    image, corner = painted(host), tabs.mapTo(host, QPoint(0, 4))
    found = [words_contrast(image, tabs.tabRect(at).adjusted(0, 4, 0, -8).translated(corner)) for at in range(3)]
    assert found[0] >= READABLE
    assert found[2] >= READABLE
    assert SEEN <= found[1] < found[2]


@pytest.mark.parametrize("two_lines", [False, True])
@pytest.mark.parametrize("how", ["plain", "hover", "selected", "selected and hover", "focus"])
def test_a_row_can_be_read_in_every_state(host: QWidget, how: str, two_lines: bool) -> None:
    table = ListTable("Tasks", two_lines=two_lines, show_words=True)
    states = [State("dot", tone, tone) for tone in tokens.TONES]
    table.set_rows(
        [Row(s.tone, "Fix it", "detail", state=s, side=s, badge="new", trailing="3 h", muted=True) for s in states]
    )
    add(host, table)
    option = QStyleOptionViewItem()
    table.initViewItemOption(option)
    for place in range(len(states)):
        index = table.rows.index(place, 0)
        option.rect = QRect(0, 0, 400, table.row_height())
        if "selected" in how:
            option.state |= QStyle.StateFlag.State_Selected
        if "hover" in how:
            option.state |= QStyle.StateFlag.State_MouseOver
        if how == "focus":
            table.keyboard_focus = True
            option.state |= QStyle.StateFlag.State_HasFocus
        image = QImage(400, table.row_height(), QImage.Format.Format_RGB32)
        image.fill(theme().colour("window"))
        painter = QPainter(image)
        table.itemDelegate().paint(painter, option, index)
        painter.end()
        assert words_contrast(image, image.rect().adjusted(40, 4, -40, -4)) >= READABLE
        if how == "focus":
            ring = colours(image, QRect(0, 0, 400, 2))
            below = ground(image, image.rect())
            assert max(contrast(colour, below) for colour in ring) >= SEEN


def test_the_weights_of_titles_heads_and_selected_rows_are_heavier_than_text(qapp: QApplication) -> None:
    apply_theme(qapp, "light")
    usual = QFontInfo(theme().font("body")).weight()
    for role in ("title", "section", "strong"):
        assert QFontInfo(theme().font(role)).weight() > usual, role


def test_a_letter_of_a_caption_is_underlined_only_while_alt_is_held(host: QWidget, qtbot) -> None:
    field, caption = QLineEdit(), Text("&Title")
    caption.setBuddy(field)
    box = CheckBox("&Wrap")
    for widget in (caption, field, box):
        add(host, widget)
    show_mnemonics(host)
    host.hide()
    host.show()
    host.activateWindow()
    field.setFocus()
    qtbot.waitExposed(host)
    handle = host.windowHandle()
    plain = painted(host)
    QTest.keyPress(handle, Qt.Key.Key_Alt)
    held = painted(host)
    QTest.keyRelease(handle, Qt.Key.Key_Alt)
    again = painted(host)
    for widget in (caption, box):
        where = QRect(widget.mapTo(host, QPoint(0, 0)), widget.size())
        assert plain.copy(where) != held.copy(where), widget
        assert plain.copy(where) == again.copy(where), widget


def test_every_colour_that_qt_takes_from_the_palette_can_be_read(host: QWidget) -> None:
    palette, role = host.palette(), QPalette.ColorRole
    pairs = [
        (role.WindowText, role.Window),
        (role.Text, role.Base),
        (role.Text, role.AlternateBase),
        (role.ButtonText, role.Button),
        (role.PlaceholderText, role.Base),
        (role.HighlightedText, role.Highlight),
        (role.ToolTipText, role.ToolTipBase),
        (role.Link, role.Window),
        (role.LinkVisited, role.Base),
    ]
    for words, below in pairs:
        found = contrast(palette.color(words).name(), palette.color(below).name())
        assert found >= READABLE, f"{words} on {below}: {found:.2f}"
    disabled = QPalette.ColorGroup.Disabled
    for words, below in ((role.WindowText, role.Window), (role.Text, role.Base), (role.ButtonText, role.Button)):
        assert contrast(palette.color(disabled, words).name(), palette.color(below).name()) >= SEEN


def test_text_selected_in_a_field_can_be_read(host: QWidget) -> None:
    for field in (QLineEdit("acme/web"), QPlainTextEdit("acme/web")):
        add(host, field)
        field.selectAll()
        field.setFocus()
        chosen = painted(field)
        accent = QColor(theme().colours.accent).name()
        assert accent in colours(chosen, chosen.rect())
        assert contrast(theme().colours.on_accent, accent) >= READABLE


def test_plain_labels_and_buttons_of_qt_can_be_read(host: QWidget) -> None:
    for widget in (QLabel("A label"), QPushButton("A button")):
        add(host, widget)
        assert contrast_in(host, widget) >= READABLE
