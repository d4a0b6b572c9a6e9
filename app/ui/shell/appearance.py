"""Light or dark, how large the text is, and how much stands on the screen."""

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


DENSITY_SETTING = "ui.density"
DENSITIES = ("comfortable", "compact")


def restore_appearance(settings: Settings) -> None:
    """Apply the remembered appearance. Without one, leave the applied appearance, or follow the system."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        return
    theme().set_compact(settings.get(DENSITY_SETTING) == "compact")
    mode, scale = settings.get(MODE_SETTING), settings.get(SCALE_SETTING)
    if mode is None and scale is None and theme().applied:
        return
    chosen: Mode = mode if mode in ("light", "dark") else "system"
    apply_theme(app, chosen, _scale(scale))


class Appearance:
    """Changes scheme, text size and density, and remembers them."""

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
        self.set_scale(SCALES[min(max(near + step, 0), len(SCALES) - 1)] if step else 1.0)

    def set_scale(self, scale: float) -> None:
        """Use a text size as a factor of the usual one, and remember it."""
        app = QApplication.instance()
        if isinstance(app, QApplication):
            apply_theme(app, theme().mode, _scale(scale))
            self._settings.put(SCALE_SETTING, theme().user_scale)

    def set_density(self, density: str) -> None:
        """Use one of `DENSITIES`, and remember it."""
        theme().set_compact(density == "compact")
        self._settings.put(DENSITY_SETTING, density if density in DENSITIES else DENSITIES[0])


def _scale(value: object) -> float:
    """A text size within those that can be chosen; the usual one for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not SCALES[0] <= value <= SCALES[-1]:
        return 1.0
    return float(value)
