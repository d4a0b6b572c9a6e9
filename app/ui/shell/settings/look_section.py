"""Settings ▸ Appearance: light or dark, text size, density."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale

from app.ui.shell.appearance import DENSITIES, DENSITY_SETTING, MODE_SETTING, SCALE_SETTING, SCALES
from app.ui.shell.settings.section import Setting, SettingsSection, select, translated
from app.ui.theme import theme
from app.ui.translation import marked
from app.ui.widgets.choices import Segmented, Select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget

MODES = (
    ("system", marked("Settings", "System")),
    ("light", marked("Settings", "Light")),
    ("dark", marked("Settings", "Dark")),
)
DENSITY_WORDS = (("comfortable", marked("Settings", "Comfortable")), ("compact", marked("Settings", "Compact")))


class LookSection(SettingsSection):
    """They are kept and applied by `Appearance`."""

    title = marked("Settings", "Appearance")
    settings = (
        Setting(MODE_SETTING, marked("Settings", "Theme")),
        Setting(SCALE_SETTING, marked("Settings", "Text size")),
        Setting(DENSITY_SETTING, marked("Settings", "Density"), marked("Settings", "How high the rows of lists are.")),
    )

    def controls(self) -> Mapping[str, QWidget]:
        appearance = self.context.appearance
        self.theme_choice = Segmented(
            [(value, translated(words), "", "accent") for value, words in MODES], self.tr("Theme")
        )
        self.theme_choice.chosen.connect(appearance.set_mode)
        self.theme_choice.chosen.connect(self.changed)
        self.scale = Select(self.tr("Text size"))
        for size in SCALES:
            self.scale.addItem(_percent(size), size)
        self.scale.activated.connect(lambda _row: appearance.set_scale(self.scale.currentData()))
        self.density = Segmented(
            [(value, translated(words), "", "accent") for value, words in DENSITY_WORDS], self.tr("Density")
        )
        self.density.chosen.connect(appearance.set_density)
        self.density.chosen.connect(self.changed)
        return {MODE_SETTING: self.theme_choice, SCALE_SETTING: self.scale, DENSITY_SETTING: self.density}

    def refresh(self) -> Mapping[str, bool]:
        mode, density = theme().mode, DENSITIES[theme().compact]
        self.theme_choice.set_value(mode)
        self.density.set_value(density)
        select(self.scale, theme().user_scale, _percent)
        return {
            MODE_SETTING: mode != "system",
            SCALE_SETTING: theme().user_scale != 1.0,
            DENSITY_SETTING: density != DENSITIES[0],
        }

    def reset(self, key: str) -> None:
        if key == MODE_SETTING:
            self.context.appearance.set_mode("system")
        elif key == SCALE_SETTING:
            self.context.appearance.set_scale(1.0)
        elif key == DENSITY_SETTING:
            self.context.appearance.set_density(DENSITIES[0])
        super().reset(key)


def _percent(scale: float) -> str:
    return f"{QLocale().toString(round(scale * 100))} %"
