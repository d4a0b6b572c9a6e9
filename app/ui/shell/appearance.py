"""Light or dark, and how large the text is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QApplication

from app.ui.theme import apply_theme, theme

if TYPE_CHECKING:
    from app.core.storage.settings import Settings
    from app.ui.settings import UiSettings
    from app.ui.theme.apply import Mode

MODE_SETTING = "ui.mode"
SCALE_SETTING = "ui.scale"
MODES: tuple[Mode, ...] = ("system", "light", "dark")
SCALES = (1.0, 1.1, 1.25, 1.5, 1.75, 2.0)


def restore_appearance(settings: Settings) -> None:
    """Apply the remembered appearance. Without one, leave the applied appearance, or follow the system."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        return
    mode, scale = settings.get(MODE_SETTING), settings.get(SCALE_SETTING)
    if mode is None and scale is None and theme().applied:
        return
    chosen: Mode = mode if mode in ("light", "dark") else "system"
    apply_theme(app, chosen, float(scale) if isinstance(scale, int | float) else 1.0)


class Appearance:
    """Changes scheme and text size, and remembers both."""

    def __init__(self, settings: UiSettings) -> None:
        self._settings = settings

    def set_mode(self, mode: str) -> None:
        """Use the scheme `light`, `dark` or `system`, and remember it."""
        app = QApplication.instance()
        chosen = next((each for each in MODES if each == mode), None)
        if isinstance(app, QApplication) and chosen is not None:
            apply_theme(app, chosen, theme().user_scale)
            self._settings.put(MODE_SETTING, chosen)

    def change_scale(self, step: int) -> None:
        """Make the text larger or smaller by `step` sizes; 0 restores the default size."""
        near = min(range(len(SCALES)), key=lambda n: abs(SCALES[n] - theme().user_scale))
        scale = SCALES[min(max(near + step, 0), len(SCALES) - 1)] if step else 1.0
        app = QApplication.instance()
        if isinstance(app, QApplication):
            apply_theme(app, theme().mode, scale)
            self._settings.put(SCALE_SETTING, scale)
