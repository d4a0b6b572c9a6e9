"""FocusHeir: where the focus goes when the control that had it is hidden, disabled or deleted.

By itself Qt gives it to the next control in the order of Tab, which may be in another part of the window: the next key
then acts on something else than what the person looks at.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, QPoint, Qt, QTimer
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

from app.ui.widgets.guard import guarded
from app.ui.widgets.tab_order import reading_order


class FocusHeir(QObject):
    """Keeps the focus in `root`, with what took the place of the control that lost it.

    That is the nearest control in the innermost part that is still in view. It is looked for at once, and again in the
    next turn of the loop: what replaces a control is often shown after it.
    """

    def __init__(self, root: QWidget) -> None:
        super().__init__(root)
        self._root = root
        self._trail: list[QWidget] = []
        self._at = QPoint()
        self._given: QWidget | None = None
        self._lost: tuple[list[QWidget], QPoint] = ([], QPoint())
        self._again = QTimer(self, singleShot=True, interval=0)
        self._again.timeout.connect(self._look_again)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._follow)

    def inherit(self) -> bool:
        """Give the focus to the heir, if the control that has it is hidden or disabled; whether there was one."""
        here = QApplication.focusWidget()
        if here is None or not self._trail or here is not self._trail[0] or (here.isVisible() and here.isEnabled()):
            return False
        return self._pass_on()

    @guarded()
    def _follow(self, old: QWidget | None, new: QWidget | None) -> None:
        if new is not None and self._root.isAncestorOf(new):
            self._remember(new)
        elif new is None and self._trail and old is self._trail[0] and self._gone(old):
            self._pass_on()

    def _remember(self, widget: QWidget) -> None:
        self._trail = [widget]
        step = widget.parentWidget()
        while step is not None:
            self._trail.append(step)
            if step is self._root:
                break
            step = step.parentWidget()
        self._at = widget.mapTo(self._root, widget.rect().center())

    def _gone(self, widget: QWidget) -> bool:
        """Whether it was deleted or taken out of the window; not where the window itself was left."""
        in_use = self._root.isVisible() and self._root.isActiveWindow()
        return in_use and (not isValid(widget) or not widget.isVisible() or not self._root.isAncestorOf(widget))

    def _pass_on(self) -> bool:
        trail, at = list(self._trail), QPoint(self._at)
        heir = self._heir(trail, at)
        if heir is None:
            return False
        self._lost = (trail, at)
        self._given = heir
        heir.setFocus(Qt.FocusReason.OtherFocusReason)
        self._again.start()
        return True

    @guarded()
    def _look_again(self) -> None:
        given, self._given = self._given, None
        if given is None or not isValid(given) or QApplication.focusWidget() is not given:
            # The person has moved on, or somebody else has decided.
            return
        heir = self._heir(*self._lost)
        if heir is not None and heir is not given:
            heir.setFocus(Qt.FocusReason.OtherFocusReason)

    def _heir(self, trail: list[QWidget], at: QPoint) -> QWidget | None:
        for part in trail[1:]:
            if not isValid(part) or not part.isVisible():
                continue
            found = [each for each in reading_order(part) if each is not trail[0]]
            if found:
                return min(found, key=lambda each: self._distance(each, at))
        return None

    def _distance(self, widget: QWidget, at: QPoint) -> int:
        corner = widget.mapTo(self._root, QPoint(0, 0))
        across = max(corner.x() - at.x(), 0, at.x() - corner.x() - widget.width())
        down = max(corner.y() - at.y(), 0, at.y() - corner.y() - widget.height())
        return across + down
