"""Applies the tokens: Fusion, a palette, one short stylesheet. Follows the system's scheme and text size.

The palette sets nearly everything; the stylesheet sets what a palette cannot (flat controls, radii, heights).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontInfo, QPalette
from PySide6.QtWidgets import QApplication

from app.ui.theme import tokens
from app.ui.theme.sheet import stylesheet

if TYPE_CHECKING:
    from app.ui.theme.tokens import Colours, TextRole

Mode = Literal["system", "light", "dark"]
SCALE_RANGE = (1.0, 2.0)
# The size of the design's body text. A system font up to a pixel larger counts as usual.
NORMAL_TEXT_PIXELS = 13.0


class Theme(QObject):
    """Scheme and text size in force. Read them when painting; `changed` says when to rebuild what depends on them."""

    changed = Signal()

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._app = app
        self.mode: Mode = "system"
        self.user_scale = 1.0
        self.scale = 1.0
        self.dark = False
        self.colours: Colours = tokens.LIGHT
        self._general = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
        self._fixed = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        self._emphasis = self._find_emphasis()
        self._fonts: dict[TextRole, QFont] = {}
        self._qcolours: dict[str, QColor] = {}
        self.applied = False
        self._hints = app.styleHints()
        self._hints.colorSchemeChanged.connect(self.follow_system)
        app.primaryScreen().logicalDotsPerInchChanged.connect(self.follow_system)

    def colour(self, name: str) -> QColor:
        """A field of `tokens.Colours`. The returned object is shared: copy before changing it."""
        found = self._qcolours.get(name)
        if found is None:
            found = self._qcolours[name] = QColor(getattr(self.colours, name))
        return found

    def px(self, length: float) -> int:
        """A length of the design at the text size in force."""
        return round(length * self.scale)

    def font(self, role: TextRole) -> QFont:
        """The font of a text role. The returned object is shared: copy before changing it."""
        found = self._fonts.get(role)
        if found is None:
            found = self._fonts[role] = self._make_font(role)
        return found

    def apply(self, mode: Mode, scale: float) -> None:
        """Set both and repaint; does nothing when neither changes."""
        colours = self._choose_colours(mode)
        total = min(max(scale * self._system_scale(), SCALE_RANGE[0]), SCALE_RANGE[1])
        unchanged = self.applied and colours == self.colours and total == self.scale
        self.mode, self.user_scale = mode, scale
        if unchanged:
            return
        self.applied = True
        self.colours, self.scale = colours, total
        self.dark = tokens.luminance(colours.window) < 0.2
        self._fonts.clear()
        self._qcolours.clear()
        # The platforms' own styles ignore parts of a palette.
        if self._app.style().objectName().lower() != "fusion":
            self._app.setStyle("Fusion")
        self._app.setFont(self.font("body"))
        self._app.setPalette(self._palette())
        self._app.setStyleSheet(stylesheet(colours, self.px, self._emphasis))
        self.changed.emit()

    def follow_system(self) -> None:
        """Apply the system's scheme and text size again."""
        self.apply(self.mode, self.user_scale)

    def _choose_colours(self, mode: Mode) -> Colours:
        dark = mode == "dark" or (mode == "system" and self._hints.colorScheme() == Qt.ColorScheme.Dark)
        colours = tokens.DARK if dark else tokens.LIGHT
        wanted = self._hints.accessibility().contrastPreference()
        return tokens.high_contrast(colours) if wanted == Qt.ContrastPreference.HighContrast else colours

    def _system_scale(self) -> float:
        """How much larger than usual the system's text is. A small system font does not shrink ours."""
        pixels = self._general.pixelSize()
        if pixels <= 0:
            dots = self._app.primaryScreen().logicalDotsPerInchY()
            pixels = round(self._general.pointSizeF() * dots / 72)
        return max(1.0, pixels / (NORMAL_TEXT_PIXELS + 1) if pixels > NORMAL_TEXT_PIXELS + 1 else 1.0)

    def _make_font(self, role: TextRole) -> QFont:
        font = QFont(self._fixed if role == "mono" else self._general)
        pixels = tokens.FONT_PIXELS[role] * self.scale
        font.setPixelSize(round(pixels))
        if role == "mono":
            # Pixel sizes are whole numbers, and this one is not.
            font.setPointSizeF(pixels * 72 / self._app.primaryScreen().logicalDotsPerInchY())
        else:
            # Figures of one width, so that numbers do not move while they count.
            font.setFeature(QFont.Tag("tnum"), 1)
        font.setWeight(QFont.Weight(self._emphasis) if role in tokens.MEDIUM_ROLES else QFont.Weight.Normal)
        return font

    def _find_emphasis(self) -> int:
        """The medium weight, or the next heavier one that the system's font has: without a face Qt paints the usual."""
        family = QFontInfo(self._general).family()
        found = {QFontDatabase.weight(family, style) for style in QFontDatabase.styles(family)}
        return next((weight for weight in tokens.EMPHASIS if weight in found), tokens.EMPHASIS[0])

    def _palette(self) -> QPalette:
        role = QPalette.ColorRole
        pairs = {
            role.Window: "window",
            role.WindowText: "text",
            role.Base: "surface",
            role.AlternateBase: "raised",
            role.Text: "text",
            role.PlaceholderText: "muted",
            role.Button: "surface",
            role.ButtonText: "text",
            role.BrightText: "bad",
            role.ToolTipBase: "raised",
            role.ToolTipText: "text",
            role.Highlight: "accent",
            role.HighlightedText: "on_accent",
            role.Accent: "accent",
            role.Link: "info",
            role.LinkVisited: "info",
            role.Light: "raised",
            role.Midlight: "raised",
            role.Mid: "border",
            role.Dark: "border",
            role.Shadow: "border",
        }
        palette = QPalette()
        for target, name in pairs.items():
            palette.setColor(target, self.colour(name))
        for target in (role.WindowText, role.Text, role.ButtonText):
            palette.setColor(QPalette.ColorGroup.Disabled, target, self.colour("muted"))
        return palette


_current: Theme | None = None


def apply_theme(app: QApplication, mode: Mode = "system", scale: float = 1.0) -> Theme:
    """Style the application; call again to switch. `scale` multiplies the system's text size, 1.0 to 2.0 in all."""
    current = _theme_of(app)
    current.apply(mode, scale)
    return current


def theme() -> Theme:
    """The theme in force; the light one, not yet applied, before `apply_theme` was called."""
    app = QApplication.instance()
    if app is None:
        raise RuntimeError("there is no application yet")
    return _theme_of(cast(QApplication, app))


def _theme_of(app: QApplication) -> Theme:
    global _current
    if _current is None:
        _current = Theme(app)
    return _current
