"""What a section of the settings page is: its settings, their controls, and how each goes back to its default.

A new section is one file with a subclass of `SettingsSection`, and one line in `sections.py`. The page makes the rows,
the buttons that reset, and the entries of the palette from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

from PySide6.QtCore import QObject, QSignalBlocker, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.core.preferences import preferences
from app.ui.theme import theme, tokens
from app.ui.translation import translate
from app.ui.widgets.choices import CheckBox, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.core.services import Services
    from app.ui.bridge import Bridge
    from app.ui.place_info import PlaceInfo
    from app.ui.settings import UiSettings
    from app.ui.shell.appearance import Appearance
    from app.ui.shell.background import Background
    from app.ui.shell.setting_row import SettingRow

T = TypeVar("T")


class Setting(NamedTuple):
    """A setting by its key. `name` and `hint`, which says what it does, are untranslated (context `Settings`).

    What is not `resettable` has no default that "Reset all" could bring back.
    """

    key: str
    name: str
    hint: str = ""
    resettable: bool = True


@dataclass(frozen=True, slots=True)
class SettingsContext:
    """What the sections of one page work on."""

    services: Services
    bridge: Bridge
    settings: UiSettings
    appearance: Appearance
    places: Sequence[PlaceInfo]
    background: Background | None = None


class SettingsSection(QObject):
    """The settings under one heading. Built with the page, and asked for its controls once.

    `title` is the untranslated heading (context `Settings`). The page fills `rows`, by key, before the first `refresh`.
    `changed` asks the page to show every setting anew.
    """

    changed = Signal()

    title: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]]

    def __init__(self, context: SettingsContext, parent: QObject) -> None:
        super().__init__(parent)
        self.context = context
        self.rows: Mapping[str, SettingRow] = {}

    def controls(self) -> Mapping[str, QWidget]:
        """A control for each of `settings`, by its key. Their signals are connected."""
        raise NotImplementedError

    def refresh(self) -> Mapping[str, bool]:
        """Show each setting as it is now. Returns which of them, by key, is not at its default."""
        raise NotImplementedError

    def reset(self, key: str) -> None:
        """Bring the default of one setting back. The page calls `refresh` afterwards."""
        self.context.settings.drop(key)

    def put(self, key: str, value: object) -> None:
        """Store a value that was chosen. It counts at once."""
        self.context.settings.put(key, value)
        preferences().refresh()
        self.changed.emit()

    def check(self, key: str, words: str) -> CheckBox:
        """A box that is checked while the stored flag `key` is set. `words` stand beside it, translated."""
        box = CheckBox(words)
        box.setAccessibleName(f"{translated(self.named(key).name)}: {words}")
        box.toggled.connect(lambda checked: self.put(key, checked))
        return box

    def named(self, key: str) -> Setting:
        """The setting with this key. Raises StopIteration for one of another section."""
        return next(each for each in self.settings if each.key == key)


def select(control: Select, value: T, words: Callable[[T], str] = str) -> None:
    """Show a value, which is added in its `words` if it is none of the offered ones."""
    place = next((row for row in range(control.count()) if control.itemData(row) == value), -1)
    if place < 0:
        control.addItem(words(value), value)
        place = control.count() - 1
    control.setCurrentIndex(place)


def set_checked(box: CheckBox, checked: bool) -> None:
    """Show whether a box is checked, without that counting as a choice."""
    with QSignalBlocker(box):
        box.setChecked(checked)


def stacked(*parts: QWidget) -> QWidget:
    """A control of several parts, one below the other. The first one takes the focus."""
    whole = QWidget()
    box = QVBoxLayout(whole)
    box.setContentsMargins(0, 0, 0, 0)
    box.setSpacing(theme().px(tokens.SPACE_1))
    for part in parts:
        box.addWidget(part)
    whole.setFocusProxy(parts[0])
    return whole


def translated(text: str) -> str:
    """The translation of a text that is marked with the context `Settings`."""
    return translate("Settings", text)
