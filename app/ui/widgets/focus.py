"""The focus ring: 2 px around the focused control, shown when the focus came by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QGuiApplication, QPainter, QPen
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QWidget
from shiboken6 import isValid

from app.ui.theme import theme, tokens
from app.ui.widgets.focus_keeper import keep_focus
from app.ui.widgets.guard import guarded
from app.ui.widgets.lists import ListTable

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

GAP = 1
# By name: to define the Python classes of these takes 1 ms, and nothing else needs them before the first paint.
EDITORS = ("QLineEdit", "QPlainTextEdit", "QTextEdit")
MOVES = frozenset(
    {
        QEvent.Type.Move,
        QEvent.Type.Resize,
        QEvent.Type.Show,
        QEvent.Type.Hide,
        QEvent.Type.ParentChange,
        QEvent.Type.LayoutRequest,
    }
)


class FocusRing(QWidget):
    """One ring for a window; follows the focus inside it."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setVisible(False)
        self._window = window
        self._target: QWidget | None = None
        self._watched: list[QObject] = []
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._follow)

    @property
    def target(self) -> QWidget | None:
        """The control the ring is around."""
        return self._target if self.isVisible() else None

    @guarded()
    def _follow(self, _old: QWidget | None, new: QWidget | None) -> None:
        self._leave()
        # A list paints the ring around its current row itself.
        if new is None or new is self._window or new.window() is not self._window or isinstance(new, ListTable):
            self.setVisible(False)
            return
        if new.focusPolicy() == Qt.FocusPolicy.NoFocus:
            # When a stack hides the page with the focus, it gives the focus to the next page, even without controls.
            self.setVisible(False)
            return
        # In a text field the ring says where typing goes, however the focus came there.
        by_pointer = QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton
        if by_pointer and not any(new.inherits(name) for name in EDITORS):
            self.setVisible(False)
            return
        self._target = new
        # A control moves with each of its parents, and only the parent itself is told.
        step: QWidget | None = new
        while step is not None and step is not self._window:
            step.installEventFilter(self)
            self._watched.append(step)
            step = step.parentWidget()
        self._place()

    def _leave(self) -> None:
        for watched in self._watched:
            # A widget of Qt may be destroyed while its Python object is still referred to.
            if isValid(watched):
                watched.removeEventFilter(self)
        self._watched.clear()
        self._target = None

    def _place(self) -> None:
        target = self._target
        if target is None or not isValid(target) or not target.isVisible():
            self.setVisible(False)
            return
        reach = GAP + tokens.RING
        # Clipped by whatever clips the control: the ring of one that is scrolled out of view would lie over others.
        inner = isinstance(target, QAbstractScrollArea) and target.parentWidget() is not None
        around = target.rect().adjusted(-reach, -reach, reach, reach)
        rect = QRect(target.mapTo(self._window, around.topLeft()), around.size())
        step = target.parentWidget()
        while step is not None and step is not self._window:
            if inner or isinstance(step.parentWidget(), QAbstractScrollArea):
                rect &= QRect(step.mapTo(self._window, QPoint(0, 0)), step.size())
            step = step.parentWidget()
        rect &= self._window.rect()
        if rect.isEmpty():
            self.setVisible(False)
            return
        self.setGeometry(rect)
        self.raise_()
        self.setVisible(True)
        self.update()

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in MOVES and self._target is not None:
            self._place()
        return False

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme().colour("ring"), tokens.RING))
        radius = theme().px(tokens.RADIUS_CONTROL) + GAP
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), radius, radius)
        painter.end()


def show_focus_ring(window: QWidget) -> FocusRing:
    """Give a top-level window its ring, and keep its focus (`focus_keeper`). Call once for each window and dialog."""
    keep_focus(window)
    return FocusRing(window)
