"""Choices: a segmented control, a check box, a drop-down list, tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QRadioButton,
    QSizePolicy,
    QTabBar,
    QWidget,
)

from app.ui.theme import icons, theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.mirror import mirrored
from app.ui.widgets.mnemonics import mnemonic_flag
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QKeyEvent, QPaintEvent, QWheelEvent


class _Segment(QRadioButton):
    """One choice of a segmented control; a radio button to assistive technology."""

    def __init__(self, text: str, glyph: str, tone: str, place: str, parent: QWidget) -> None:
        super().__init__(text, parent)
        self._glyph, self._tone, self._place = glyph, tone, place
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        current = theme()
        # The chosen one is set in a heavier weight, and must not grow when it is chosen.
        width = max(QFontMetrics(current.font(role)).horizontalAdvance(self.text()) for role in ("body", "strong"))
        width += current.px(2 * tokens.SPACE_3)
        if self._glyph:
            width += current.px(tokens.ICON + tokens.SPACE_1)
        return QSize(width, current.px(tokens.CONTROL - 4))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def hitButton(self, pos: QPoint) -> bool:
        return self.rect().contains(pos)

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        current = theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        outline = self._outline()
        chosen, enabled = self.isChecked(), self.isEnabled()
        ground = "selection" if chosen else "hover" if self.underMouse() and enabled else "surface"
        painter.fillPath(outline, current.colour(ground if enabled or chosen else "window"))
        painter.strokePath(outline, QPen(current.colour("border"), 1))
        ink = current.colour(self._tone if chosen else "text" if enabled else "muted")
        font = current.font("strong" if chosen else "body")
        words = QFontMetrics(font).horizontalAdvance(self.text())
        # Its width is that of the heavier words, so the lighter ones stand in the middle.
        left = (self.width() - words - (current.px(tokens.ICON + tokens.SPACE_1) if self._glyph else 0)) // 2
        if self._glyph:
            side = current.px(tokens.ICON)
            colour = ink if chosen else current.colour("muted")
            box = mirrored(QRectF(left, (self.height() - side) / 2, side, side), self)
            icons.paint_icon(painter, self._glyph, box, colour)
            left += current.px(tokens.ICON + tokens.SPACE_1)
        painter.setPen(ink)
        painter.setFont(font)
        room = mirrored(self.rect().adjusted(left, 0, 0, 0), self)
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, self.text())
        if chosen:
            bar = QRectF(self.rect()).adjusted(1, self.height() - tokens.SELECTION_BAR - 1, -1, -1)
            painter.fillRect(bar, current.colour(self._tone))
        painter.end()

    def _outline(self) -> QPainterPath:
        rect = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        radius = theme().px(tokens.RADIUS_CONTROL)
        path = QPainterPath()
        path.addRoundedRect(rect, radius, radius)
        # Only the outer corners of the row are round.
        squared = QPainterPath()
        first, last = ("last", "first") if self.isRightToLeft() else ("first", "last")
        if self._place in {"middle", last}:
            squared.addRect(rect.adjusted(0, 0, -radius, 0))
        if self._place in {"middle", first}:
            squared.addRect(rect.adjusted(radius, 0, 0, 0))
        return path.united(squared).simplified()


class Segmented(QWidget):
    """A few exclusive choices side by side: one focus stop in which arrow keys move, read as a radio group."""

    chosen = Signal(str)

    def __init__(
        self,
        options: Sequence[tuple[str, str, str, str]],
        name: str,
        parent: QWidget | None = None,
    ) -> None:
        """`options`: (value, text, glyph or "", tone). `name` is what the group is called."""
        super().__init__(parent)
        self.setAccessibleName(name)
        self._buttons: dict[str, _Segment] = {}
        # Whether the code selects, and what the press under way has chosen.
        self._setting = False
        self._toggled_to: str | None = None
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for number, (value, text, glyph, tone) in enumerate(options):
            place = "first" if number == 0 else "last" if number == len(options) - 1 else "middle"
            button = _Segment(text, glyph, tone, place, self)
            button.setAccessibleName(f"{name}: {text}")
            button.pressed.connect(self._begin)
            button.toggled.connect(lambda checked, value=value: self._toggled(value, checked))
            button.clicked.connect(lambda _checked=False, value=value: self._clicked(value))
            self._buttons[value] = button
            self._group.addButton(button)
            row.addWidget(button)
        row.addStretch()
        self._keep_one_focus_stop()
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def value(self) -> str | None:
        """The chosen value; None before the first `set_value`."""
        return next((value for value, button in self._buttons.items() if button.isChecked()), None)

    def set_value(self, value: str | None) -> None:
        """Select a choice without emitting `chosen`; None or an unknown value selects none."""
        # An exclusive group does not let its last checked button be unchecked.
        self._group.setExclusive(False)
        self._setting = True
        for name, button in self._buttons.items():
            button.setChecked(name == value)
        self._setting = False
        self._group.setExclusive(True)
        self._keep_one_focus_stop()

    def _begin(self) -> None:
        self._toggled_to = None

    def _toggled(self, value: str, checked: bool) -> None:
        # Assistive technology toggles a part, which is no click.
        if checked and not self._setting:
            self._toggled_to = value
            self._choose(value)

    def _clicked(self, value: str) -> None:
        # The chosen part again.
        if self._toggled_to != value:
            self._choose(value)

    def _choose(self, value: str) -> None:
        self._keep_one_focus_stop()
        self.chosen.emit(value)

    def _keep_one_focus_stop(self) -> None:
        """Have Tab reach only the chosen part, or the first. Qt does this only once the group has had the focus."""
        chosen = self.value()
        stop = chosen if chosen is not None else next(iter(self._buttons), None)
        for name, button in self._buttons.items():
            wanted = Qt.FocusPolicy.StrongFocus if name == stop else Qt.FocusPolicy.ClickFocus
            button.setFocusPolicy(wanted)

    def set_locked(self, reason: str) -> None:
        """Disable and say why; an empty reason enables again."""
        self.setEnabled(not reason)
        self.setToolTip(plain_tip(reason))
        for button in self._buttons.values():
            button.setToolTip(plain_tip(reason))
            button.setAccessibleDescription(reason)


class CheckBox(QCheckBox):
    """A check box whose box can be seen in both schemes.

    Emits `switched(bool)` when the user changed it, by a click, a key, or assistive technology, whose toggling is no
    click.
    """

    switched = Signal(bool)

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self._setting = False
        self.toggled.connect(lambda checked: None if self._setting else self.switched.emit(checked))

    def setChecked(self, checked: bool) -> None:
        # Qt itself does not come here.
        self._setting = True
        try:
            super().setChecked(checked)
        finally:
            self._setting = False

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        current = theme()
        side = current.px(tokens.ICON)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top = (self.height() - side) / 2
        left = self.width() - side if self.isRightToLeft() else 0
        box = QRectF(left, top, side, side)
        on = self.checkState() != Qt.CheckState.Unchecked
        painter.setPen(QPen(current.colour("accent" if on and self.isEnabled() else "muted"), 1))
        painter.setBrush(current.colour("accent" if on and self.isEnabled() else "surface"))
        painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        if on:
            half = self.checkState() == Qt.CheckState.PartiallyChecked
            ink = current.colour("on_accent" if self.isEnabled() else "muted")
            icons.paint_icon(painter, "minus" if half else "check", box.adjusted(2, 2, -2, -2), ink)
        painter.setPen(current.colour("text" if self.isEnabled() else "muted"))
        words = self.rect().adjusted(side + current.px(tokens.SPACE_2), 0, 0, 0)
        if self.isRightToLeft():
            words = self.rect().adjusted(0, 0, -side - current.px(tokens.SPACE_2), 0)
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter | mnemonic_flag(), self.text())
        painter.end()

    def sizeHint(self) -> QSize:
        current = theme()
        width = self.fontMetrics().horizontalAdvance(self.text()) + current.px(tokens.ICON + tokens.SPACE_2) + 2
        return QSize(width, max(current.px(24), self.fontMetrics().height()))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def hitButton(self, pos: QPoint) -> bool:
        return self.rect().contains(pos)


class Select(QComboBox):
    """A drop-down list. `name` is read aloud."""

    def __init__(self, name: str, options: Sequence[tuple[str, str]] = (), parent: QWidget | None = None) -> None:
        """`options`: (value, text); the value is `currentData()`."""
        super().__init__(parent)
        self.setAccessibleName(name)
        for value, text in options:
            self.addItem(text, value)

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        # The stylesheet changes the drop-down part, and Qt then draws no arrow in it.
        current = theme()
        side = current.px(12)
        left = current.px(tokens.SPACE_2) if self.isRightToLeft() else self.width() - side - current.px(tokens.SPACE_2)
        painter = QPainter(self)
        box = QRectF(left, (self.height() - side) / 2, side, side)
        icons.paint_icon(painter, "chevron-down", box, current.colour("muted"))
        painter.end()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        text = typed(event)
        if text:
            # Qt would choose the entry that begins with the letter. In the popup it is only marked.
            self.showPopup()
            self.view().keyboardSearch(text)
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        # The wheel scrolls the page. It must not change a value that comes to lie under the pointer.
        event.ignore()


def typed(event: QKeyEvent) -> str:
    """The letter that a key types; empty for Space, shortcuts and other keys."""
    text = event.text()
    shortcut = event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
    return text if text.isprintable() and not text.isspace() and not shortcut else ""


class TabStrip(QTabBar):
    """Tabs as words with an accent line under the chosen one. `currentChanged(int)` as in Qt."""

    def __init__(self, names: Sequence[str], accessible: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(accessible)
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setUsesScrollButtons(True)
        self.setElideMode(Qt.TextElideMode.ElideNone)
        for name in names:
            self.addTab(name)
