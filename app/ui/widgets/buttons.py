"""Buttons: a filled one for the main action, quiet ones for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtWidgets import (
    QPushButton,
    QSizePolicy,
    QWidget,
)

from app.ui.theme import icons, theme, tokens
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent

ButtonKind = Literal["primary", "quiet", "flat", "danger"]


class _Button(QPushButton):
    # The direction changes as soon as there is a parent.
    _icon = ""

    def __init__(
        self,
        text: str,
        kind: ButtonKind,
        icon: str = "",
        *,
        keys: str = "",
        clicked: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self.setProperty("kind", kind)
        self._kind = kind
        self._icon = icon
        self._keys = keys
        # The signal carries whether the button is checked. Callbacks take nothing.
        if clicked is not None:
            self.clicked.connect(lambda: clicked())
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAutoDefault(False)
        self.setToolTip(with_keys(text, keys) if keys else "")
        if icon:
            self._apply_theme()
            theme().changed.connect(self._apply_theme)

    def set_icon_name(self, icon: str) -> None:
        """Change the icon before the text."""
        self._icon = icon
        self._apply_theme()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses the button, as Space does. Qt leaves Enter to the default button of a dialog."""
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        if plain and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.isAutoRepeat():
            self.showMenu() if self.menu() is not None else self.click()
        else:
            super().keyPressEvent(event)

    def _apply_theme(self) -> None:
        tone = {"primary": "on_accent", "danger": "bad"}.get(self._kind, "text")
        # Stylesheets cannot set the gap between icon and text, so it is part of the icon.
        after = theme().px(tokens.SPACE_1) if self.text() else 0
        self.setIcon(icons.icon(self._icon, tone, -after if self.isRightToLeft() else after))
        self.setIconSize(icons.icon_size() + QSize(after, 0))

    @guarded()
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if self._icon and event.type() == QEvent.Type.LayoutDirectionChange:
            self._apply_theme()

    def _set_kind(self, kind: ButtonKind) -> None:
        if kind != self._kind:
            self._kind = kind
            self.setProperty("kind", kind)
            self.style().unpolish(self)
            self.style().polish(self)
            if self._icon:
                self._apply_theme()


class PrimaryButton(_Button):
    """The one main action of a screen. `keys` is shown in the tooltip, not bound here."""

    def __init__(
        self,
        text: str,
        icon: str = "",
        *,
        keys: str = "",
        clicked: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, "primary", icon, keys=keys, clicked=clicked, parent=parent)

    def set_main(self, main: bool) -> None:
        """Whether it is the main action now. While the screen has another one, it is drawn as a quiet button."""
        self._set_kind("primary" if main else "quiet")


class QuietButton(_Button):
    """Every other action. `kind`: quiet (hairline), flat (no line), danger (red words)."""

    def __init__(
        self,
        text: str,
        icon: str = "",
        *,
        kind: ButtonKind = "quiet",
        keys: str = "",
        clicked: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, kind, icon, keys=keys, clicked=clicked, parent=parent)


class DeliberateButton(QuietButton):
    """An answer to a question. Space, a click or a key of its own press it, Enter does not."""

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        # A person who confirms without reading presses Enter.
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.ignore()
        else:
            super().keyPressEvent(event)


class IconButton(_Button):
    """A flat button that shows only an icon. `name` is its tooltip and what assistive technology reads."""

    def __init__(
        self,
        name: str,
        icon: str,
        *,
        keys: str = "",
        clicked: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("", "flat", icon, keys=keys, clicked=clicked, parent=parent)
        self.setAccessibleName(name)
        self.setToolTip(with_keys(name, keys))


def with_keys(name: str, keys: str) -> str:
    """A name with its keys as this platform writes them: `New task (Ctrl+N)`."""
    if not keys:
        return name
    from PySide6.QtGui import QKeySequence

    return f"{name} ({QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)})"
