"""Render a widget to PNG in light and dark, at 100 and 150 % text, and walk it for what a person cannot see."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QAbstractItemView, QApplication, QWidget

from app.ui.theme import apply_theme

LOOKS = (("light", 1.0), ("dark", 1.0), ("light", 1.5), ("dark", 1.5))


@contextmanager
def look(mode: str, scale: float) -> Iterator[None]:
    """The theme for the time of the block; afterwards the light one at 100 %."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    apply_theme(app, mode, scale)  # type: ignore[arg-type]
    try:
        yield
    finally:
        apply_theme(app, "light", 1.0)


def render(
    build: Callable[[], QWidget],
    name: str,
    folder: Path,
    *,
    size: tuple[int, int] = (1100, 720),
    prepare: Callable[[QWidget], None] | None = None,
    looks: tuple[tuple[str, float], ...] = LOOKS,
) -> list[Path]:
    """One PNG a look, `<name>-light-100.png` …: the widget is built anew for each, `prepare` brings it to a state.

    Pictures are also written to `$BURROW_SCREENS` when that is set, so that a person can look at them.
    """
    written = []
    for mode, scale in looks:
        with look(mode, scale):
            widget = build()
            widget.resize(*size)
            widget.show()
            QApplication.processEvents()
            if prepare is not None:
                prepare(widget)
                QApplication.processEvents()
            written.append(save(widget, name, mode, scale, folder))
            widget.close()
            widget.deleteLater()
            QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return written


def save(widget: QWidget, name: str, mode: str, scale: float, folder: Path) -> Path:
    """A picture of the widget as it is: in `$BURROW_SCREENS` when a person is to look at it, else in `folder`."""
    wanted = os.environ.get("BURROW_SCREENS")
    target = Path(wanted) if wanted else folder
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{name}-{mode}-{round(scale * 100)}.png"
    # Compressing takes longer than painting: only what is kept is compressed.
    assert widget.grab().save(str(path), "PNG", -1 if wanted else 100)
    return path


def focusable(root: QWidget) -> list[QWidget]:
    """Every visible, enabled widget that the Tab key or a click can focus."""
    return [
        widget
        for widget in (root, *root.findChildren(QWidget))
        if widget.isVisibleTo(root)
        and widget.isEnabled()
        and widget.focusPolicy() != Qt.FocusPolicy.NoFocus
        and widget.focusProxy() is None
        and not (isinstance(widget.parent(), QAbstractItemView))
    ]


def nameless(root: QWidget) -> list[str]:
    """Focusable widgets that assistive technology could not name."""
    missing = []
    for widget in focusable(root):
        interface = QAccessible.queryAccessibleInterface(widget)
        name = interface.text(QAccessible.Text.Name) if interface is not None else ""
        if not name.strip():
            missing.append(f"{type(widget).__name__} in {type(widget.parent()).__name__}")
    return missing
